//! The response body: a reader of a stream, or the inner body as it is.

mod told;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::config::{Closing, Config, Connections, GapSignal};
use crate::driver;
use crate::error::{BoxError, ResumeError, ResumeErrorKind};
use crate::exchange::Primer;
use crate::jitter::jitter;
use crate::observer::Observation;
use crate::pass;
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::sse::{BYTE_ORDER_MARK, encode};
use crate::stream::{Close, Start, Step, Stream};
use crate::time::Timer;
use told::Told;

/// What comes just before an error gets this head start. To wait for one turn of the server's task is enough for
/// HTTP/1.1, but with HTTP/2 another task writes.
const TIME_TO_WRITE: Duration = Duration::from_millis(50);

pin_project! {
    /// The body of a response that passed the layer: an inner body as it is, or the events of a resumable stream.
    ///
    /// Data is [`Bytes`]; a piece of a resumable stream can hold many events. Its size is unknown, and it ends with the
    /// trailers of the inner body. A body that passes keeps its size hint and its trailers.
    ///
    /// # Errors
    /// Those of a resumable stream are [`ResumeError`](crate::ResumeError)s, boxed: the response ended before its
    /// stream did. Those of a body that passes are its own, boxed.
    ///
    /// # Cancel safety
    /// To drop the body is what a disconnect is. A body that passes drops the inner one. Of a resumable stream, a reader
    /// leaves: what it was not sent yet can be had by coming back, and the inner body is read on for the
    /// [linger](crate::SseResumeLayer::linger) if it was the last one. If nothing of it was ever polled, there is no
    /// linger, because no client has an event ID. Over HTTP/2 such a client may have had the head. If it comes back with
    /// the ID that `SSE-Resume-From` has there, the stream was aborted, and it gets what that means.
    pub struct ResumeBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Pass { #[pin] body: B },
        /// The same, after what its client has to be told.
        Told { #[pin] told: Told<B> },
        Stream { reader: Reader },
        Full { data: Bytes },
    }
}

impl<B> ResumeBody<B> {
    pub(crate) fn pass(body: B) -> Self {
        Self { kind: Kind::Pass { body } }
    }

    /// The inner body as it is, after a gap signal. That has no ID, since there is no position that it resumes from.
    pub(crate) fn told(gap: &Gap, config: &Config, body: B) -> Self {
        let lines = match &config.gap_signal {
            GapSignal::Event(name) => encode::event_lines(name, &gap.to_json()),
            GapSignal::Closure(encode) => encode(gap),
        };
        Self { kind: Kind::Told { told: Told::new(encode::block(&lines), body) } }
    }

    pub(crate) fn stream(reader: Reader) -> Self {
        Self { kind: Kind::Stream { reader } }
    }

    /// A body that is there, or is empty.
    pub(crate) fn full(data: Bytes) -> Self {
        Self { kind: Kind::Full { data } }
    }
}

impl<B> Body for ResumeBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Stream { reader } => reader.poll_frame(cx),
            KindProj::Pass { body } => pass::poll_frame(body, cx),
            KindProj::Told { told } => told.poll_frame(cx),
            KindProj::Full { data } => {
                let data = std::mem::take(data);
                Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Pass { body } => body.is_end_stream(),
            Kind::Told { .. } => false,
            Kind::Stream { reader } => reader.is_over,
            Kind::Full { data } => data.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Pass { body } => body.size_hint(),
            Kind::Told { .. } => SizeHint::default(),
            Kind::Stream { .. } => SizeHint::default(),
            Kind::Full { data } => SizeHint::with_exact(data.len() as u64),
        }
    }
}

impl<B> Default for ResumeBody<B> {
    /// An empty body: layers outside, CORS for one, answer some requests by themselves with such.
    fn default() -> Self {
        Self::full(Bytes::new())
    }
}

impl<B> fmt::Debug for ResumeBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Pass { .. } | Kind::Told { .. } => "Pass",
            Kind::Stream { .. } => "Stream",
            Kind::Full { .. } => "Full",
        };
        f.debug_struct("ResumeBody").field("kind", &kind).finish_non_exhaustive()
    }
}

/// One client of a stream.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Reader {
    stream: Arc<Stream>,
    key: usize,
    /// What goes out before the next step is asked for.
    due: Option<Bytes>,
    /// What comes after `due`, when the response is ending.
    last: Last,
    /// What the response begins with.
    primer: Option<Primer>,
    /// Whether the end is that the rest of the stream is lost, and is to be told.
    pub(crate) tells_loss: bool,
    /// Whether a client is there, or was: then it was polled, or made for one that came back.
    seen: bool,
    /// Whether anything was sent.
    begun: bool,
    /// Whether something was handed out since the transport last had the time to write.
    unwritten: bool,
    is_over: bool,
    age: Option<Timer>,
}

/// How a response ends.
enum Last {
    None,
    Trailers(Option<Box<HeaderMap>>),
    /// When there was time to write what was sent before it.
    Error(ResumeError, Option<Timer>),
}

