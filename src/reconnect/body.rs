//! The response body: one stream out of several inner bodies, or an inner body as it is.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::Config;
use super::again::{Again, Attempt};
use super::backoff::Backoff;
use super::error::{ReconnectError, ReconnectErrorKind};
use super::relay::Relay;
use crate::answer;
use crate::error::BoxError;
use crate::pass;

/// An inner body that lasts this long has gone on, even if there was nothing to say.
const HELD: Duration = Duration::from_secs(30);
/// What one poll reads before it lets others run, in bytes.
const MOST_AT_ONCE: usize = 64 * 1024;
/// What a poll of an inner body counts as at the least: one that says little costs time, too.
const LEAST_AT_ONCE: usize = 64;

pin_project! {
    /// The body of a response that passed [`SseReconnect`](crate::SseReconnect): an event stream that goes on when the
    /// inner body breaks, or an inner body as it is.
    ///
    /// Data is `Bytes`. Errors are the inner body's own, boxed, or [`ReconnectError`]s.
    pub struct ReconnectBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Pass { #[pin] body: B },
        Stream { stream: Box<Continued<B>> },
    }
}

impl<B> ReconnectBody<B> {
    pub(super) fn pass(body: B) -> Self {
        Self { kind: Kind::Pass { body } }
    }

    pub(super) fn stream(body: B, origin: Origin<B>) -> Self {
        Self { kind: Kind::Stream { stream: Box::new(Continued::new(body, origin)) } }
    }
}

impl<B> Body for ReconnectBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Stream { stream } => stream.poll_frame(cx),
            KindProj::Pass { body } => pass::poll_frame(body, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Pass { body } => body.is_end_stream(),
            Kind::Stream { stream } => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Pass { body } => body.size_hint(),
            Kind::Stream { .. } => SizeHint::default(),
        }
    }
}

impl<B> fmt::Debug for ReconnectBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Pass { .. } => "Pass",
            Kind::Stream { .. } => "Stream",
        };
        f.debug_struct("ReconnectBody").field("kind", &kind).finish_non_exhaustive()
    }
}

/// What it takes to go on with the answer to a request.
pub(super) struct Origin<B> {
    pub(super) config: Config,
    pub(super) relay: Relay,
    pub(super) again: Again<B>,
}

/// An event stream that goes on when the inner body breaks.
struct Continued<B> {
    origin: Origin<B>,
    backoff: Backoff,
    /// When the inner body came.
    since: Instant,
    /// Why the last body broke that brought something.
    error: Option<BoxError>,
    trailers: Option<HeaderMap>,
    phase: Phase<B>,
}

enum Phase<B> {
    Reading(Pin<Box<B>>),
    Calling(Attempt<B>),
    /// Only the trailers, or this error, are left to be sent.
    Ending(Option<BoxError>),
    Over,
}

impl<B> Continued<B> {
    fn new(body: B, origin: Origin<B>) -> Self {
        Self {
            origin,
            backoff: Backoff::default(),
            since: Instant::now(),
            error: None,
            trailers: None,
            phase: Phase::Reading(Box::pin(body)),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The inner body broke, or ended.
    fn broken(&mut self, error: Option<BoxError>) {
        let relay = &mut self.origin.relay;
        if relay.take_news() || self.since.elapsed() >= HELD {
            self.backoff.reset();
            self.error = error;
        } else if self.error.is_none() {
            self.error = error;
        }
        self.call_again();
    }

    fn call_again(&mut self) {
        let Origin { config, relay, again } = &self.origin;
        // The inner body, or the attempt before, is dropped here: before the wait, not after it.
        let next = relay.position().zip(self.backoff.next(config, relay.retry()));
        self.phase = match next.and_then(|(id, delay)| again(id, delay)) {
            Some(attempt) => Phase::Calling(attempt),
            None => Phase::Ending(self.error.take()),
        };
    }

    /// The inner body ended cleanly.
    fn ended(&mut self) {
        if self.origin.config.after_end {
            return self.broken(None);
        }
        self.origin.relay.finish();
        self.phase = Phase::Ending(None);
    }

    fn answered(&mut self, answer: Option<Response<B>>) {
        match answer {
            Some(response) if answer::is_event_stream(&response) => {
                self.origin.relay.go_on();
                self.trailers = None;
                self.since = Instant::now();
                self.phase = Phase::Reading(Box::pin(response.into_body()));
            }
            Some(response) if !response.status().is_server_error() => {
                self.refused(response.status());
            }
            _ => self.call_again(),
        }
    }

    /// The inner service does not want to go on.
    fn refused(&mut self, status: StatusCode) {
        let error = self.error.take().filter(|_| status != StatusCode::NO_CONTENT);
        let kind = ReconnectErrorKind::Refused(status);
        let error = error.map(|source| ReconnectError::new(kind, Some(source)).into());
        self.phase = Phase::Ending(error);
    }

    fn diverged(&mut self, kind: ReconnectErrorKind) {
        let error = ReconnectError::new(kind, self.error.take());
        self.phase = Phase::Ending(Some(error.into()));
    }
}

impl<B> Continued<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut read = 0;
        loop {
            match self.origin.relay.next() {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) => {}
                Err(kind) => self.diverged(kind),
            }
            // What is skipped, and what only opens a frame, gives nothing to return with.
            if read >= MOST_AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match &mut self.phase {
                Phase::Reading(body) => match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let said = frame.data_ref().map_or(0, Buf::remaining);
                        read += said.max(LEAST_AT_ONCE);
                        self.take(frame);
                    }
                    Some(Err(error)) => self.broken(Some(error.into())),
                    None => self.ended(),
                },
                Phase::Calling(attempt) => {
                    let answer = ready!(attempt.as_mut().poll(cx));
                    self.answered(answer);
                }
                Phase::Ending(error) => {
                    let error = error.take();
                    self.phase = Phase::Over;
                    let trailers =
                        self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)));
                    return Poll::Ready(error.map(Err).or(trailers));
                }
                Phase::Over => return Poll::Ready(None),
            }
        }
    }

    fn take(&mut self, frame: Frame<B::Data>) {
        match pass::to_bytes(frame).into_data() {
            Ok(data) => self.origin.relay.push(data),
            Err(other) => self.trailers = other.into_trailers().ok(),
        }
    }
}
