//! `SseReconnectLayer`: an inner body breaks, the inner service is called again, and the client sees one response.

#[path = "support/client.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod client;
#[path = "support/scripted.rs"]
#[allow(dead_code, reason = "each test file uses a part")]
mod scripted;

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use client::{Client, End};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use scripted::{FedBody, Scripted, event_stream, status};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse_resume::{ReconnectBody, ReconnectError, ReconnectErrorKind};
use tower_sse_resume::{SseReconnect, SseReconnectLayer, SseResumeLayer};

type Read = Client<ReconnectBody<FedBody>>;

/// A layer whose delays are as they are named.
fn layer() -> SseReconnectLayer {
    SseReconnectLayer::new().jitter(0.0)
}

fn wrap(layer: &SseReconnectLayer) -> (SseReconnect<Scripted>, Scripted) {
    let inner = Scripted::new();
    (layer.layer(inner.clone()), inner)
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/events?a=1").header("x-user", "u").body(Empty::new()).unwrap()
}

/// A client that reads the answer to a `GET`.
async fn open(layer: SseReconnectLayer) -> (Read, Scripted) {
    let (mut app, inner) = wrap(&layer);
    (Client::new(app.call(get()).await.unwrap()), inner)
}

/// Waits for the inner service's call with this number, which the client's reading makes.
async fn until_call(client: &mut Read, inner: &Scripted, number: usize) {
    client.read_until(|_| inner.calls() > number).await;
    assert!(inner.calls() > number, "{:?}", client.end);
}

/// Reads until the response has ended.
async fn end(client: &mut Read) -> End {
    client.read_until(|_| false).await;
    client.end.clone()
}

fn broken() -> End {
    End::Broken("the inner body broke".to_owned())
}

// Breaks

