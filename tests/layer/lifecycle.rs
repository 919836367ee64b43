//! How long streams live, who drives them, and what bounds them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderName, Method, Request, StatusCode};
use support::app::with;
use support::{App, End, TestClient, event_stream, request, settle, status};
use tokio::time::{Instant, sleep};
use tower::Service;
use tower_sse_resume::{
    Limits, Linger, Observation, OnFinished, OnMissing, Retention, SlowReader, SseResumeLayer,
    Stats, StreamHandle,
};

const SECOND: Duration = Duration::from_secs(1);

/// Strict, so that what is gone is told by a status.
fn layer() -> SseResumeLayer {
    SseResumeLayer::new().on_missing(OnMissing::Reject).on_finished(OnFinished::NoContent)
}

/// The position before a response's first event.
fn from(client: &TestClient) -> String {
    client.header("sse-resume-from").unwrap().to_owned()
}

/// Opens a stream with one event, which its client has.
async fn open(app: &mut App) -> TestClient {
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read_events(1).await;
    client
}

fn handle_of(app: &App, call: usize) -> StreamHandle {
    app.inner.call(call).extensions.get::<StreamHandle>().unwrap().clone()
}

fn by(owner: &'static str, id: &str) -> Request<()> {
    with(request(Method::GET, id), "authorization", owner)
}

fn of_session(session: &str, id: &str) -> Request<()> {
    with(request(Method::GET, id), "x-session", session)
}

fn with_sessions(limits: Limits) -> App {
    App::with(layer().limits(limits).session_header(HeaderName::from_static("x-session")))
}

// Linger

