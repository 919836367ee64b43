//! The future of a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::answer;
use crate::body::ResumeBody;
use crate::cors;
use crate::error::BoxError;
use crate::wrap::Wrap;

pin_project! {
    /// Response future of [`SseResume`](crate::SseResume).
    ///
    /// # Errors
    /// Those of the inner service, as they are. The layer has none of its own.
    ///
    /// # Cancel safety
    /// To drop it drops the call of the inner service, as without the layer. The exceptions are calls on behalf of
    /// others, too: one that goes on with an aborted stream, and one whose response is shared. They run in a task, on for
    /// the [linger](crate::SseResumeLayer::linger) if nobody is left. While others wait, such a call has that long to be
    /// answered, too: then one of these calls in its place, and has twice as long.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        kind: Kind<F, B, E>,
    }
}

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResumeBody<B>>, E>> + Send>>;

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, E> {
        /// The inner response as it is.
        Pass { #[pin] call: F },
        /// The inner response to a preflight request.
        Preflight { #[pin] call: F },
        /// The inner response, made resumable if it is an event stream.
        Wrap { #[pin] call: F, wrap: Option<Wrap> },
        /// An answer without the inner service.
        Ready { response: Option<Response<ResumeBody<B>>> },
        /// What waits for a takeover.
        Boxed { future: Boxed<B, E> },
    }
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(crate) fn pass(call: F) -> Self {
        Self { kind: Kind::Pass { call } }
    }

    pub(crate) fn preflight(call: F) -> Self {
        Self { kind: Kind::Preflight { call } }
    }

    pub(crate) fn wrap(call: F, wrap: Wrap) -> Self {
        Self { kind: Kind::Wrap { call, wrap: Some(wrap) } }
    }

    pub(crate) fn ready(response: Response<ResumeBody<B>>) -> Self {
        Self { kind: Kind::Ready { response: Some(response) } }
    }

    pub(crate) fn boxed(future: Boxed<B, E>) -> Self {
        Self { kind: Kind::Boxed { future } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResumeBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Pass { call } => {
                call.poll(cx).map_ok(|response| response.map(ResumeBody::pass))
            }
            KindProj::Preflight { call } => call.poll(cx).map_ok(|mut response| {
                cors::allow_last_event_id(response.headers_mut());
                response.map(ResumeBody::pass)
            }),
            KindProj::Wrap { call, wrap } => {
                let response = ready!(call.poll(cx))?;
                Poll::Ready(Ok(match wrap.take() {
                    Some(wrap) => wrap.response(response),
                    None => response.map(ResumeBody::pass),
                }))
            }
            KindProj::Ready { response } => {
                Poll::Ready(Ok(response.take().unwrap_or_else(answer::failed)))
            }
            KindProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}
