//! The inner service: it says what a script has, in pieces, as far as the test lets it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::Instant;
use tower_service::Service;

use super::frames::{Kinds, Universe};
use super::random::Random;

/// What the inner service does with a `Last-Event-ID` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Sends what comes after it.
    GoesOn,
    /// Sends all, or something that was sent already and what comes after it.
    Resends,
    /// Counts anew, with other events.
    Restarts,
    /// Any of these.
    Varies,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) kinds: Kinds,
    pub(crate) habit: Habit,
    pub(crate) most_events: usize,
    /// Once in so many calls it answers something else.
    pub(crate) refuses: usize,
    pub(crate) piece: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How an inner body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Clean,
    Fails,
    StaysOpen,
}

/// One call of the inner service.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) last_event_id: Vec<u8>,
    pub(crate) is_stream: bool,
    pub(crate) universe: Universe,
    /// Whether it began with other events under IDs that it had given before.
    pub(crate) restarted: bool,
    pub(crate) first: usize,
    pub(crate) called_at: Instant,
    pieces: VecDeque<Bytes>,
    /// How many pieces, and then the end, it may say.
    allowed: usize,
    /// What it has said.
    pub(crate) said: Vec<u8>,
    finish: Finish,
    /// How it has ended, or `StaysOpen` if it was dropped before.
    pub(crate) ended: Option<Finish>,
    pub(crate) ended_at: Option<Instant>,
    waker: Option<Waker>,
    pub(crate) is_dropped: bool,
    /// When it got as far as a response.
    pub(crate) answered_at: Option<Instant>,
}

impl Call {
    /// Whether all that it will say was said.
    pub(crate) fn is_silent(&self) -> bool {
        self.pieces.is_empty() && self.finish == Finish::StaysOpen || self.ended.is_some()
    }

    pub(crate) fn in_short(&self) -> String {
        let id = self.last_event_id.escape_ascii();
        let Self { universe, first, is_stream, finish, .. } = self;
        format!("{id:?} {universe:?} from {first}, is stream {is_stream}, {finish:?}")
    }

    pub(crate) fn allow(&mut self, pieces: usize) {
        self.allowed = self.allowed.saturating_add(pieces);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) service: Habits,
    random: Random,
    pub(crate) calls: Vec<Arc<Mutex<Call>>>,
    universes: usize,
    retry: u64,
    /// The universes that the asking client's stream was in, each with the first number that the stream has of it.
    pub(crate) asked_from: Vec<(Universe, usize)>,
    /// Whether new calls may say all at once.
    pub(crate) unbounded: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Scripted(pub(crate) Arc<Mutex<Inner>>);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Scripted {
    pub(crate) fn new(service: Habits, random: Random) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            service,
            random,
            calls: Vec::new(),
            universes: 0,
            retry: 1_000,
            asked_from: Vec::new(),
            unbounded: false,
        })))
    }
}

impl Inner {
    fn call(&mut self, last_event_id: &[u8]) -> Call {
        let (universe, restarted, first) = self.begin(last_event_id);
        let is_stream = self.calls.is_empty() || !self.random.one_in(self.service.refuses);
        let random = &mut self.random;
        let mut said = Vec::new();
        let events = random.within(0, self.service.most_events);
        for number in first..first + events {
            self.service.kinds.write(&mut said, universe, number, &mut self.retry);
        }
        // A frame that begins like that must not be taken for another one because it comes first.
        if random.one_in(6) || said.starts_with(BYTE_ORDER_MARK) {
            said.splice(0..0, BYTE_ORDER_MARK.iter().copied());
        }
        if random.one_in(4) {
            let tails: [&[u8]; 4] = [b"data: unfinished", b"data: x\n", b"id: 7\n", b": c"];
            said.extend_from_slice(random.pick::<&[u8]>(&tails));
        }
        let mut pieces = VecDeque::new();
        let mut said = Bytes::from(said);
        while !said.is_empty() {
            let length = random.within(1, self.service.piece).min(said.len());
            pieces.push_back(said.split_to(length));
        }
        Call {
            last_event_id: last_event_id.to_vec(),
            is_stream,
            universe,
            restarted,
            first,
            called_at: Instant::now(),
            pieces,
            allowed: if self.unbounded { usize::MAX } else { random.within(0, 20) },
            said: Vec::new(),
            finish: *random.pick(&[Finish::Clean, Finish::Fails, Finish::StaysOpen]),
            ended: None,
            ended_at: None,
            waker: None,
            is_dropped: false,
            answered_at: None,
        }
    }

