//! No worse than bare: what the layer does not make resumable passes as it is, and so does all else that it can keep.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use support::app::with;
use support::scripted::{Failure, FedBody};
use support::{App, End, Scripted, event_stream, request, settle};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse_resume::{Linger, ResumeError, ResumeErrorKind, Retention, SseResumeLayer};

fn head(headers: &[(&str, &str)]) -> Response<()> {
    let mut head = Response::builder();
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    head.body(()).unwrap()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())])
}

/// Headers that a wrapped response would lose or get.
const OF_A_WHOLE: [(&str, &str); 5] = [
    ("content-length", "11"),
    ("etag", "\"a\""),
    ("digest", "sha-256=x"),
    ("accept-ranges", "bytes"),
    ("set-cookie", "a=1"),
];

async fn passes_untouched(method: Method, head: Response<()>) {
    let mut app = App::new();
    app.inner.answer_next(clone(&head));
    let mut client = app.call(method, "").await;
    assert_eq!(client.status, head.status());
    assert_eq!(&client.headers, head.headers());
    app.body().send("data: 1");
    assert_eq!(client.read(), "data: 1", "not held until its blank line");
    app.body().send("\n\n\u{feff}\n");
    assert_eq!(client.read(), "\n\n\u{feff}\n");
    app.body().trailers(trailers());
    app.body().end();
    client.read();
    assert_eq!(client.trailers, Some(trailers()));
    assert_eq!(client.end, End::Clean);
    assert_eq!(app.handle.stats().streams, 0);
}

fn clone(head: &Response<()>) -> Response<()> {
    let mut copy = Response::new(());
    *copy.status_mut() = head.status();
    *copy.headers_mut() = head.headers().clone();
    copy
}

#[tokio::test]
async fn other_types_pass_untouched() {
    for value in ["application/json", "text/plain", "text/event-streams", "text/event-stream2"] {
        let headers = [&[("content-type", value)][..], &OF_A_WHOLE].concat();
        passes_untouched(Method::GET, head(&headers)).await;
    }
    passes_untouched(Method::GET, head(&OF_A_WHOLE)).await;
}

#[tokio::test]
async fn other_statuses_pass_untouched() {
    for status in [201, 202, 203, 206, 301, 400, 401, 404, 429, 500, 503] {
        let mut head = head(&[&[("content-type", "text/event-stream")][..], &OF_A_WHOLE].concat());
        *head.status_mut() = StatusCode::from_u16(status).unwrap();
        passes_untouched(Method::GET, head).await;
    }
}

#[tokio::test]
async fn encoded_event_streams_pass_untouched() {
    for encoding in ["gzip", "br", "zstd", "identity, gzip", "x"] {
        let headers = [("content-type", "text/event-stream"), ("content-encoding", encoding)];
        passes_untouched(Method::GET, head(&headers)).await;
    }
}

#[tokio::test]
async fn other_methods_pass_untouched() {
    let all = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD];
    for method in all.into_iter().chain([Method::OPTIONS, Method::TRACE]) {
        let headers = [&[("content-type", "text/event-stream")][..], &OF_A_WHOLE].concat();
        passes_untouched(method, head(&headers)).await;
    }
}

#[tokio::test]
async fn event_streams_are_known_by_their_essence_and_may_be_called_identity() {
    for value in ["text/event-stream", "Text/Event-Stream;charset=UTF-8", "text/event-stream ; x=y"]
    {
        let mut app = App::new();
        app.inner.answer_next(head(&[("content-type", value), ("content-encoding", "identity")]));
        let client = app.get("").await;
        assert_eq!(client.header("sse-resume"), Some("fresh"));
        assert_eq!(client.header("content-type"), Some(value));
    }
}

#[tokio::test]
async fn a_wrapped_response_loses_what_is_about_its_bytes_and_is_not_stored() {
    let mut app = App::new();
    let headers = [&[("content-type", "text/event-stream"), ("x-a", "1")][..], &OF_A_WHOLE];
    app.inner.answer_next(head(&headers.concat()));
    let client = app.get("").await;
    for name in ["content-length", "etag", "digest", "accept-ranges"] {
        assert_eq!(client.header(name), None, "{name}");
    }
    assert_eq!(client.header("cache-control"), Some("no-store"));
    assert_eq!(client.header("set-cookie"), Some("a=1"));
    assert_eq!(client.header("x-a"), Some("1"));
}

