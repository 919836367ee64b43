//! The service of the preset: says which request it is, and acts on what ends a session or a call.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::MCP_SESSION_ID;
use super::again::Again;
use super::body::McpBody;
use super::call::Call;
use super::era::Era;
use super::future::{After, McpFuture};
use super::sessions::Sessions;
use crate::body::ResumeBody;
use crate::error::BoxError;
use crate::exchange::Known;
use crate::service::SseResume;

/// Middleware that makes an MCP server resumable; made by [`McpLayer`](super::McpLayer).
///
/// It is ready when the server is.
#[derive(Clone)]
pub struct McpResume<S> {
    inner: SseResume<Again<S>>,
    sessions: Sessions,
    resumes_newer: bool,
}

impl<S> McpResume<S> {
    pub(super) fn new(inner: SseResume<Again<S>>, sessions: Sessions, resumes_newer: bool) -> Self {
        Self { inner, sessions, resumes_newer }
    }

    /// The server's service.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().get_ref()
    }
}

impl<S, B, R> Service<Request<B>> for McpResume<S>
where
    S: Service<Request<McpBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResumeBody<R>>;
    type Error = S::Error;
    type Future = McpFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let era = Era::of(request.headers());
        if era == Era::Gone && !self.resumes_newer {
            return McpFuture::new(self.inner.call(request.map(McpBody::plain)), None);
        }
        let (mut parts, body) = request.into_parts();
        let call = Arc::new(Call::new(era));
        parts.extensions.insert(Known(Arc::clone(&call) as Arc<_>));
        let after = After {
            binding: self.sessions.binding(&parts),
            sessions: self.sessions.clone(),
            method: parts.method.clone(),
            has_session: parts.headers.contains_key(MCP_SESSION_ID),
            call: Arc::clone(&call),
        };
        let body = match parts.method {
            Method::POST => McpBody::tapped(body, call),
            _ => McpBody::plain(body),
        };
        McpFuture::new(self.inner.call(Request::from_parts(parts, body)), Some(after))
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for McpResume<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpResume").field("inner", &self.inner).finish_non_exhaustive()
    }
}
