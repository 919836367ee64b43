//! An inner service in process, whose body costs next to nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tower_service::Service;

/// An event of `len` bytes, its blank line included.
pub fn event(len: usize) -> Bytes {
    format!("data: {}\n\n", "x".repeat(len - "data: \n\n".len())).into()
}

/// A body that says the same piece again and again.
pub struct Source {
    piece: Bytes,
    /// How many pieces it says before it has nothing for one poll.
    burst: usize,
    said: usize,
}

impl Source {
    pub fn new(piece: Bytes, burst: usize) -> Self {
        Self { piece, burst, said: 0 }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.said == self.burst {
            self.said = 0;
            return Poll::Pending;
        }
        self.said += 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

/// Answers every request with a [`Source`].
#[derive(Clone)]
pub struct Sources {
    pub piece: Bytes,
    pub burst: usize,
}

impl Service<Request<()>> for Sources {
    type Response = Response<Source>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Source>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let body = Source::new(self.piece.clone(), self.burst);
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        ready(Ok(response.unwrap()))
    }
}

/// The answer to a request whose future is ready at once.
pub fn answer<S, B>(service: &mut S, last_event_id: Option<&str>) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>>,
{
    let mut request = Request::get("/events");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let call = std::pin::pin!(service.call(request.body(()).unwrap()));
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response,
        _ => panic!("no answer at once"),
    }
}

/// Polls until `bytes` have come. Returns how many did.
pub fn read<B>(body: Pin<&mut B>, bytes: usize) -> usize
where
    B: Body<Data = Bytes>,
{
    read_with(body, bytes, Waker::noop())
}

/// Polls with this waker until `bytes` have come. Returns how many did.
#[inline(never)]
pub fn read_with<B>(mut body: Pin<&mut B>, bytes: usize, waker: &Waker) -> usize
where
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(waker);
    let mut come = 0;
    while come < bytes {
        if let Poll::Ready(frame) = body.as_mut().poll_frame(&mut cx) {
            let frame = frame.and_then(Result::ok).expect("an endless body");
            come += frame.into_data().map_or(0, |data| data.len());
        }
    }
    come
}
