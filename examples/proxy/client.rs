//! Connections to the upstream.

use std::{io, time::Duration};

use http::Request;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, ResponseFuture, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{BoxError, target::Target};

/// One kind of connection for each scheme, so that only https needs the system's certificates.
pub(crate) enum Client<B> {
    Http(legacy::Client<HttpConnector, B>),
    Https(legacy::Client<HttpsConnector<HttpConnector>, B>),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than what servers allow (Node.js and uvicorn: 5 s), so that no request meets a connection which is just
/// being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

impl<B> Client<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub(crate) fn new(target: &Target) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        if !target.is_https() {
            return Ok(Self::Http(settings().build(tcp)));
        }
        tcp.enforce_http(false);
        let tls =
            HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_all_versions();
        Ok(Self::Https(settings().build(tls.wrap_connector(tcp))))
    }

    pub(crate) fn request(&self, request: Request<B>) -> ResponseFuture {
        match self {
            Self::Http(client) => client.request(request),
            Self::Https(client) => client.request(request),
        }
    }
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        match self {
            Self::Http(client) => Self::Http(client.clone()),
            Self::Https(client) => Self::Https(client.clone()),
        }
    }
}

fn settings() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_preserve_header_case(true);
    builder
}
