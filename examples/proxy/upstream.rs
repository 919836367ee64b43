//! The service that forwards to the upstream: bodies stream both ways, nothing is kept.

use std::{
    convert::Infallible,
    error::Error,
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::ResponseFuture;
use tower_service::Service;

use crate::{BoxError, causes::causes, client::Client, forward, target::Target, upload::Upload};

/// Forwards each request, and answers for the upstream where that fails.
pub(crate) struct Upstream<B>
where
    B: Body + Send + Unpin + 'static,
{
    target: Target,
    client: Client<Upload<B>>,
}

/// What a client gets: the upstream's body, or a sentence of the proxy's own.
pub(crate) type UpstreamBody = Either<Incoming, Full<Bytes>>;

impl<B> Upstream<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub(crate) fn new(target: Target) -> io::Result<Self> {
        Ok(Self { client: Client::new(&target)?, target })
    }

    fn send(&self, request: Request<B>) -> Result<ResponseFuture, Failure> {
        if request.method() == Method::CONNECT {
            return Err(Failure::Connect);
        }
        let (mut head, body) = request.into_parts();
        forward::request_head(&mut head, &self.target).map_err(|_| Failure::Request)?;
        Ok(self.client.request(Request::from_parts(head, Upload::new(body))))
    }
}

impl<B> Clone for Upstream<B>
where
    B: Body + Send + Unpin + 'static,
{
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), client: self.client.clone() }
    }
}

impl<B> Service<Request<B>> for Upstream<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<UpstreamBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sent = self.send(request);
        Box::pin(async move { Ok(receive(sent).await.unwrap_or_else(Failure::answer)) })
    }
}

async fn receive(sent: Result<ResponseFuture, Failure>) -> Result<Response<UpstreamBody>, Failure> {
    let response = sent?.await.map_err(|error| {
        report(&error);
        Failure::Upstream
    })?;
    let (mut head, body) = response.into_parts();
    forward::response_head(&mut head);
    Ok(Response::from_parts(head, Either::Left(body)))
}

/// Why there is no response of the upstream.
enum Failure {
    Connect,
    Request,
    Upstream,
}

impl Failure {
    /// No details: they would tell clients about a network that is not theirs.
    fn answer(self) -> Response<UpstreamBody> {
        let (status, sentence) = match self {
            Self::Connect => (StatusCode::NOT_IMPLEMENTED, "CONNECT is not supported\n"),
            Self::Request => (StatusCode::BAD_REQUEST, "the request cannot be forwarded\n"),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "no response from the upstream server\n"),
        };
        let mut response = Response::new(Either::Right(Full::from(sentence)));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// The operator is told what the client is not.
fn report(error: &(dyn Error + 'static)) {
    // Nobody may be reading it any more, which is no reason to fail a request.
    let _ = writeln!(io::stderr(), "proxy: upstream: {}", causes(error));
}
