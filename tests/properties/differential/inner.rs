//! An inner service whose calls may go wrong in every way, until it is told to be well.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use tower_service::Service;
use tower_sse_resume::StreamHandle;

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

/// One call of the service.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) last_event_id: Option<Vec<u8>>,
    pub(crate) answer: Answer,
    pub(crate) body: Feed,
}

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Inner(Arc<Mutex<State>>);

struct State {
    calls: Vec<Call>,
    random: Random,
    /// What may happen instead of an event stream, and once in how many calls.
    faults: Vec<Answer>,
    one_in: u64,
    headers: HeaderMap,
}

impl Inner {
    pub(crate) fn new(random: Random, faults: &[Answer], one_in: u64) -> Self {
        let (calls, headers) = (Vec::new(), event_stream().headers().clone());
        Self(Arc::new(Mutex::new(State {
            calls,
            random,
            faults: faults.to_vec(),
            one_in,
            headers,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on each call gets an event stream.
    pub(crate) fn be_well(&self) {
        self.lock().faults.clear();
    }

    pub(crate) fn call(&self, number: usize) -> Option<Call> {
        self.lock().calls.get(number).cloned()
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
        let name = HeaderName::from_static("last-event-id");
        let last_event_id = request.headers().get(name).map(|id| id.as_bytes().to_vec());
        state.calls.push(Call { last_event_id, answer, body: body.clone() });
        let mut head = event_stream();
        head.headers_mut().clone_from(&state.headers);
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