impl Reader {
    pub(crate) fn new(stream: Arc<Stream>, start: Start) -> Self {
        let key = stream.attach(start);
        if stream.config.connections == Connections::Newest {
            stream.supersede(key);
        }
        if stream.registry.is_draining() && stream.origin.repeatable {
            stream.close(key, stream.drained());
        }
        let age = stream.config.max_connection_age.zip(stream.runtime.as_ref());
        let age =
            age.map(|(age, runtime)| Timer::after(runtime, jitter(age, stream.config.jitter)));
        Self {
            stream,
            key,
            due: None,
            last: Last::None,
            primer: None,
            tells_loss: false,
            seen: false,
            begun: false,
            unwritten: false,
            is_over: false,
            age,
        }
    }

    pub(crate) fn of(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The stream is to outlive this client even if it leaves before it got anything: it has been there before, or
    /// others may join.
    pub(crate) fn leaves_stream_running(&mut self) {
        self.seen = true;
    }

    /// Begins the response with what names the position it begins at.
    pub(crate) fn prime(&mut self, primer: Option<Primer>, at: Option<Position>) {
        self.primer = primer;
        if let (Some(primer), Some(at)) = (primer, at) {
            self.send_first(&priming(&self.stream, primer, at));
        }
    }

    /// Tells of a gap before anything else that follows.
    pub(crate) fn send_gap_first(&mut self, gap: &Gap, from: Position) {
        let gap = Gap { resumed: from.offset, ..*gap };
        let signal = self.gap_signal(&gap, from);
        self.send_first(&signal);
    }

    /// Adds to what is sent first.
    pub(crate) fn send_first(&mut self, bytes: &[u8]) {
        let before = self.due.take().unwrap_or_default();
        let mut all = BytesMut::with_capacity(before.len() + bytes.len());
        all.extend_from_slice(&before);
        all.extend_from_slice(bytes);
        self.due = Some(all.freeze());
    }

    #[inline]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.flows() {
            // Returned just here: a piece that takes a way round is copied at each turn.
            match driver::poll_inline(&self.stream, self.key, cx) {
                Some(Poll::Ready(Step::Data(bytes))) => {
                    self.unwritten = true;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Poll::Ready(other)) => self.take(other),
                Some(Poll::Pending) => {
                    self.unwritten = false;
                    return Poll::Pending;
                }
                None => {}
            }
        }
        self.poll_any(cx)
    }

    /// Whether there is nothing to do but to send what comes: the normal case, which costs as little as can be.
    #[inline]
    fn flows(&self) -> bool {
        self.begun
            && self.due.is_none()
            && matches!(self.last, Last::None)
            && !self.is_over
            && self.age.is_none()
    }

    #[inline(never)]
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.seen = true;
        loop {
            if let Some(due) = self.due.take() {
                let due = self.guard_start(due);
                self.begun = true;
                self.unwritten = true;
                return Poll::Ready(Some(Ok(Frame::data(due))));
            }
            if self.is_over || !matches!(self.last, Last::None) {
                if let Last::Error(_, Some(written)) = &mut self.last {
                    ready!(written.poll(cx).unwrap_or(Poll::Ready(())));
                }
                return Poll::Ready(self.finish());
            }
            if self.age.is_some() {
                self.check_age(cx);
            }
            let Poll::Ready(step) = driver::poll_read(&self.stream, self.key, cx) else {
                self.unwritten = false;
                return Poll::Pending;
            };
            match step {
                Step::Data(bytes) => {
                    let bytes = self.guard_start(bytes);
                    self.begun = true;
                    self.unwritten = true;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                other => self.take(other),
            }
        }
    }

    /// What is sent first must not begin with U+FEFF, or with a part of it: clients would strip that, and a line that
    /// says nothing to them would be one that does.
    #[inline]
    fn guard_start(&self, bytes: Bytes) -> Bytes {
        let is_mark = !self.begun && bytes.first() == BYTE_ORDER_MARK.first();
        if is_mark { [encode::COMMENT_LINE, &bytes[..]].concat().into() } else { bytes }
    }

    /// Ends with an error, but not right after something that was sent: servers drop what they have not written when a
    /// body fails, and the client would never get it, however often it came back for it.
    fn fail(&mut self, error: ResumeError) {
        let is_unwritten = self.unwritten || self.due.is_some();
        let runtime = self.stream.runtime.as_ref().filter(|_| is_unwritten);
        let written = runtime.map(|runtime| Timer::after(runtime, TIME_TO_WRITE));
        self.last = Last::Error(error, written);
    }

    /// The last thing that is sent; nothing once it was.
    #[cold]
    fn finish(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.is_over = true;
        match std::mem::replace(&mut self.last, Last::None) {
            Last::None => None,
            Last::Trailers(trailers) => trailers.map(|trailers| Ok(Frame::trailers(*trailers))),
            Last::Error(error, _) => Some(Err(error.into())),
        }
    }

    /// Prepares what a step other than data sends.
    #[cold]
    fn take(&mut self, step: Step) {
        match step {
            Step::Data(bytes) => self.due = Some(bytes),
            Step::Gap(gap) => match self.give_up(&gap.0) {
                None => self.due = Some(self.gap_signal(&gap.0, gap.1)),
                told => (self.due, self.last) = (told, Last::Trailers(None)),
            },
            Step::End(trailers) => {
                if self.primer == Some(Primer::IdOnly) {
                    let end = self.stream.end_position();
                    self.send_first(&priming(&self.stream, Primer::IdOnly, end));
                }
                self.last = Last::Trailers(trailers);
            }
            Step::Close(Close::Clean(retry)) => {
                self.due = self.closing(retry);
                self.last = Last::Trailers(None);
            }
            Step::Close(Close::Broken(kind, retry)) => {
                self.due = self.closing(retry);
                self.fail(ResumeError::new(kind));
            }
            Step::Fail(error) => {
                let lost = matches!(
                    error.kind(),
                    ResumeErrorKind::ProducerLost | ResumeErrorKind::InnerBody
                );
                if lost && self.stream.origin.exchange.is_some() {
                    // An exchange that is not whole makes its client come back, also after a clean end.
                    self.due = self.end_of_exchange();
                    self.last = Last::Trailers(None);
                    return;
                }
                if self.tells_loss && lost {
                    self.due = Some(self.loss());
                }
                if error.kind() == ResumeErrorKind::TooSlow {
                    self.stream.observe(Observation::SlowReader);
                }
                self.fail(error);
            }
        }
    }

    /// Tells that the rest is lost, under a position that acknowledges it.
    fn loss(&self) -> Bytes {
        let position = self.stream.tell_loss();
        self.gap_signal(&Gap::producer_lost(position.offset), position)
    }

    /// The last thing of a response whose inner body ended before the exchange was whole: nothing, if it can go on.
    fn end_of_exchange(&self) -> Option<Bytes> {
        let last = self.stream.end_position().offset;
        self.give_up(&Gap::producer_lost(last)).or_else(|| self.tells_loss.then(|| self.loss()))
    }

    /// The event that ends an exchange that a gap has spoiled.
    fn give_up(&self, gap: &Gap) -> Option<Bytes> {
        let (lines, position) = self.stream.give_up(gap)?;
        self.observe_gap(gap);
        let mut out = BytesMut::new();
        encode::event_of_lines(&mut out, &lines, &self.stream.id_of(position));
        Some(out.freeze())
    }

    /// What goes before an end that the layer brings about.
    fn closing(&self, retry: Option<u64>) -> Option<Bytes> {
        let retry = retry?;
        Some(match self.stream.config.closing {
            Closing::Line => encode::retry(retry),
            Closing::Block => encode::retry_block(retry),
        })
    }

    /// What tells this reader of a gap.
    pub(crate) fn gap_signal(&self, gap: &Gap, position: Position) -> Bytes {
        self.observe_gap(gap);
        gap_signal(&self.stream, gap, position)
    }

    fn observe_gap(&self, gap: &Gap) {
        let Gap { reason, missed, .. } = *gap;
        self.stream.observe(Observation::Gap { reason, missed });
        if reason == GapReason::TooSlow {
            self.stream.observe(Observation::SlowReader);
        }
    }

    fn check_age(&mut self, cx: &mut Context<'_>) {
        let elapsed = self.age.as_mut().map(|age| age.poll(cx));
        if elapsed == Some(None) {
            self.age = None;
        }
        if elapsed == Some(Some(Poll::Ready(()))) {
            self.age = None;
            let clean = self.stream.config.clean_close;
            let broken = Close::Broken(ResumeErrorKind::ConnectionAge, None);
            self.stream.close(self.key, if clean { Close::Clean(None) } else { broken });
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.detach(self.key, self.seen);
    }
}

/// A gap signal as the configuration wants it, with the ID of the position it resumes from.
fn gap_signal(stream: &Stream, gap: &Gap, position: Position) -> Bytes {
    let mut out = BytesMut::new();
    let id = stream.id_of(position);
    match &stream.config.gap_signal {
        GapSignal::Event(name) => encode::event(&mut out, name, &gap.to_json(), &id),
        GapSignal::Closure(encode) => encode::event_of_lines(&mut out, &encode(gap), &id),
    }
    out.freeze()
}

/// What sets the client's last event ID to `position`.
fn priming(stream: &Stream, primer: Primer, position: Position) -> BytesMut {
    let mut out = BytesMut::new();
    let id = stream.id_of(position);
    match primer {
        Primer::IdOnly => encode::priming(&mut out, &id),
        Primer::EmptyEvent => encode::event_of_lines(&mut out, "data:", &id),
    }
    out
}
