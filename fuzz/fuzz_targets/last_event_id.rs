//! The whole layer, in process: any bytes as `Last-Event-ID`, or as a query, beside those of a stream that is there.
//!
//! The first byte says how the rest is sent: in the header, in the query, in both, and whether behind the start of a
//! real ID. Nothing of another owner's stream may come back, and no answer may be an error or hang.

#![no_main]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::{Body, Frame};
use libfuzzer_sys::fuzz_target;
use tower_layer::Layer;
use tower_service::Service;
use tower_sse_resume::{ResumeBody, SseResume, SseResumeLayer};

const SECRET: &[u8] = b"of the owner alone";

/// An inner service that says one event, and more for nobody.
#[derive(Clone)]
struct Inner;

struct OneEvent(Option<Bytes>);

impl Body for OneEvent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

impl Service<Request<()>> for Inner {
    type Response = Response<OneEvent>;
    type Error = Infallible;
    type Future = Ready<Result<Response<OneEvent>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        if let Some(id) = request.headers().get("last-event-id") {
            assert!(!id.as_bytes().starts_with(b"r1."), "our IDs never reach the inner service");
        }
        let owner = request.headers().contains_key("authorization");
        let data: &[u8] = if owner { SECRET } else { b"public" };
        let event = [b"id: a\ndata: ", data, b"\n\n"].concat();
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(Ok(response.body(OneEvent(Some(event.into()))).unwrap()))
    }
}

type App = SseResume<Inner>;

fn answer(app: &mut App, request: Request<()>) -> (Response<ResumeBody<OneEvent>>, Vec<u8>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = std::pin::pin!(app.call(request));
    let Poll::Ready(Ok(mut response)) = call.as_mut().poll(&mut cx) else { panic!("no answer") };
    let mut received = Vec::new();
    while let Poll::Ready(Some(frame)) = Pin::new(response.body_mut()).poll_frame(&mut cx) {
        received.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    (response, received)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let mut app = SseResumeLayer::new()
        .methods([Method::GET, Method::POST])
        .last_event_id_query("id")
        .layer(Inner);
    let mut owned = Request::new(());
    owned.headers_mut().insert("authorization", HeaderValue::from_static("Bearer owner"));
    let (own, received) = answer(&mut app, owned);
    assert!(received.windows(SECRET.len()).any(|part| part == SECRET));
    let id = own.headers()["sse-resume-from"].as_bytes().to_vec();

    let start = if how & 1 == 0 { &[] } else { &id[..usize::from(how >> 4) * id.len() / 15] };
    let sent = [start, rest].concat();
    let mut request = Request::new(());
    if how & 2 != 0 {
        *request.method_mut() = Method::POST;
    }
    if how & 4 != 0 {
        let Ok(uri) = http::Uri::try_from([b"/?id=", &sent[..]].concat()) else { return };
        *request.uri_mut() = uri;
    }
    if how & 4 == 0 || how & 8 != 0 {
        let Ok(value) = HeaderValue::from_bytes(&sent) else { return };
        request.headers_mut().insert("last-event-id", value);
    }
    let (response, received) = answer(&mut app, request);
    assert!(matches!(response.status().as_u16(), 200 | 410));
    assert!(!received.windows(SECRET.len()).any(|part| part == SECRET));
});