    /// Where it begins: in which universe, whether that is a restart, and with which event.
    fn begin(&mut self, last_event_id: &[u8]) -> (Universe, bool, usize) {
        if last_event_id.is_empty() {
            let number = self.next_universe();
            return (Universe { number, series: number }, false, 1);
        }
        let text = std::str::from_utf8(last_event_id).unwrap();
        let mut parts = text.split('-').map(str::parse::<usize>);
        let series = parts.next().unwrap().unwrap();
        let number = parts.next().unwrap().unwrap();
        let known = self.asked_from.iter().rfind(|(universe, _)| universe.series == series);
        let (asked, first) = *known.unwrap_or_else(|| {
            panic!("called with {text:?}, an ID of another stream than {:?}", self.asked_from)
        });
        let habits = [Habit::GoesOn, Habit::Resends, Habit::Restarts];
        let habit = match self.service.habit {
            Habit::Varies => *self.random.pick(&habits),
            habit => habit,
        };
        match habit {
            Habit::GoesOn | Habit::Varies => (asked, false, number + 1),
            Habit::Resends => (asked, false, self.resent(first, number)),
            Habit::Restarts => {
                let universe = Universe { number: self.next_universe(), series };
                (universe, true, self.resent(1, number))
            }
        }
    }

    /// An event up to `number` that has an ID of its own, or the next one: no other can be known again. Nor can what
    /// was before the stream.
    fn resent(&mut self, first: usize, number: usize) -> usize {
        let from =
            if self.random.one_in(2) { first } else { self.random.within(1, number).max(first) };
        (from..=number).find(|number| self.service.kinds.has_id(*number)).unwrap_or(number + 1)
    }

    fn next_universe(&mut self) -> usize {
        self.universes += 1;
        self.universes
    }
}

impl<B> Service<Request<B>> for Scripted {
    type Response = Response<Said>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id = request.headers().get("last-event-id");
        let mut inner = lock(&self.0);
        let call = inner.call(id.map(http::HeaderValue::as_bytes).unwrap_or_default());
        let late = inner.random.one_in(3);
        let is_stream = call.is_stream;
        let call = Arc::new(Mutex::new(call));
        inner.calls.push(Arc::clone(&call));
        // A call that is let go of before it answers lets go of its body, too.
        let body = Said(call);
        Box::pin(async move {
            if late {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            lock(&body.0).answered_at = Some(Instant::now());
            let (status, content) = if is_stream {
                (StatusCode::OK, "text/event-stream")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain")
            };
            let response = Response::builder().status(status).header("content-type", content);
            Ok(response.body(body).unwrap())
        })
    }
}

/// The body of a response of the inner service.
pub(crate) struct Said(Arc<Mutex<Call>>);

impl Body for Said {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut call = lock(&self.0);
        assert!(call.ended.is_none(), "an inner body was polled after its end");
        if call.allowed == 0 || call.pieces.is_empty() && call.finish == Finish::StaysOpen {
            call.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        call.allowed -= 1;
        if let Some(piece) = call.pieces.pop_front() {
            call.said.extend_from_slice(&piece);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        call.ended = Some(call.finish);
        call.ended_at = Some(Instant::now());
        Poll::Ready(if call.finish == Finish::Clean { None } else { Some(Err("broke")) })
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        let mut call = lock(&self.0);
        call.is_dropped = true;
        if call.ended.is_none() {
            call.ended = Some(Finish::StaysOpen);
            call.ended_at = Some(Instant::now());
        }
    }
}
