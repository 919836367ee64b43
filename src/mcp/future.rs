//! What follows from the server's answer: sessions and calls that end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::again::AgainFuture;
use super::body::McpBody;
use super::call::Call;
use super::sessions::Sessions;
use crate::binding::Binding;
use crate::body::ResumeBody;
use crate::error::BoxError;
use crate::future::ResponseFuture;

type Inner<S, B, R> = ResponseFuture<
    AgainFuture<S, B, <S as Service<Request<McpBody<B>>>>::Future>,
    R,
    <S as Service<Request<McpBody<B>>>>::Error,
>;

pin_project! {
    /// Response future of [`McpResume`](super::McpResume).
    ///
    /// # Errors
    /// Those of the server's service, as they are.
    ///
    /// # Cancel safety
    /// As that of [`ResponseFuture`].
    #[must_use = "futures do nothing unless polled"]
    pub struct McpFuture<S, B, R>
    where
        S: Service<Request<McpBody<B>>>,
    {
        #[pin]
        inner: Inner<S, B, R>,
        after: Option<After>,
    }
}

impl<S, B, R> McpFuture<S, B, R>
where
    S: Service<Request<McpBody<B>>>,
{
    pub(super) fn new(inner: Inner<S, B, R>, after: Option<After>) -> Self {
        Self { inner, after }
    }
}

impl<S, B, R> Future for McpFuture<S, B, R>
where
    S: Service<Request<McpBody<B>>, Response = Response<R>> + Clone,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<ResumeBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        if let Some(after) = this.after.take() {
            after.answered(response.status());
        }
        Poll::Ready(Ok(response))
    }
}

/// What to do once a request is answered.
pub(super) struct After {
    pub(super) sessions: Sessions,
    pub(super) binding: Binding,
    pub(super) method: Method,
    pub(super) has_session: bool,
    pub(super) call: Arc<Call>,
}

impl After {
    fn answered(&self, status: StatusCode) {
        if self.has_session {
            match (&self.method, status) {
                (&Method::DELETE, status) if status.is_success() => {
                    self.sessions.ended(&self.binding);
                }
                // The server does not know the session any more, if it is the server that answers.
                (&Method::GET | &Method::POST | &Method::DELETE, StatusCode::NOT_FOUND) => {
                    self.sessions.not_found(&self.binding);
                }
                _ => {}
            }
        }
        // What a server refuses it does not do.
        let Some(message) = self.call.message().filter(|_| status.is_success()) else { return };
        let is_cancelled = message.method.as_deref() == Some("notifications/cancelled");
        // Where there are sessions, the server knows which call it is.
        if let (true, false, Some(id)) = (is_cancelled, self.has_session, &message.request_id) {
            self.sessions.cancel(&self.binding, id);
        }
    }
}