#[tokio::test(start_paused = true)]
async fn a_break_between_frames_goes_on_from_the_last_event_id() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
    inner.body(1).send("id: b\ndata: 2\n\n");
    inner.body(1).end();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(client.received, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_a_break_leaves_unfinished_is_dropped() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\nid: b\nda");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
    inner.body(1).send("id: b\ndata: 2\n\n");
    assert_eq!(client.read(), "id: b\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_crlf_leaves_a_whole_blank_line() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\r\ndata: 1\r\n\r");
    assert_eq!(client.read(), "id: a\r\ndata: 1\r\n\r\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: b\r\ndata: 2\r\n\r");
    inner.body(1).send("\nid: c\r\ndata: 3\r\n\r\n");
    assert_eq!(client.read(), "id: b\r\ndata: 2\r\n\r\nid: c\r\ndata: 3\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_made_again_as_it_was() {
    let (mut app, inner) = wrap(&layer());
    let mut request = get();
    request.extensions_mut().insert(7_u8);
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    let (first, second) = (inner.call(0), inner.call(1));
    assert_eq!(second.uri, first.uri);
    assert_eq!(second.headers["x-user"], "u");
    assert_eq!(second.extensions.get::<u8>(), Some(&7));
    assert_eq!((first.last_event_id(), second.last_event_id()), (None, Some("a".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_id_that_the_client_came_with_counts_until_there_is_another() {
    let (mut app, inner) = wrap(&layer());
    let mut request = get();
    request.headers_mut().insert("last-event-id", HeaderValue::from_static("7"));
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("data: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("7"));
    inner.body(1).send("data: 1\n\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_event_id_a_break_is_passed_on() {
    for first in ["data: 1\n\n", "id: a\ndata: 0\n\nid\ndata: 1\n\n"] {
        let (mut client, inner) = open(layer()).await;
        inner.body(0).send(first);
        inner.body(0).fail();
        assert_eq!(end(&mut client).await, broken());
        assert_eq!((client.received.as_ref(), inner.calls()), (first.as_bytes(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_broken_body_is_dropped_before_the_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read();
    assert!(inner.body(0).is_dropped());
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_upstream_is_away_ends_all() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read();
    drop(client);
    advance(Duration::from_secs(60)).await;
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_the_inner_body() {
    let (client, inner) = open(layer()).await;
    drop(client);
    assert!(inner.body(0).is_dropped());
}

// Resends

/// What a client gets of a second response, after `first` broke off.
async fn after(first: &'static str, second: &'static str) -> (Read, Scripted) {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send(first);
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    client.received.clear();
    inner.body(1).send(second);
    client.read();
    (client, inner)
}

const THREE: &str = "id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n";

#[tokio::test(start_paused = true)]
async fn what_is_resent_is_left_out() {
    for resent in [
        "id: c\ndata: 3\n\nid: d\ndata: 4\n\n",
        "id: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n",
        "id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n",
    ] {
        let (client, _) = after(THREE, resent).await;
        assert_eq!(client.received, "id: d\ndata: 4\n\n", "{resent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_resend_goes_on_from_what_the_client_has() {
    let (mut client, inner) = after(THREE, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n").await;
    inner.body(1).fail();
    until_call(&mut client, &inner, 2).await;
    assert_eq!(inner.call(2).last_event_id().as_deref(), Some("c"));
    inner.body(2).send("id: c\ndata: 3\n\nid: d\ndata: 4\n\n");
    assert_eq!(client.read(), "id: d\ndata: 4\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_restarted_is_an_error_before_any_of_its_events() {
    let (client, inner) = after(THREE, "id: a\ndata: other\n\nid: b\ndata: another\n\n").await;
    let error = "after a reconnect, a known event ID came with another event";
    assert_eq!(client.end, End::Broken(error.to_owned()));
    assert_eq!(client.received, "");
    assert!(inner.body(1).is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_resend_beyond_the_window_is_not_recognised() {
    let (mut client, inner) = open(layer().window(2)).await;
    inner.body(0).send(THREE);
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send(THREE);
    assert_eq!(client.read(), THREE);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_id_keeps_the_id_that_it_had_upstream() {
    let (client, _) =
        after("id: a\r\ndata: 1\r\n\r\nid: b\r\n\r\n", "id: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n")
            .await;
    assert_eq!(client.received, "id: a\r\ndata: 2\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn within_a_resend_comments_pass_and_ids_do_not() {
    let resend = ": hi\nretry: 5\nid: a\n\nid: a\n\nid: a\ndata: 1\n\n: there\n\n";
    let (client, _) = after(THREE, resend).await;
    assert_eq!(client.received, ": hi\nretry: 5\n\n: there\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_is_kept_only_at_the_start() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("\u{feff}id: a\ndata: 1\n\n");
    assert_eq!(client.read(), "\u{feff}id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("\u{feff}id: b\ndata: 2\n\n");
    assert_eq!(client.read(), "id: b\ndata: 2\n\n");
}

// Frames

#[tokio::test(start_paused = true)]
async fn whole_frames_pass_in_the_pieces_that_they_came_in() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("data: 1\n\n: c\n\ndata: 2\n\ndata");
    assert_eq!(client.read(), "data: 1\n\n: c\n\ndata: 2\n\n");
    inner.body(0).send(": 3\n");
    assert_eq!(client.read(), "");
    inner.body(0).send("\n");
    assert_eq!(client.read(), "data: 3\n\n");
}

#[tokio::test(start_paused = true)]
async fn comments_pass_before_their_blank_line() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send(": alive\n");
    assert_eq!(client.read(), ": alive\n");
    inner.body(0).send(": al");
    assert_eq!(client.read(), "");
    inner.body(0).send("ive\nid: a\ndata: 1\n\n");
    assert_eq!(client.read(), ": alive\nid: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_passes_as_it_comes() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("data: 12345");
    assert_eq!(client.read(), "");
    inner.body(0).send("6789012345");
    assert_eq!(client.read(), "data: 123456789012345");
    inner.body(0).send("6\nid: z");
    assert_eq!(client.read(), "6\nid: z");
    inner.body(0).send("z\n\ndata");
    assert_eq!(client.read(), "z\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("zz"));
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_frame_over_the_limit_is_passed_on() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("id: a\ndata: 1\n\ndata: 12345678901234567890");
    inner.body(0).fail();
    assert_eq!(end(&mut client).await, broken());
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_that_may_be_a_resent_one_is_an_error() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("id: a\ndata: 1\n\nid: b\ndata: 12345678");
    inner.body(0).send("90\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    client.received.clear();
    inner.body(1).send("id: a\ndata: 1\n\nid: b\ndata: 12345678");
    client.read();
    let error = "after a reconnect, a frame over the limit came before any new event";
    assert_eq!(client.end, End::Broken(error.to_owned()));
    assert_eq!(client.received, "");
}

// Waits

/// How long it takes from now until the inner service is called for the `number`th time.
async fn wait(client: &mut Read, inner: &Scripted, number: usize) -> Duration {
    let start = Instant::now();
    until_call(client, inner, number).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn waits_double_until_an_event_comes() {
    let (mut client, inner) = open(layer().longest_delay(Duration::from_secs(5))).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    for (number, seconds) in [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)] {
        inner.body(number - 1).fail();
        let expected = Duration::from_secs(seconds);
        let waited = wait(&mut client, &inner, number).await;
        assert!(waited >= expected && waited < expected + Duration::from_millis(10), "{waited:?}");
    }
    inner.body(5).send("id: b\ndata: 2\n\n");
    inner.body(5).fail();
    assert!(wait(&mut client, &inner, 6).await < Duration::from_millis(1_010));
}

#[tokio::test(start_paused = true)]
async fn a_resent_event_does_not_shorten_the_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: a\ndata: 1\n\n");
    inner.body(1).fail();
    assert!(wait(&mut client, &inner, 2).await >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_lasted_shortens_the_wait_even_if_it_said_nothing() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    advance(Duration::from_secs(30)).await;
    inner.body(1).fail();
    assert!(wait(&mut client, &inner, 2).await < Duration::from_millis(1_010));
}

#[tokio::test(start_paused = true)]
async fn the_inner_services_retry_is_the_first_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("retry: 200\n\nid: a\ndata: 1\n\nretry: 9");
    inner.body(0).fail();
    let waited = wait(&mut client, &inner, 1).await.as_millis();
    assert!((200..210).contains(&waited), "{waited}");
    inner.body(1).fail();
    let waited = wait(&mut client, &inner, 2).await.as_millis();
    assert!((400..410).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn after_so_many_attempts_the_first_error_is_passed_on() {
    let (mut client, inner) = open(layer().attempts(3)).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    for number in 0..3 {
        inner.body(number).fail();
        until_call(&mut client, &inner, number + 1).await;
    }
    inner.body(3).fail();
    assert_eq!(end(&mut client).await, broken());
    assert_eq!(inner.calls(), 4);
}

// Answers

/// The end of a response after a break that was answered so, and the calls of the inner service.
async fn answered(heads: &[StatusCode]) -> (Read, Scripted) {
    let (mut client, inner) = open(layer()).await;
    heads.iter().for_each(|head| inner.answer_next(status(*head)));
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, heads.len()).await;
    (client, inner)
}

#[tokio::test(start_paused = true)]
async fn no_content_is_a_clean_end() {
    let (mut client, inner) = open(layer()).await;
    inner.answer_next(status(StatusCode::NO_CONTENT));
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_event_stream_is_an_error_with_the_first_as_its_source() {
    let page = Response::builder().header("content-type", "text/html").body(()).unwrap();
    for head in [status(StatusCode::NOT_FOUND), status(StatusCode::FOUND), page] {
        let (mut app, inner) = wrap(&layer());
        let code = head.status();
        let response = app.call(get()).await.unwrap();
        inner.answer_next(head);
        inner.body(0).send("id: a\ndata: 1\n\n");
        inner.body(0).fail();
        let error = response.into_body().collect().await.unwrap_err();
        let error = error.downcast::<ReconnectError>().unwrap();
        assert_eq!(error.kind(), ReconnectErrorKind::Refused(code));
        let source = std::error::Error::source(&*error).unwrap();
        assert_eq!(source.to_string(), "the inner body broke");
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_tried_again() {
    let codes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY];
    let (mut client, inner) = answered(&codes).await;
    until_call(&mut client, &inner, 3).await;
    inner.body(3).send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
}

/// A service that goes wrong as often as a test says, and that is to be asked first whether it is ready.
struct Unsteady {
    inner: Scripted,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    is_ready: bool,
}

#[derive(PartialEq)]
enum Fault {
    NotYetReady,
    NeverReady,
    Call,
}

impl Unsteady {
    fn goes_wrong(&self, how: &Fault) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let next = faults.front() == Some(how);
        next && faults.pop_front().is_some()
    }
}

impl Clone for Unsteady {
    fn clone(&self) -> Self {
        let (inner, faults) = (self.inner.clone(), Arc::clone(&self.faults));
        Self { inner, faults, is_ready: false }
    }
}

impl<B> Service<Request<B>> for Unsteady {
    type Response = Response<FedBody>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.goes_wrong(&Fault::NotYetReady) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.goes_wrong(&Fault::NeverReady) {
            return Poll::Ready(Err("closed"));
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready));
        if self.goes_wrong(&Fault::Call) {
            return ready(Err("no connection"));
        }
        let Ok(response) = Service::call(&mut self.inner, request).into_inner();
        ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_are_not_ready_or_fail_are_waited_for_and_tried_again() {
    let inner = Scripted::new();
    let faults = Arc::new(Mutex::new(VecDeque::new()));
    let unsteady = Unsteady { inner: inner.clone(), faults: Arc::clone(&faults), is_ready: false };
    let mut app = layer().attempts(3).layer(unsteady);
    let mut client = Client::new((&mut app).oneshot(get()).await.unwrap());
    faults.lock().unwrap().extend([Fault::NeverReady, Fault::Call, Fault::NotYetReady]);
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 1).await;
    inner.body(1).send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
    assert!(faults.lock().unwrap().is_empty());
}

// Ends

#[tokio::test(start_paused = true)]
async fn a_clean_end_is_one_with_its_trailers_and_all_that_was_said() {
    let (mut client, inner) = open(layer()).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    inner.body(0).send("id: a\ndata: 1\n\ndata: unfinished\n");
    inner.body(0).trailers(trailers.clone());
    inner.body(0).end();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(client.received, "id: a\ndata: 1\n\ndata: unfinished\n");
    assert_eq!((client.trailers, inner.calls()), (Some(trailers), 1));
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_can_be_gone_on_from_until_there_is_nothing_new() {
    let (mut client, inner) = open(layer().after_end(true).attempts(2)).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).end();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: b\ndata: 2\n\n");
    for number in 1..4 {
        inner.body(number).end();
        if number < 3 {
            until_call(&mut client, &inner, number + 1).await;
        }
    }
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!((client.data(), inner.calls()), (vec!["1".to_owned(), "2".to_owned()], 4));
}

// What is not gone on with

#[tokio::test]
async fn all_but_event_streams_that_answer_a_get_pass_untouched() {
    let cases = [
        (Method::POST, "text/event-stream", ""),
        (Method::HEAD, "text/event-stream", ""),
        (Method::GET, "text/html", ""),
        (Method::GET, "text/event-stream", "gzip"),
    ];
    for (method, content_type, encoding) in cases {
        let inner = service_fn(move |_: Request<Empty<Bytes>>| async move {
            let response = Response::builder()
                .header("content-type", content_type)
                .header("content-encoding", encoding)
                .header("content-length", "9")
                .header("etag", "x");
            response.body(Full::<Bytes>::from("data: 1\n\n"))
        });
        let request = Request::builder().method(method).body(Empty::new()).unwrap();
        let response = layer().layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.headers().len(), 4);
        assert_eq!(response.body().size_hint().exact(), Some(9));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 1\n\n");
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_not_made_again() {
    let (mut app, inner) = wrap(&layer());
    let request = Request::get("/").body(Full::<Bytes>::from("question")).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("id: a\ndata: 1\n\nda");
    inner.body(0).fail();
    assert_eq!(client.read(), "id: a\ndata: 1\n\nda");
    assert_eq!(client.end, broken());
}

#[tokio::test]
async fn an_event_stream_loses_the_headers_that_would_be_wrong_of_it() {
    let (mut app, inner) = wrap(&layer());
    let mut head = event_stream();
    for (name, value) in [("content-length", "9"), ("etag", "x"), ("x-other", "y")] {
        head.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    inner.answer_next(head);
    let response = app.call(get()).await.unwrap();
    let headers = response.headers();
    assert!(!headers.contains_key("content-length") && !headers.contains_key("etag"));
    assert_eq!(headers["x-other"], "y");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(response.body().size_hint().exact(), None);
}

// Composition

#[tokio::test(start_paused = true)]
async fn a_resumable_stream_goes_on_over_a_break_as_if_there_had_been_none() {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().layer(layer().layer(inner.clone()));
    let mut client = Client::new(app.call(get()).await.unwrap());
    let from = client.header("sse-resume-from").unwrap().to_owned();
    let token = from.strip_suffix(".1.0").unwrap();
    inner.body(0).send("id: a\ndata: 1\n\nid: b\nda");
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 1).await;
    inner.body(1).send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read_until(|client| client.data().len() > 1).await;
    let ids: Vec<String> = client.events().into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [format!("{token}.1.1.a"), format!("{token}.1.2.b")]);
    assert_eq!(client.data(), ["1", "2"]);
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
}
