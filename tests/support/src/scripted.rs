//! An inner service whose responses a test writes by hand, and clients that read what the layer makes of them.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tower_service::Service;

/// An inner service: each call is kept for the test, which writes the response's body.
#[derive(Clone, Default)]
pub struct Scripted {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    calls: Vec<Call>,
    next: VecDeque<Answer>,
}

/// How a call is answered.
enum Answer {
    Head(Response<()>),
    /// The head once the gate is open.
    Held(Response<()>, Gate),
    Error,
    Panic,
    /// Not in the future, but in the call itself.
    PanicInCall,
}

/// The service failed, without a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inner service failed")
    }
}

impl std::error::Error for Failure {}

/// Holds a response head back until the test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<tokio::sync::Notify>);

impl Gate {
    pub fn open(&self) {
        self.0.notify_one();
    }
}

/// One call of the inner service.
#[derive(Clone)]
pub struct Call {
    pub method: http::Method,
    pub headers: HeaderMap,
    pub uri: http::Uri,
    pub extensions: http::Extensions,
    pub body: Feed,
}

impl Call {
    /// The `Last-Event-ID` that the inner service was called with.
    pub fn last_event_id(&self) -> Option<String> {
        self.headers.get("last-event-id").map(|value| value.to_str().unwrap().to_owned())
    }
}

impl Scripted {
    pub fn new() -> Self {
        Self::default()
    }

    /// The head of the response to the next call that has none yet. Without one it is an event stream.
    pub fn answer_next(&self, head: Response<()>) {
        self.answer(Answer::Head(head));
    }

    /// The same, once the gate is open.
    pub fn hold_next(&self, head: Response<()>) -> Gate {
        let gate = Gate::default();
        self.answer(Answer::Held(head, gate.clone()));
        gate
    }

    pub fn fail_next(&self) {
        self.answer(Answer::Error);
    }

    pub fn panic_next(&self) {
        self.answer(Answer::Panic);
    }

    /// The next call panics itself, before there is a future.
    pub fn panic_in_next_call(&self) {
        self.answer(Answer::PanicInCall);
    }

    fn answer(&self, answer: Answer) {
        self.shared.lock().unwrap().next.push_back(answer);
    }

    pub fn calls(&self) -> usize {
        self.shared.lock().unwrap().calls.len()
    }

    /// The call with this number, from 0.
    pub fn call(&self, number: usize) -> Call {
        self.shared.lock().unwrap().calls[number].clone()
    }

    /// The body of the call with this number.
    pub fn body(&self, number: usize) -> Feed {
        self.call(number).body
    }
}

/// The head of an event stream.
pub fn event_stream() -> Response<()> {
    Response::builder().header("content-type", "text/event-stream").body(()).unwrap()
}

/// A head that is no event stream.
pub fn status(status: StatusCode) -> Response<()> {
    Response::builder().status(status).header("content-type", "text/plain").body(()).unwrap()
}

impl<B> Service<Request<B>> for Scripted {
    type Response = Response<FedBody>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let body = Feed::default();
        let mut shared = self.shared.lock().unwrap();
        let answer = shared.next.pop_front().unwrap_or_else(|| Answer::Head(event_stream()));
        shared.calls.push(Call {
            method: parts.method,
            headers: parts.headers,
            uri: parts.uri,
            extensions: parts.extensions,
            body: body.clone(),
        });
        drop(shared);
        assert!(!matches!(answer, Answer::PanicInCall), "the call panics");
        // Who drops the call drops the body, too.
        let body = FedBody(body);
        Box::pin(async move {
            let head = match answer {
                Answer::Head(head) => head,
                Answer::Held(head, gate) => {
                    gate.0.notified().await;
                    head
                }
                Answer::Error => return Err(Failure),
                Answer::Panic | Answer::PanicInCall => panic!("the inner service panics"),
            };
            Ok(head.map(|()| body))
        })
    }
}

/// The writing end of a response body.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<FeedState>>);

#[derive(Default)]
struct FeedState {
    frames: VecDeque<Result<Frame<Bytes>, String>>,
    ended: bool,
    dropped: bool,
    waker: Option<Waker>,
    polls: usize,
    drop_waker: Option<Waker>,
    panics: bool,
}

impl Feed {
    /// The reading end, for who makes a body without the service.
    pub fn reading_end(&self) -> FedBody {
        FedBody(self.clone())
    }

    pub fn send(&self, data: impl Into<Bytes>) {
        self.push(Ok(Frame::data(data.into())));
    }

    pub fn trailers(&self, trailers: HeaderMap) {
        self.push(Ok(Frame::trailers(trailers)));
    }

    /// Breaks the body off.
    pub fn fail(&self) {
        self.push(Err("the inner body broke".to_owned()));
    }

    /// Ends the body cleanly.
    pub fn end(&self) {
        let mut state = self.0.lock().unwrap();
        state.ended = true;
        wake(&mut state);
    }

    /// Makes the next poll panic.
    pub fn panic(&self) {
        let mut state = self.0.lock().unwrap();
        state.panics = true;
        wake(&mut state);
    }

    /// How many frames were not read yet.
    pub fn pending(&self) -> usize {
        self.0.lock().unwrap().frames.len()
    }

    /// How often the body was polled.
    pub fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }

    /// Whether all that was sent was taken.
    pub fn is_drained(&self) -> bool {
        self.0.lock().unwrap().frames.is_empty()
    }

    pub fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }

    /// Waits until the layer has let go of the body.
    pub async fn dropped(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.dropped {
                return Poll::Ready(());
            }
            state.drop_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn push(&self, frame: Result<Frame<Bytes>, String>) {
        let mut state = self.0.lock().unwrap();
        state.frames.push_back(frame);
        wake(&mut state);
    }
}

fn wake(state: &mut FeedState) {
    if let Some(waker) = state.waker.take() {
        waker.wake();
    }
}

/// The reading end: what the layer polls.
pub struct FedBody(Feed);

impl Body for FedBody {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let mut state = self.0.0.lock().unwrap();
        state.polls += 1;
        if std::mem::take(&mut state.panics) {
            drop(state);
            panic!("the inner body panics");
        }
        match state.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for FedBody {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap();
        state.dropped = true;
        if let Some(waker) = state.drop_waker.take() {
            waker.wake();
        }
    }
}
