//! Connections to the server that break after so many bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};
use tokio::net::TcpStream;

type Body = Empty<Bytes>;

/// A way to the server: over HTTP/1.1 with a connection for each request, over HTTP/2 with one for all.
pub(crate) struct Link {
    address: SocketAddr,
    /// After how many bytes the next connections break; those after them last.
    cuts: Mutex<VecDeque<u64>>,
    http2: Option<tokio::sync::Mutex<Option<http2::SendRequest<Body>>>>,
}

impl Link {
    pub(crate) fn http1(address: SocketAddr, cuts: Vec<u64>) -> Self {
        Self { address, cuts: Mutex::new(cuts.into()), http2: None }
    }

    pub(crate) fn http2(address: SocketAddr, cuts: Vec<u64>) -> Self {
        Self { http2: Some(tokio::sync::Mutex::default()), ..Self::http1(address, cuts) }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let Some(shared) = &self.http2 else {
            let (mut sender, connection) = http1::handshake(self.connect().await).await?;
            tokio::spawn(connection);
            return sender.send_request(request).await;
        };
        let mut sender = self.shared(&mut *shared.lock().await).await?;
        sender.send_request(request).await
    }

    /// The connection that is there, or a new one if that is broken.
    async fn shared(
        &self,
        shared: &mut Option<http2::SendRequest<Body>>,
    ) -> hyper::Result<http2::SendRequest<Body>> {
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), self.connect().await).await?;
        tokio::spawn(connection);
        Ok(shared.insert(sender).clone())
    }

    async fn connect(&self) -> TokioIo<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let cut = self.cuts.lock().unwrap().pop_front();
        let socket = TcpStream::connect(self.address).await.expect("the server is there");
        socket.set_nodelay(true).expect("a socket option");
        let (read, write) = socket.into_split();
        TokioIo::new(join(read.take(cut.unwrap_or(u64::MAX)), write))
    }
}