#[tokio::test(start_paused = true)]
async fn an_inner_body_is_read_on_while_nobody_is_there() {
    let mut app = App::with(layer());
    let id = open(&mut app).await.last_event_id();
    sleep(29 * SECOND).await;
    app.body().send("data: 2\n\n");
    settle().await;
    assert!(app.body().is_drained());
    assert_eq!(app.handle.stats().lingering, 1);
    let mut client = app.get(&id).await;
    assert_eq!(app.handle.stats().lingering, 0);
    sleep(60 * SECOND).await;
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    assert!(!app.body().is_dropped());
    let left = Instant::now();
    drop(client);
    app.body().dropped().await;
    assert_eq!(left.elapsed(), 30 * SECOND, "the linger begins anew");
    assert_eq!(app.handle.stats().lingering, 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_bodies_linger_than_there_may() {
    let mut app = App::with(layer().limits(Limits::new().lingering(1)));
    let _kept = open(&mut app).await.last_event_id();
    drop(open(&mut app).await);
    assert!(!app.inner.body(0).is_dropped());
    assert!(app.inner.body(1).is_dropped());
    app.inner.body(0).dropped().await;
    drop(open(&mut app).await);
    settle().await;
    assert!(!app.inner.body(2).is_dropped(), "the place is free again");
}

#[tokio::test(start_paused = true)]
async fn no_more_bodies_of_an_owner_linger_than_it_may_have() {
    let mut app = App::with(layer().limits(Limits::new().lingering_per_owner(1)));
    for owner in ["a", "a", "b"] {
        app.send(by(owner, "")).await.read();
    }
    settle().await;
    let dropped: Vec<_> = (0..3).map(|call| app.inner.body(call).is_dropped()).collect();
    assert_eq!(dropped, [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_while_it_lingers_gives_its_place_back() {
    let mut app = App::with(layer());
    let id = open(&mut app).await.last_event_id();
    app.body().send("data: 2\n\n");
    app.body().end();
    settle().await;
    assert_eq!(app.handle.stats().lingering, 0);
    let mut client = app.get(&id).await;
    client.read_to_end().await;
    assert_eq!((client.data(), client.end), (vec!["2".to_owned()], End::Clean));
}

// Without a runtime

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

#[test]
fn without_a_runtime_a_stream_is_wrapped_resumed_and_cancelled_by_its_client() {
    let mut app = App::with(layer());
    let mut client = now(app.get(""));
    app.body().send("data: 1\n\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
    let mut late = now(app.get(&from(&client)));
    late.read();
    assert_eq!(late.data(), ["1", "2"]);
    drop(client);
    assert!(!app.body().is_dropped());
    app.body().send("data: 3\n\n");
    late.read();
    assert_eq!(late.data().last().unwrap(), "3");
    drop(late);
    assert!(app.body().is_dropped());
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn without_a_runtime_whoever_drives_wakes_the_others() {
    let mut app = App::with(layer());
    let mut first = now(app.get(""));
    first.read();
    let mut second = now(app.get(&from(&first)));
    let woken = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(!second.poll(&waker));
    // The inner body would wake whoever polled it last.
    first.read();
    app.body().send("data: 1\n\n");
    first.read();
    assert_eq!(first.data(), ["1"]);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    second.read();
    assert_eq!(second.data(), ["1"]);
}

#[test]
fn without_a_runtime_an_aborted_stream_is_taken_over() {
    let mut app = App::with(layer());
    let mut client = now(open(&mut app));
    let id = client.last_event_id();
    app.body().fail();
    client.read();
    let mut client = now(app.get(&id));
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    app.body().send("data: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["2"]);
}

// Who drives

#[tokio::test]
async fn a_second_reader_does_not_depend_on_whether_the_first_one_is_polled() {
    let mut app = App::with(layer());
    let first = open(&mut app).await;
    let mut second = app.get(&from(&first)).await;
    for count in 1..=100 {
        app.body().send(format!("data: {}\n\n", "x".repeat(5_000)));
        second.read_events(count + 1).await;
    }
    drop(first);
    app.body().send("data: end\n\n");
    second.read_events(102).await;
}

#[tokio::test]
async fn no_wake_up_is_lost_when_a_task_takes_the_inner_body_over() {
    for sent_before in [false, true] {
        let mut app = App::with(layer());
        let mut first = app.get("").await;
        let woken = Arc::new(Count::default());
        first.poll(&Waker::from(Arc::clone(&woken)));
        if sent_before {
            app.body().send("data: 1\n\n");
        }
        let mut second = app.get(&from(&first)).await;
        settle().await;
        if !sent_before {
            app.body().send("data: 1\n\n");
        }
        second.read_events(1).await;
        assert!(woken.0.load(Ordering::Relaxed) > 0);
        first.read();
        assert_eq!(first.data(), ["1"]);
    }
}

type Act = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An inner body that does something while it is polled, then says one event and no more.
struct Doing(Act);

impl http_body::Body for Doing {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let Some(act) = self.0.lock().unwrap().take() else { return Poll::Pending };
        act();
        Poll::Ready(Some(Ok(http_body::Frame::data("data: 1\n\n".into()))))
    }
}

#[tokio::test]
async fn a_reader_that_comes_while_the_inner_body_is_polled_is_woken() {
    let act = Act::default();
    let body = Arc::clone(&act);
    let inner = tower::service_fn(move |_: Request<()>| {
        let response = event_stream().map(|()| Doing(Arc::clone(&body)));
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let mut service = tower::Layer::layer(&layer(), inner);
    let first = service.call(request(Method::GET, "")).await.unwrap();
    let id = first.headers()["sse-resume-from"].to_str().unwrap().to_owned();
    let mut first = support::Client::new(first);
    let second = Arc::new(Mutex::new(None));
    let woken = Arc::new(Count::default());
    let (slot, waker) = (Arc::clone(&second), Waker::from(Arc::clone(&woken)));
    *act.lock().unwrap() = Some(Box::new(move || {
        let response = now(service.call(request(Method::GET, &id))).unwrap();
        let mut client = support::Client::new(response);
        assert!(!client.poll(&waker));
        *slot.lock().unwrap() = Some(client);
    }));
    first.read();
    assert_eq!(first.data(), ["1"]);
    settle().await;
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    let mut second = second.lock().unwrap().take().unwrap();
    second.read();
    assert_eq!(second.data(), ["1"]);
}

#[tokio::test]
async fn a_panic_of_the_inner_body_aborts_the_stream_and_reaches_who_polled_it() {
    let mut app = App::with(layer());
    let mut client = open(&mut app).await;
    let id = client.last_event_id();
    app.body().panic();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.read()));
    assert!(panicked.is_err());
    client.read();
    assert!(client.is_broken());
    assert_eq!(app.get(&id).await.header("sse-resume"), Some("takeover"));
}

#[tokio::test]
async fn a_panic_of_an_inner_body_that_a_task_drives_breaks_all_its_responses() {
    let mut app = App::with(layer());
    let mut first = open(&mut app).await;
    let mut second = app.get(&first.last_event_id()).await;
    second.settle().await;
    app.body().panic();
    first.read_to_end().await;
    second.read_to_end().await;
    assert!(first.is_broken() && second.is_broken());
}

// Takeovers

/// A stream with one event that is aborted; returns the last event ID.
async fn aborted(app: &mut App) -> String {
    let mut client = open(app).await;
    app.body().fail();
    client.read();
    client.last_event_id()
}

#[tokio::test]
async fn two_resumes_of_an_aborted_stream_make_one_call() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let start = id.replace(".1.1.a", ".1.0");
    let mut first = app.get(&start).await;
    let mut second = app.get(&start).await;
    settle().await;
    app.body().send("id: b\ndata: 2\n\n");
    first.read_events(2).await;
    second.read_events(2).await;
    assert_eq!((first.data(), second.data()), (vec!["1".into(), "2".into()], second.data()));
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test]
async fn two_resumes_that_have_all_wait_for_the_same_head() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let first = tokio::spawn(app.service.call(request(Method::GET, &id)));
    let second = tokio::spawn(app.service.call(request(Method::GET, &id)));
    settle().await;
    assert!(!first.is_finished() && !second.is_finished());
    gate.open();
    let mut first = support::Client::new(first.await.unwrap().unwrap());
    let mut second = support::Client::new(second.await.unwrap().unwrap());
    app.body().send("id: b\ndata: 2\n\n");
    first.read_events(1).await;
    second.read_events(1).await;
    assert_eq!((first.data(), second.data()), (vec!["2".into()], vec!["2".into()]));
    assert_eq!(first.header("sse-resume"), Some("takeover"));
    assert_eq!(second.header("sse-resume"), Some("replay"));
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_calls_for_a_takeover_may_leave_before_it_is_answered() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let mut call = Box::pin(app.service.call(request(Method::GET, &id)));
    assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
    drop(call);
    gate.open();
    settle().await;
    app.body().send("id: b\ndata: 2\n\n");
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("replay"));
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_came_back_for_lingers_and_is_released() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let mut call = Box::pin(app.service.call(request(Method::GET, &id)));
    assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
    drop(call);
    gate.open();
    app.body().dropped().await;
    assert_eq!(app.get(&id).await.header("sse-resume"), Some("takeover"));
}

#[tokio::test]
async fn a_resume_that_waited_for_a_takeover_that_failed_calls_by_itself() {
    for failure in [StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        let mut app = App::with(layer());
        let id = aborted(&mut app).await;
        let gate = app.inner.hold_next(status(failure));
        let first = tokio::spawn(app.service.call(request(Method::GET, &id)));
        let second = tokio::spawn(app.service.call(request(Method::GET, &id)));
        settle().await;
        gate.open();
        assert_eq!(first.await.unwrap().unwrap().status(), failure);
        let second = second.await.unwrap().unwrap();
        assert_eq!(second.headers()["sse-resume"], "takeover");
        assert_eq!(app.inner.calls(), 3);
        assert_eq!(app.inner.call(2).last_event_id().as_deref(), Some("a"));
    }
}

#[tokio::test]
async fn an_error_of_the_inner_service_passes_and_releases_the_takeover() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    app.inner.fail_next();
    assert!(app.try_send(request(Method::GET, &id)).await.is_err());
    assert_eq!(app.get(&id).await.header("sse-resume"), Some("takeover"));
}

#[tokio::test]
async fn a_panic_of_the_inner_service_is_500_and_releases_the_takeover() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    app.inner.panic_next();
    assert_eq!(app.get(&id).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(app.get(&id).await.header("sse-resume"), Some("takeover"));
}

#[tokio::test]
async fn a_purge_while_a_takeover_is_decided_drops_what_it_brings() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let call = tokio::spawn(app.service.call(request(Method::GET, &id)));
    settle().await;
    assert_eq!(app.handle.purge_all(), 1);
    gate.open();
    let mut client = support::Client::new(call.await.unwrap().unwrap());
    client.read_to_end().await;
    assert!(client.is_broken());
    settle().await;
    assert!(app.body().is_dropped());
    drop(client);
    assert_eq!(app.handle.stats(), Stats::default());
}

// Purges

#[tokio::test]
async fn a_purge_ends_a_replay_with_an_error_and_drops_the_inner_body() {
    let mut app = App::with(layer());
    let mut client = open(&mut app).await;
    app.body().send(format!("data: {}\n\n", "x".repeat(1_000)).repeat(100));
    client.read();
    let mut late = app.get(&from(&client)).await;
    assert!(late.poll(Waker::noop()));
    settle().await;
    assert!(app.handle.purge_stream(handle_of(&app, 0).id().unwrap()));
    for client in [&mut client, &mut late] {
        client.read_to_end().await;
        assert!(matches!(&client.end, End::Broken(why) if why == "the stream was purged"));
    }
    settle().await;
    assert!(app.body().is_dropped());
    assert_eq!(app.get(&from(&client)).await.status, StatusCode::GONE);
    drop((client, late));
    assert_eq!(app.handle.stats(), Stats::default());
}

#[tokio::test]
async fn purges_go_by_session_by_owner_or_by_stream() {
    let mut app = with_sessions(Limits::new());
    let mut clients = Vec::new();
    for (session, owner) in [("s1", "a"), ("s1", "b"), ("s2", "a"), ("s2", "c")] {
        clients.push(app.send(with(by(owner, ""), "x-session", session)).await);
    }
    let stream = handle_of(&app, 3).id().unwrap();
    assert_eq!(app.handle.stats().sessions, 2);
    assert_eq!(app.handle.purge_session("s1"), 2);
    assert_eq!(app.handle.purge_session("s1"), 0);
    assert_eq!(app.handle.purge_owner("a"), 1);
    assert!(app.handle.purge_stream(stream));
    assert!(!app.handle.purge_stream(stream));
    assert_eq!(app.handle.stats().streams, 0);
    for client in &mut clients {
        client.read();
        assert!(client.is_broken());
    }
    for call in 0..4 {
        assert!(app.inner.body(call).is_dropped());
    }
}

#[tokio::test]
async fn a_purge_wakes_who_waits() {
    let mut app = App::with(layer());
    let mut client = app.get("").await;
    let handle = app.handle.clone();
    tokio::spawn(async move { handle.purge_all() });
    client.read_to_end().await;
    assert!(client.is_broken());
}

// Slow clients

fn short(events: u64) -> SseResumeLayer {
    layer().retention(Retention::new().events(events))
}

#[tokio::test(start_paused = true)]
async fn with_read_on_what_nobody_has_read_is_evicted() {
    let mut app = App::with(short(4).read_on(true).on_missing(OnMissing::Signal));
    let id = open(&mut app).await.last_event_id();
    for data in 2..=10 {
        app.body().send(format!("data: {data}\n\n"));
    }
    settle().await;
    assert!(app.body().is_drained());
    let mut client = app.get(&id).await;
    client.read_events(5).await;
    let gap = r#"{"requested":1,"resumed":6,"missed":5,"reason":"evicted"}"#;
    assert_eq!(client.data(), [gap, "7", "8", "9", "10"]);
}

/// Two clients, of which the second has not read since its first event, while the first got 100 more.
async fn one_fast_and_one_slow(app: &mut App) -> (TestClient, TestClient) {
    let mut fast = app.get("").await;
    fast.read();
    let mut slow = app.get(&from(&fast)).await;
    for number in 0..=100 {
        app.body().send(format!("data: {number}{}\n\n", "x".repeat(2_000)));
        fast.read_events(number + 1).await;
        if number == 0 {
            slow.read_events(1).await;
        }
    }
    (fast, slow)
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_back_and_is_told_what_it_missed() {
    let mut app = App::with(short(4));
    let (fast, mut slow) = one_fast_and_one_slow(&mut app).await;
    assert_eq!(fast.gaps().len(), 0);
    slow.settle().await;
    let gap = r#"{"requested":1,"resumed":97,"missed":96,"reason":"too-slow"}"#;
    assert_eq!(slow.gaps(), [gap]);
    assert_eq!(slow.events().len(), 1 + 1 + 4);
    assert_eq!(slow.end, End::Open);
}

#[tokio::test]
async fn a_slow_reader_can_be_disconnected_instead() {
    let mut app = App::with(short(4).slow_reader(SlowReader::Disconnect));
    let (_fast, mut slow) = one_fast_and_one_slow(&mut app).await;
    slow.settle().await;
    assert_eq!(slow.data().len(), 1);
    assert!(matches!(&slow.end, End::Broken(why) if why == "the client reads too slowly"));
}

#[tokio::test]
async fn a_reader_that_is_slower_than_the_tail_but_not_the_history_misses_nothing() {
    let mut app = App::with(layer());
    let (fast, mut slow) = one_fast_and_one_slow(&mut app).await;
    slow.settle().await;
    assert_eq!(slow.data(), fast.data());
}

// Handlers

#[tokio::test(start_paused = true)]
async fn a_handler_can_end_the_responses_and_goes_on_with_who_comes_back() {
    let mut app = App::with(layer());
    let mut client = open(&mut app).await;
    let handle = handle_of(&app, 0);
    assert_eq!(handle.clients(), 1);
    handle.close_connection(5 * SECOND);
    let text = client.read();
    assert_eq!(text, "retry: 5000\n");
    assert_eq!(client.end, End::Clean);
    let id = client.last_event_id();
    drop(client);
    assert_eq!(handle.clients(), 0);
    app.body().send("data: 2\n\n");
    let mut client = app.get(&id).await;
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(app.inner.calls(), 1);
    assert_eq!(handle.id(), handle_of(&app, 0).id());
}

#[tokio::test]
async fn what_a_handler_asked_for_before_it_answered_is_done_then() {
    let mut app = App::with(layer());
    let gate = app.inner.hold_next(event_stream());
    let call = tokio::spawn(app.service.call(request(Method::GET, "")));
    settle().await;
    let handle = handle_of(&app, 0);
    assert_eq!((handle.id(), handle.clients()), (None, 0));
    handle.close_connection(SECOND);
    gate.open();
    let mut client = support::Client::new(call.await.unwrap().unwrap());
    assert_eq!(client.read(), "retry: 1000\n");
    assert_eq!(client.end, End::Clean);
}

#[tokio::test]
async fn a_handler_can_opt_out_until_it_has_answered() {
    let mut app = App::with(layer());
    let gate = app.inner.hold_next(event_stream());
    let call = tokio::spawn(app.service.call(request(Method::GET, "")));
    settle().await;
    assert!(handle_of(&app, 0).do_not_record());
    gate.open();
    let mut client = support::Client::new(call.await.unwrap().unwrap());
    app.body().send("id: 7\ndata: 1\n\n");
    assert_eq!(client.read(), "id: 7\ndata: 1\n\n");
    assert_eq!(client.headers.len(), 1);
    assert_eq!(app.handle.stats().streams, 0);
    open(&mut app).await;
    assert!(!handle_of(&app, 1).do_not_record());
}

#[tokio::test]
async fn a_handler_that_goes_on_with_a_stream_has_a_handle_of_it() {
    let mut app = App::with(layer());
    let id = aborted(&mut app).await;
    let stream = handle_of(&app, 0).id();
    let mut client = app.get(&id).await;
    assert_eq!(handle_of(&app, 1).id(), stream);
    handle_of(&app, 1).close_connection(SECOND);
    client.read_to_end().await;
    assert_eq!(client.end, End::Clean);
}

#[tokio::test]
async fn the_id_of_a_stream_cannot_be_resumed_with() {
    let mut app = App::with(layer());
    let client = open(&mut app).await;
    let id = handle_of(&app, 0).id().unwrap().to_string();
    assert!(!client.last_event_id().contains(&id));
    assert!(!id.contains(client.last_event_id().split('.').nth(1).unwrap()));
}

// Age of connections

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_too_old_breaks_and_its_client_goes_on() {
    let mut app = App::with(layer().max_connection_age(60 * SECOND).jitter(0.0));
    let start = Instant::now();
    let mut client = open(&mut app).await;
    client.read_to_end().await;
    assert_eq!(start.elapsed(), 60 * SECOND);
    assert!(client.is_broken());
    app.body().send("data: 2\n\n");
    let mut again = app.get(&client.last_event_id()).await;
    drop(client);
    again.read_events(1).await;
    assert_eq!(again.data(), ["2"]);
    again.read_to_end().await;
    assert_eq!(start.elapsed(), 120 * SECOND);
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_clean_close_it_ends_cleanly_and_jitter_makes_it_older() {
    let layer = layer().max_connection_age(60 * SECOND).jitter(0.5).clean_close(true);
    let mut app = App::with(layer);
    let start = Instant::now();
    let mut client = open(&mut app).await;
    client.read_to_end().await;
    assert_eq!(client.end, End::Clean);
    assert!((60 * SECOND..=90 * SECOND).contains(&start.elapsed()));
    assert_eq!(app.get(&client.last_event_id()).await.header("sse-resume"), Some("replay"));
}

// Bounds

#[tokio::test(start_paused = true)]
async fn streams_are_evicted_finished_first_then_aborted_then_unread_and_never_read_ones() {
    let mut app = App::with(layer().limits(Limits::new().streams(3)));
    let unread = open(&mut app).await.last_event_id();
    let aborted = aborted(&mut app).await;
    let mut client = open(&mut app).await;
    app.body().end();
    client.read();
    let finished = client.last_event_id();
    drop(client);
    let mut reading = Vec::new();
    for evicted in [finished, aborted, unread] {
        reading.push(open(&mut app).await);
        assert_eq!(app.handle.stats().streams, 3);
        assert_eq!(app.get(&evicted).await.status, StatusCode::GONE);
    }
    settle().await;
    assert!(app.inner.body(0).is_dropped());
    let mut off = app.get("").await;
    assert_eq!(off.header("sse-resume"), Some("off"));
    assert_eq!(off.header("sse-resume-from"), None);
    app.body().send("id: 7\ndata: 1");
    assert_eq!(off.read(), "id: 7\ndata: 1", "as without the layer");
    for client in &mut reading {
        client.read();
        assert_eq!(client.end, End::Open);
    }
}

#[tokio::test]
async fn a_session_has_no_more_streams_than_it_may_and_its_own_finished_ones_make_room() {
    let mut app = with_sessions(Limits::new().streams_per_session(2));
    let mut first = app.send(of_session("s", "")).await;
    let _second = app.send(of_session("s", "")).await;
    let off = app.send(of_session("s", "")).await;
    assert_eq!(off.header("sse-resume"), Some("off"));
    assert_eq!(app.send(of_session("t", "")).await.header("sse-resume"), Some("fresh"));
    app.inner.body(0).end();
    first.read();
    drop(first);
    assert_eq!(app.send(of_session("s", "")).await.header("sse-resume"), Some("fresh"));
}

#[tokio::test]
async fn there_are_no_more_sessions_than_there_may_be_and_idle_ones_make_room() {
    let mut app = with_sessions(Limits::new().sessions(1));
    let mut first = app.send(of_session("s", "")).await;
    assert_eq!(app.send(of_session("t", "")).await.header("sse-resume"), Some("off"));
    assert_eq!(app.get("").await.header("sse-resume"), Some("fresh"), "has no session");
    app.inner.body(0).end();
    first.read();
    drop(first);
    assert_eq!(app.send(of_session("t", "")).await.header("sse-resume"), Some("fresh"));
    assert_eq!(app.handle.stats().sessions, 1);
}

#[tokio::test]
async fn streams_together_hold_no_more_bytes_than_they_may() {
    const CAP: usize = 128 * 1024;
    let mut app = App::with(layer().limits(Limits::new().bytes(CAP)));
    let mut most = 0;
    for _ in 0..50 {
        let mut client = app.get("").await;
        for _ in 0..8 {
            app.body().send(format!("data: {}\n\n", "x".repeat(1_000)));
            client.read();
        }
        app.body().end();
        client.read();
        assert_eq!(client.end, End::Clean);
        most = most.max(app.handle.stats().bytes);
    }
    assert!(most <= CAP + 32 * 1024, "{most}");
    assert!(most > CAP / 2, "{most}");
}

#[tokio::test]
async fn a_stream_with_a_reader_keeps_its_place_and_gives_up_its_oldest_events() {
    const CAP: usize = 128 * 1024;
    let mut app = App::with(layer().limits(Limits::new().bytes(CAP)));
    let mut client = app.get("").await;
    for _ in 0..400 {
        app.body().send(format!("data: {}\n\n", "x".repeat(1_000)));
        client.read();
        assert!(app.handle.stats().bytes <= CAP + 32 * 1024);
    }
    assert_eq!(client.data().len(), 400);
    assert_eq!(app.get(&from(&client)).await.status, StatusCode::GONE);
    assert_eq!(app.get(&client.last_event_id()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn at_the_cap_on_bytes_a_new_stream_is_served_all_the_same() {
    let mut app = App::with(layer().limits(Limits::new().bytes(16 * 1024)));
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(open(&mut app).await);
    }
    for (call, client) in clients.iter_mut().enumerate() {
        app.inner.body(call).send("data: 2\n\n");
        client.read();
        assert_eq!(client.data(), ["1", "2"], "{call}");
        assert_eq!(client.end, End::Open);
    }
}

#[tokio::test]
async fn at_the_cap_on_bytes_a_driver_pauses_rather_than_evict_what_is_unread() {
    const CAP: usize = 64 * 1024;
    let mut app = App::with(layer().limits(Limits::new().bytes(CAP)));
    let first = open(&mut app).await;
    let mut second = app.get(&from(&first)).await;
    second.read_events(1).await;
    for _ in 0..200 {
        app.body().send(format!("data: {}\n\n", "x".repeat(1_000)));
    }
    settle().await;
    assert!(!app.body().is_drained());
    assert!(app.handle.stats().bytes <= CAP + 64 * 1024);
    second.read_events(201).await;
    assert_eq!(second.gaps().len(), 0);
    assert!(app.body().is_drained());
}

// Time

#[tokio::test(start_paused = true)]
async fn idle_streams_are_forgotten_and_then_there_is_no_task_of_ours() {
    let mut app = App::with(layer().retention(Retention::new().age(8 * SECOND)));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 0);
    for _ in 0..3 {
        let mut client = open(&mut app).await;
        app.body().end();
        client.read();
    }
    assert_eq!(tasks(), 1, "one sweeper for all");
    assert_eq!(app.handle.stats().streams, 3);
    sleep(20 * SECOND).await;
    assert_eq!(app.handle.stats(), Stats::default());
    assert_eq!(tasks(), 0);
    let _client = open(&mut app).await;
    assert_eq!(tasks(), 1, "it comes back");
}

#[tokio::test(start_paused = true)]
async fn events_expire_on_an_idle_stream_within_an_eighth_of_their_age() {
    let mut app = App::with(layer().retention(Retention::new().age(8 * SECOND)));
    let client = open(&mut app).await;
    sleep(7 * SECOND).await;
    assert_eq!(app.get(&from(&client)).await.status, StatusCode::OK);
    sleep(4 * SECOND).await;
    assert_eq!(app.get(&from(&client)).await.status, StatusCode::GONE);
    assert_eq!(app.get(&client.last_event_id()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_stream_is_forgotten_too() {
    let layer = layer().retention(Retention::new().age(8 * SECOND)).linger(Linger::none());
    let mut app = App::with(layer);
    drop(open(&mut app).await);
    assert_eq!(app.handle.stats().streams, 1);
    sleep(20 * SECOND).await;
    assert_eq!(app.handle.stats(), Stats::default());
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_dropped_lets_go_of_all() {
    let mut app = App::with(layer());
    drop(open(&mut app).await);
    let App { service, inner, handle } = app;
    drop(service);
    settle().await;
    assert_eq!(handle.stats().streams, 0);
    drop(handle);
    inner.body(0).dropped().await;
}

// Observations

#[tokio::test(start_paused = true)]
async fn what_happens_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    let observe = move |what: &Observation| to.lock().unwrap().push(*what);
    let mut app = App::with(layer().observe(observe));
    let id = open(&mut app).await.last_event_id();
    app.body().dropped().await;
    let mut client = app.get(&id).await;
    app.body().send("id: a\ndata: 1\n\n");
    client.settle().await;
    app.get("r1.x").await;
    let told = told.lock().unwrap();
    let expected = [
        Observation::Opened,
        Observation::LingerBegan,
        Observation::LingerEnded { resumed: false },
        Observation::Resumed { events: 0 },
        Observation::TakenOver,
        Observation::DuplicatesSkipped { events: 1 },
        Observation::Missed,
    ];
    assert_eq!(*told, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_lingers_for_a_layer_that_is_gone() {
    for leaves_first in [true, false] {
        let mut app = App::new();
        let mut client = app.get("").await;
        app.body().send("data: 1\n\n");
        client.read();
        let body = app.body();
        let App { service, handle, .. } = app;
        if leaves_first {
            drop(client);
            settle().await;
            assert!(!body.is_dropped(), "it lingers");
            drop((service, handle));
        } else {
            drop((service, handle));
            body.send("data: 2\n\n");
            client.read();
            assert_eq!(client.data(), ["1", "2"], "the response goes on");
            drop(client);
        }
        settle().await;
        assert!(body.is_dropped());
    }
}
