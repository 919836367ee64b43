//! Goes on with an event stream whose inner body breaks: a layer of its own, that knows nothing of resumable streams.

mod again;
mod backoff;
mod body;
mod error;
mod future;
mod place;
mod relay;
mod service;
mod window;

use std::time::Duration;

use tower_layer::Layer;

use crate::random;
use crate::resume::keys::Keys;

pub use body::ReconnectBody;
pub use error::{ReconnectError, ReconnectErrorKind};
pub use future::ReconnectFuture;
pub use service::SseReconnect;

/// A layer that calls the inner service again when the body of an event stream breaks, so that its client sees one
/// unbroken response.
///
/// For services that can go on from a `Last-Event-ID`: a proxied upstream, mostly. Such a service is called again as
/// an `EventSource` would call it, with the last event ID that it gave, and what it resends is left out. So a client
/// gets each event once and in order, or the body ends with an error:
///
/// - Only the answer to a `GET` without a body is gone on with, and only if it is `200` with the content type
///   `text/event-stream` and without `Content-Encoding`. All else passes untouched. The request is made again with the
///   same method, URI, version, headers and extensions, and with `ReqBody::default()`, which is to be empty: as it is for
///   axum's and http-body-util's bodies (and not there for hyper's `Incoming`: box it into an `UnsyncBoxBody`).
/// - Only whole frames pass, up to and with their blank line, so that what a break leaves unfinished can be dropped.
///   Comments pass at once. A frame beyond [`frame_limit`](Self::frame_limit) passes as it comes; a break inside it is
///   passed on.
/// - Without a last event ID nobody can know what was missed: the break is passed on. The ID with which the client came
///   counts until the service gives one.
/// - What the service resends is recognised by event ID and content, among the last [`window`](Self::window) events. A
///   service that resends more than that is not recognised as resending. Other content under a known ID means that the
///   service counts from anew, and that events may be missing: the body ends with a [`ReconnectError`].
/// - The wait before a call begins at the service's last `retry`, or at [`first_delay`](Self::first_delay), and doubles
///   with each attempt that fails. After [`attempts`](Self::attempts) of those the first break's error is
///   passed on.
/// - The answer `204` ends the response cleanly. Errors of the service and `5xx` count as attempts; any other answer
///   that is no event stream ends the body with a [`ReconnectError`].
/// - A clean end is a clean end, with its trailers; see [`after_end`](Self::after_end).
///
/// Everything happens while the response's body is polled: there is no task, and when the client leaves, all ends.
/// Needs a Tokio runtime with time: without one, a break is passed on.
///
/// Inside of [`SseResumeLayer`](crate::SseResumeLayer), the one lets clients come back, the other never lets them know
/// that the upstream was away:
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{ServiceBuilder, service_fn};
/// use tower_sse_resume::{SseReconnectLayer, SseResumeLayer};
///
/// async fn upstream(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
///     let body = Full::from("id: 1\ndata: hello\n\n");
///     Ok(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
/// }
///
/// let service = ServiceBuilder::new()
///     .layer(SseResumeLayer::new())
///     .layer(SseReconnectLayer::new().longest_delay(Duration::from_secs(10)))
///     .service(service_fn(upstream));
/// # fn check<S: tower::Service<Request<Full<Bytes>>>>(_: S) {}
/// # check(service);
/// ```
#[derive(Clone, Debug)]
pub struct SseReconnectLayer {
    config: Config,
    keys: Keys,
}

/// All that the layer's methods set.
#[derive(Clone, Copy, Debug)]
struct Config {
    first_delay: Duration,
    longest_delay: Duration,
    jitter: f64,
    attempts: u32,
    window: usize,
    frame_limit: usize,
    after_end: bool,
}

impl SseReconnectLayer {
    /// A layer with the defaults that each method names.
    pub fn new() -> Self {
        let config = Config {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            jitter: 0.25,
            attempts: 10,
            window: 100,
            frame_limit: 1024 * 1024,
            after_end: false,
        };
        let keys = Keys::new(&random::secret());
        Self { config, keys }
    }

    /// How long to wait before the first call after a break, until the inner service says otherwise by `retry`.
    /// Default: 1 second.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.config.first_delay = delay;
        self
    }

    /// Up to what the wait doubles; a longer `retry` of the inner service is kept. Default: 30 seconds.
    #[must_use]
    pub fn longest_delay(mut self, delay: Duration) -> Self {
        self.config.longest_delay = delay;
        self
    }

    /// By which share of itself a wait is longer, at random and at the most, so that not all streams of an upstream
    /// that was away come back at once. Default: 0.25; below 0 counts as 0, above 10 as 10.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.config.jitter = if share.is_finite() { share.clamp(0.0, 10.0) } else { 0.0 };
        self
    }

    /// How many attempts in a row may fail before the break is passed on. One whose body breaks within 30 seconds and
    /// without a new event has failed, too. Default: 10.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// How many events are known by ID and content, of those that may be resent. Each takes 24 bytes a stream.
    /// Default: 100.
    #[must_use]
    pub fn window(mut self, events: usize) -> Self {
        self.config.window = events;
        self
    }

    /// The largest frame that is held back until it is whole, in bytes. Default: 1 MiB.
    #[must_use]
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.config.frame_limit = bytes;
        self
    }

    /// Whether a clean end is gone on from like a break, as an `EventSource` does; the response then ends cleanly once
    /// the attempts are used up, or the inner service answers with no event stream. For services that end each
    /// response on purpose. Default: `false`.
    #[must_use]
    pub fn after_end(mut self, after_end: bool) -> Self {
        self.config.after_end = after_end;
        self
    }
}

impl Default for SseReconnectLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SseReconnectLayer {
    type Service = SseReconnect<S>;

    fn layer(&self, inner: S) -> SseReconnect<S> {
        SseReconnect::new(inner, self.clone())
    }
}