#[tokio::test]
async fn a_wrapped_response_keeps_a_cache_control_of_its_own() {
    let mut app = App::new();
    let headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")];
    app.inner.answer_next(head(&headers));
    let client = app.get("").await;
    assert_eq!(client.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn a_wrapped_stream_keeps_its_trailers() {
    let mut app = App::new();
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    app.body().trailers(trailers());
    app.body().end();
    client.read();
    assert_eq!(client.data(), ["1"]);
    assert_eq!(client.trailers, Some(trailers()));
    assert_eq!(client.end, End::Clean);
}

#[tokio::test]
async fn the_request_reaches_the_inner_service_as_it_is() {
    let mut app = App::with(SseResumeLayer::new().last_event_id_query("lastEventId"));
    let mut request = with(request(Method::GET, "7"), "x-a", "1");
    *request.uri_mut() = "http://a.example/events?lastEventId=6&x=%zz&&y".parse().unwrap();
    let headers = request.headers().clone();
    app.send(request).await;
    let call = app.inner.call(0);
    assert_eq!(call.method, Method::GET);
    assert_eq!(call.headers, headers);
    assert_eq!(call.uri, "http://a.example/events?lastEventId=6&x=%zz&&y");
}

// Preflight

async fn preflight(asked: Option<&str>, answer: &[(&str, &str)]) -> Vec<String> {
    let mut app = App::new();
    app.inner.answer_next(head(answer));
    let mut request = with(request(Method::OPTIONS, ""), "origin", "https://a.example");
    if let Some(asked) = asked {
        request = with(request, "access-control-request-headers", asked);
    }
    let client = app.send(request).await;
    let allowed = client.headers.get_all("access-control-allow-headers");
    allowed.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_preflight_that_asks_for_last_event_id_is_allowed_it_where_the_origin_is() {
    let origin = ("access-control-allow-origin", "https://a.example");
    let headers = ("access-control-allow-headers", "authorization");
    let asked = Some("authorization, Last-Event-ID");
    assert_eq!(preflight(asked, &[origin, headers]).await, ["authorization", "last-event-id"]);
    assert_eq!(preflight(asked, &[headers]).await, ["authorization"]);
    assert_eq!(preflight(Some("authorization"), &[origin, headers]).await, ["authorization"]);
    assert_eq!(preflight(None, &[origin, headers]).await, ["authorization"]);
}

// Bodies

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for Broken {}

/// A body whose data is no `Bytes`, and that breaks off after two pieces of it.
#[derive(Clone)]
struct Chained(u8);

impl Body for Chained {
    type Data = bytes::buf::Chain<&'static [u8], Bytes>;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Broken>>> {
        self.0 += 1;
        let data = (&b"data:"[..]).chain(Bytes::from_static(b" 1\n\n"));
        Poll::Ready(Some(if self.0 < 3 { Ok(Frame::data(data)) } else { Err(Broken) }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(18)
    }
}

/// What a service gives whose answer has this type and body.
async fn answer<B>(content_type: &'static str, body: B) -> Response<tower_sse_resume::ResumeBody<B>>
where
    B: Body + Clone + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let inner = service_fn(move |_: Request<()>| {
        let response = Response::builder().header("content-type", content_type);
        ready(Ok::<_, Infallible>(response.body(body.clone()).unwrap()))
    });
    SseResumeLayer::new().layer(inner).oneshot(request(Method::GET, "")).await.unwrap()
}

#[tokio::test]
async fn an_error_of_a_body_that_passes_is_its_own() {
    let mut body = answer("text/plain", Chained(0)).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(18));
    for _ in 0..2 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    }
    assert!(body.frame().await.unwrap().unwrap_err().is::<Broken>());
}

#[tokio::test]
async fn an_error_of_a_wrapped_body_has_that_of_the_inner_one_as_its_source() {
    let mut body = answer("text/event-stream", Chained(0)).await.into_body();
    assert_eq!(body.size_hint().exact(), None);
    for _ in 0..2 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
    let error = body.frame().await.unwrap().unwrap_err();
    let error = error.downcast_ref::<ResumeError>().unwrap();
    assert_eq!(error.kind(), ResumeErrorKind::InnerBody);
    assert!(error.source().unwrap().is::<Broken>());
    assert!(body.frame().await.is_none(), "an error is the end");
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn a_body_that_passes_keeps_its_size_and_its_end() {
    let mut body = answer("text/plain", Full::new(Bytes::from("hello"))).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    let empty = answer("text/plain", Full::new(Bytes::new())).await.into_body();
    assert!(empty.is_end_stream());
}

#[tokio::test]
async fn an_event_stream_that_is_whole_at_once_is_sent_whole() {
    let body = answer("text/event-stream", Full::new(Bytes::from("data: 1\n\ndata: 2\n\n"))).await;
    let text = body.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(support::client::parse(&text).len(), 2);
}

#[tokio::test]
async fn a_body_that_passes_is_dropped_with_the_clients() {
    let mut app = App::new();
    app.inner.answer_next(head(&[("content-type", "text/plain")]));
    let mut client = app.get("").await;
    client.read();
    drop(client);
    assert!(app.body().is_dropped());
}

#[tokio::test]
async fn a_response_that_nobody_ever_read_drops_the_inner_body() {
    let mut app = App::new();
    drop(app.get("").await);
    assert!(app.body().is_dropped());
}

#[tokio::test]
async fn an_error_of_the_inner_service_passes() {
    let mut app = App::new();
    app.inner.fail_next();
    assert_eq!(app.try_send(request(Method::GET, "")).await.err(), Some(Failure));
    app.inner.fail_next();
    assert_eq!(app.try_send(request(Method::POST, "")).await.err(), Some(Failure));
}

#[tokio::test]
async fn a_call_that_is_given_up_calls_the_inner_service_off() {
    let mut app = App::new();
    let _gate = app.inner.hold_next(event_stream());
    let mut call = Box::pin(app.service.call(request(Method::GET, "")));
    let is_pending = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
    assert!(is_pending);
    drop(call);
    assert_eq!(app.handle.stats().streams, 0);
}

// Back pressure

#[tokio::test]
async fn an_inner_body_is_polled_only_when_its_client_is() {
    let mut app = App::new();
    let mut client = app.get("").await;
    for _ in 0..10 {
        app.body().send("data: 1\n\n");
    }
    settle().await;
    assert_eq!(app.body().polls(), 0);
    client.poll(Waker::noop());
    assert_eq!(app.body().polls(), 1);
    settle().await;
    assert_eq!(app.body().polls(), 1);
}

#[tokio::test]
async fn one_slow_client_holds_the_inner_body_back_also_where_a_task_drives() {
    let layer = SseResumeLayer::new().retention(Retention::new().bytes(200));
    let mut app = App::with(layer);
    let mut gone = app.get("").await;
    gone.read();
    let _slow = app.get(gone.header("sse-resume-from").unwrap()).await;
    drop(gone);
    for _ in 0..10 {
        app.body().send("data: 1\n\n");
    }
    settle().await;
    assert!(!app.body().is_drained());
}

#[tokio::test(start_paused = true)]
async fn without_linger_a_disconnect_cancels_the_inner_body() {
    for linger in [Linger::none(), Linger::from(Duration::ZERO)] {
        let mut app = App::with(SseResumeLayer::new().linger(linger));
        let mut client = app.get("").await;
        client.read();
        drop(client);
        assert!(app.body().is_dropped());
    }
}

// Readiness

/// A service that may be called only by the instance that was polled ready.
#[derive(Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(Ok(response.body(Full::new(Bytes::from("data: 1\n\n"))).unwrap()))
    }
}

#[tokio::test]
async fn the_instance_that_was_polled_ready_is_the_one_that_is_called() {
    let mut service = SseResumeLayer::new().layer(Strict::default());
    for method in [Method::GET, Method::POST, Method::OPTIONS, Method::GET] {
        service.ready().await.unwrap().call(request(method, "")).await.unwrap();
    }
    for id in ["7", "r1.x", "r1.AAAAAAAAAAAAAAAAAAAAAA.1.1"] {
        service.ready().await.unwrap().call(request(Method::GET, id)).await.unwrap();
    }
}

#[tokio::test]
async fn a_takeover_calls_the_ready_instance_too() {
    let mut service = SseResumeLayer::new().linger(Linger::none()).layer(Strict::default());
    let first = service.ready().await.unwrap().call(request(Method::GET, "")).await.unwrap();
    let from = first.headers()["sse-resume-from"].to_str().unwrap().to_owned();
    drop(first);
    let again = service.ready().await.unwrap().call(request(Method::GET, &from)).await.unwrap();
    assert_eq!(again.headers()["sse-resume"], "takeover");
    let text = again.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b".2.1\n\n"));
}

/// A service whose ready instances hold something each.
struct Counted(Arc<()>, Option<Arc<()>>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self(self.0.clone(), None)
    }
}

impl Service<Request<()>> for Counted {
    type Response = Response<FedBody>;
    type Error = Failure;
    type Future = <Scripted as Service<Request<()>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.1 = Some(self.0.clone());
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.1 = None;
        Service::call(&mut Scripted::new(), request)
    }
}

#[tokio::test]
async fn an_instance_that_a_resume_does_not_need_is_let_go_at_once() {
    let permits = Arc::new(());
    let instances = permits.clone();
    let count = move || Arc::strong_count(&instances);
    let mut service = SseResumeLayer::new().layer(Counted(permits, None));
    let first = service.ready().await.unwrap().call(request(Method::GET, "")).await.unwrap();
    let from = first.headers()["sse-resume-from"].to_str().unwrap().to_owned();
    let before = count();
    let again = service.ready().await.unwrap().call(request(Method::GET, &from)).await.unwrap();
    assert_eq!(again.headers()["sse-resume"], "replay");
    assert_eq!(count(), before);
}
