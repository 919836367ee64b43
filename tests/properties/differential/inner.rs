//! An inner service whose calls may go wrong in every way, until it is told to be well.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, StatusCode};
use tower_service::Service;
use tower_sse_resume::StreamHandle;

use super::script::{Script, Speech};

use support::random::Random;
use support::scripted::{Failure, FedBody, Feed, event_stream, status};

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Stream,
    /// An event stream whose handler does not want it recorded.
    Unrecorded,
    Unavailable,
    Fails,
    /// Neither a head nor an error, ever.
    Silent,
    /// The service panics when it is called.
    Panics,
}

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Inner(Arc<Mutex<State>>);

struct State {
    script: Arc<Script>,
    /// One a call; `None` for one that says nothing.
    speeches: Vec<Option<Speech>>,
    random: Random,
    /// What may happen instead of an event stream, and once in how many calls.
    faults: Vec<Answer>,
    one_in: u64,
    is_well: bool,
    tell: bool,
}

impl Inner {
    pub(crate) fn new(
        script: &Arc<Script>,
        random: Random,
        faults: &[Answer],
        one_in: u64,
        tell: bool,
    ) -> Self {
        let (script, speeches, faults) = (Arc::clone(script), Vec::new(), faults.to_vec());
        let is_well = false;
        let state = State { script, speeches, random, faults, one_in, is_well, tell };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on each call gets an event stream, which does not break off.
    pub(crate) fn be_well(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.is_well = true;
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.lock().speeches.len()
    }

    /// The call of this number says so many pieces more.
    pub(crate) fn say(&self, call: usize, pieces: usize) {
        if let Some(speech) = &mut self.lock().speeches[call] {
            speech.say(pieces);
        }
    }

    /// Each call says all that it has to say.
    pub(crate) fn say_all(&self) {
        self.lock().speeches.iter_mut().flatten().for_each(|speech| speech.say(usize::MAX));
    }
}

impl State {
    /// What a call with this answer will say. Sometimes a part of it is there at once.
    fn speech(&mut self, answer: Answer, id: Option<&[u8]>, body: Feed) -> Option<Speech> {
        if !matches!(answer, Answer::Stream | Answer::Unrecorded) {
            return None;
        }
        let mut speech = self.script.speech(&mut self.random, id, self.is_well, body);
        if self.tell {
            println!("it {}", speech.in_short());
        }
        if self.random.one_in(2) {
            speech.say(self.random.pick(&[1, 2, 5, 1000]));
        }
        Some(speech)
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<FedBody>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut state = self.lock();
        let state = &mut *state;
        let goes_wrong = !state.faults.is_empty() && state.random.one_in(state.one_in);
        let answer = if goes_wrong { state.random.pick(&state.faults) } else { Answer::Stream };
        let body = Feed::default();
        let id = request.headers().get("last-event-id").map(HeaderValue::as_bytes);
        if state.tell {
            let id = id.map(|id| id.escape_ascii().to_string());
            println!("call {} with {id:?} is answered: {answer:?}", state.speeches.len());
        }
        let speech = state.speech(answer, id, body.clone());
        state.speeches.push(speech);
        let mut head = event_stream();
        match answer {
            Answer::Stream => {}
            Answer::Unrecorded => {
                if let Some(handle) = request.extensions().get::<StreamHandle>() {
                    handle.do_not_record();
                }
            }
            Answer::Unavailable => head = status(StatusCode::SERVICE_UNAVAILABLE),
            Answer::Fails => return Box::pin(async { Err(Failure) }),
            Answer::Silent => return Box::pin(std::future::pending()),
            Answer::Panics => panic!("the inner service panics when it is called"),
        }
        Box::pin(async move { Ok(head.map(|()| body.reading_end())) })
    }
}
