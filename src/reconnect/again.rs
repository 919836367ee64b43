//! Makes a request again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use tokio::time::sleep;
use tower_service::Service;

use crate::ask::LAST_EVENT_ID;

/// The inner service's answer; `None` if it failed.
pub(super) type Attempt<B> = Pin<Box<dyn Future<Output = Option<Response<B>>> + Send>>;

/// Calls the inner service with this last event ID, after this time.
pub(super) type Again<B> = Box<dyn Fn(HeaderValue, Duration) -> Attempt<B> + Send>;

/// Makes the request with these parts and an empty body, each time by a clone of `service`.
pub(super) fn again<S, ReqBody, ResBody>(service: S, parts: Parts) -> Again<ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    ReqBody: Default,
{
    Box::new(move |id, delay| {
        let mut service = service.clone();
        let mut parts = parts.clone();
        parts.headers.insert(LAST_EVENT_ID, id);
        Box::pin(async move {
            sleep(delay).await;
            poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
            let call = service.call(Request::from_parts(parts, ReqBody::default()));
            call.await.ok()
        })
    })
}
