//! The future of a response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::{Origin, ReconnectBody};
use crate::answer;

pin_project! {
    /// Response future of [`SseReconnect`](crate::SseReconnect).
    #[must_use = "futures do nothing unless polled"]
    pub struct ReconnectFuture<F, B> {
        #[pin]
        call: F,
        origin: Option<Origin<B>>,
    }
}

impl<F, B> ReconnectFuture<F, B> {
    pub(super) fn new(call: F, origin: Option<Origin<B>>) -> Self {
        Self { call, origin }
    }
}

impl<F, B, E> Future for ReconnectFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ReconnectBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.call.poll(cx))?;
        let origin = this.origin.take().filter(|_| answer::is_event_stream(&response));
        Poll::Ready(Ok(match origin {
            None => response.map(ReconnectBody::pass),
            Some(origin) => {
                answer::wrap_headers(response.headers_mut());
                response.map(|body| ReconnectBody::stream(body, origin))
            }
        }))
    }
}

impl<F, B> fmt::Debug for ReconnectFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectFuture").finish_non_exhaustive()
    }
}
