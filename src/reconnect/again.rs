//! Makes a request again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use tower_service::Service;

use crate::ask::LAST_EVENT_ID;
use crate::time::{self, Timer};

/// The inner service's answer; `None` if it failed.
pub(super) type Attempt<B> = Pin<Box<dyn Future<Output = Option<Response<B>>> + Send>>;

/// Calls the inner service with this last event ID, after this time. `None`: there is no time here, so nothing is to be
/// waited for.
pub(super) type Again<B> = Box<dyn Fn(HeaderValue, Duration) -> Option<Attempt<B>> + Send>;

/// Makes the request with these parts and an empty body, each time by a clone of `service`.
pub(super) fn again<S, ReqBody, ResBody>(service: S, parts: Parts) -> Again<ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    ReqBody: Default,
{
    let runtime = time::runtime();
    Box::new(move |id, delay| {
        // The body may be polled elsewhere than where it was asked for.
        let mut timer = Timer::after(time::runtime().as_ref().or(runtime.as_ref())?, delay);
        let mut service = service.clone();
        let mut parts = parts.clone();
        parts.headers.insert(LAST_EVENT_ID, id);
        Some(Box::pin(async move {
            poll_fn(|cx| timer.poll(cx).map_or(Poll::Ready(None), |poll| poll.map(Some))).await?;
            poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
            let call = service.call(Request::from_parts(parts, ReqBody::default()));
            call.await.ok()
        }))
    })
}
