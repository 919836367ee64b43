//! Calls of the inner service on behalf of several requests, a takeover's and a shared stream's: how long one stands that
//! is not answered, and what is left of one that panics.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode};
use support::app::{App, TestClient, request};
use support::client::{Client, settle};
use support::scripted::{FedBody, Feed, event_stream, status};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Layer, Service};
use tower_sse_resume::{Linger, ResumeBody, Retention, SseResume, SseResumeLayer};

const LINGER: Duration = Duration::from_secs(30);

#[allow(clippy::unnecessary_wraps, reason = "what `share` takes")]
fn by_path(parts: &http::request::Parts) -> Option<String> {
    Some(parts.uri.path().to_owned())
}

fn takeovers() -> Vec<SseResumeLayer> {
    vec![
        SseResumeLayer::new(),
        SseResumeLayer::new().retention(Retention::ids_only()),
        SseResumeLayer::new().share(by_path),
    ]
}

/// A stream with one event whose inner body has failed, and whose client has left; returns that one's last event ID.
async fn aborted(app: &mut App) -> String {
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read_events(1).await;
    app.body().fail();
    client.read_to_end().await;
    client.last_event_id()
}

fn come_back(app: &mut App, id: &str) -> JoinHandle<TestClient> {
    let call = app.service.call(request(Method::GET, id));
    tokio::spawn(async { Client::new(call.await.unwrap()) })
}

async fn of(client: JoinHandle<TestClient>) -> TestClient {
    tokio::time::timeout(Duration::from_secs(3600), client).await.expect("it hangs").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_call_is_not_answered_passes_to_one_of_those_who_wait() {
    for layer in [SseResumeLayer::new(), SseResumeLayer::new().share(by_path)] {
        let mut app = App::with(layer);
        let id = aborted(&mut app).await;
        let _gate = app.inner.hold_next(event_stream());
        let clients: Vec<_> = (0..5).map(|_| come_back(&mut app, &id)).collect();
        sleep(LINGER.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(app.inner.calls(), 2, "it stands for the linger");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(app.inner.calls(), 3, "and then one of those who wait has it");
        assert!(app.inner.body(1).is_dropped(), "the old call is dropped");
        app.body().send("id: b\ndata: 2\n\n");
        for client in clients {
            let mut client = of(client).await;
            client.read_events(1).await;
            assert_eq!(client.data(), ["2"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_stands_on_as_long_as_nobody_waits_for_it() {
    let mut app = App::new();
    let id = aborted(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let client = come_back(&mut app, &id);
    sleep(10 * LINGER).await;
    gate.open();
    app.body().send("id: b\ndata: 2\n\n");
    let mut client = of(client).await;
    client.read_events(1).await;
    assert_eq!((client.data(), app.inner.calls()), (vec!["2".to_owned()], 2));
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_a_claim_has_stood_long_enough_has_it_at_once() {
    for behind in [false, true] {
        let mut app = App::new();
        let mut first = app.get("").await;
        let from = first.header("sse-resume-from").unwrap().to_owned();
        app.body().send("id: a\ndata: 1\n\n");
        first.read_events(1).await;
        app.body().fail();
        first.read_to_end().await;
        let id = first.last_event_id();
        let _gate = app.inner.hold_next(event_stream());
        let _claimant = come_back(&mut app, &id);
        sleep(2 * LINGER).await;
        assert_eq!(app.inner.calls(), 2);
        let client = come_back(&mut app, if behind { &from } else { &id });
        settle().await;
        assert_eq!(app.inner.calls(), 3);
        app.body().send("id: b\ndata: 2\n\n");
        let mut client = of(client).await;
        client.read_until(|client| client.data().contains(&"2".to_owned())).await;
        assert_eq!(client.data().len(), 1 + usize::from(behind));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_caller_has_left_lingers_and_is_given_back() {
    let mut app = App::new();
    let id = aborted(&mut app).await;
    let _gate = app.inner.hold_next(event_stream());
    let claimant = come_back(&mut app, &id);
    settle().await;
    claimant.abort();
    settle().await;
    assert_eq!((app.inner.calls(), app.handle.stats().lingering), (2, 1));
    sleep(LINGER.saturating_sub(Duration::from_secs(1))).await;
    assert!(!app.inner.body(1).is_dropped());
    sleep(Duration::from_secs(2)).await;
    assert!(app.inner.body(1).is_dropped());
    assert_eq!(app.handle.stats().lingering, 0);
    let mut client = of(come_back(&mut app, &id)).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    app.body().send("id: b\ndata: 2\n\n");
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    drop(client);
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(app.handle.stats().streams, 0, "it is swept");
}

#[tokio::test(start_paused = true)]
async fn without_linger_a_claim_is_given_back_once_its_caller_leaves() {
    let mut app = App::with(SseResumeLayer::new().linger(Linger::none()));
    let id = aborted(&mut app).await;
    let _gate = app.inner.hold_next(event_stream());
    let claimant = come_back(&mut app, &id);
    settle().await;
    let waits = come_back(&mut app, &id);
    settle().await;
    assert_eq!(app.inner.calls(), 2);
    claimant.abort();
    let mut client = of(waits).await;
    assert_eq!(app.inner.calls(), 3);
    assert!(app.inner.body(1).is_dropped());
    app.body().send("id: b\ndata: 2\n\n");
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lead_whose_call_is_not_answered_passes_to_one_of_those_who_wait() {
    let mut app = App::with(SseResumeLayer::new().share(by_path));
    let _gate = app.inner.hold_next(event_stream());
    let clients: Vec<_> = (0..5).map(|_| come_back(&mut app, "")).collect();
    sleep(LINGER.saturating_sub(Duration::from_secs(1))).await;
    assert_eq!(app.inner.calls(), 1, "it stands for the linger");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(app.inner.calls(), 2, "and then one of those who wait has it");
    assert!(app.inner.body(0).is_dropped(), "the old call is dropped");
    let mut clients = futures_util::future::join_all(clients.into_iter().map(of)).await;
    app.body().send("data: 1\n\n");
    for client in &mut clients {
        client.read_events(1).await;
        assert_eq!(client.data(), ["1"]);
    }
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lead_whose_leader_has_left_lingers_and_is_given_up() {
    for (linger, stands) in [(Linger::default(), LINGER), (Linger::none(), Duration::ZERO)] {
        let mut app = App::with(SseResumeLayer::new().share(by_path).linger(linger));
        let _gate = app.inner.hold_next(event_stream());
        let leader = come_back(&mut app, "");
        settle().await;
        leader.abort();
        if !stands.is_zero() {
            sleep(stands.saturating_sub(Duration::from_secs(1))).await;
            assert!(!app.inner.body(0).is_dropped());
        }
        sleep(Duration::from_secs(2)).await;
        assert!(app.inner.body(0).is_dropped());
        assert_eq!(app.handle.stats().lingering, 0);
        let mut client = of(come_back(&mut app, "")).await;
        app.body().send("data: 1\n\n");
        client.read_events(1).await;
        assert_eq!((client.data(), app.inner.calls()), (vec!["1".to_owned()], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lead_has_passed_on_is_told_that_there_is_no_stream() {
    let mut app = App::with(SseResumeLayer::new().share(by_path));
    let _gate = app.inner.hold_next(event_stream());
    let leader = come_back(&mut app, "");
    let waits = come_back(&mut app, "");
    settle().await;
    app.inner.answer_next(status(StatusCode::NOT_FOUND));
    assert_eq!(of(waits).await.status, StatusCode::NOT_FOUND);
    assert_eq!(of(leader).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// A service whose heads take their time, which counts calls, and how many there are at once.
#[derive(Clone, Default)]
struct Slow {
    calls: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<Feed>>>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Request<()>> for Slow {
    type Response = Response<FedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.running));
        let bodies = Arc::clone(&self.bodies);
        Box::pin(async move {
            let _running = running;
            sleep(Duration::from_secs(60)).await;
            let body = Feed::default();
            bodies.lock().unwrap().push(body.clone());
            Ok(event_stream().map(|()| body.reading_end()))
        })
    }
}

type SlowClient = Client<ResumeBody<FedBody>>;

async fn hundred(service: &mut SseResume<Slow>, id: &str) -> Vec<SlowClient> {
    let calls: Vec<_> =
        (0..100).map(|_| tokio::spawn(service.call(request(Method::GET, id)))).collect();
    let clients = calls.into_iter().map(|call| async {
        let response = tokio::time::timeout(Duration::from_secs(3600), call).await;
        Client::new(response.expect("it hangs").unwrap().unwrap())
    });
    futures_util::future::join_all(clients).await
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_twice_the_linger_answers_a_hundred_by_one_call_at_a_time() {
    let inner = Slow::default();
    let mut service = SseResumeLayer::new().share(by_path).layer(inner.clone());
    for round in 0..2 {
        // The second time, all go on with an aborted stream.
        let mut clients = hundred(&mut service, "").await;
        let body = inner.bodies.lock().unwrap().last().unwrap().clone();
        body.send(format!("id: {round}\ndata: {round}\n\n"));
        for client in &mut clients {
            client.read_until(|client| client.data().contains(&round.to_string())).await;
        }
        assert_eq!(inner.most.load(Ordering::SeqCst), 1, "never two at once");
        assert!(inner.calls.swap(0, Ordering::SeqCst) <= 3);
        body.fail();
        for client in &mut clients {
            client.read_to_end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_call_itself_gives_the_claim_back() {
    for layer in takeovers() {
        let mut app = App::with(layer);
        let id = aborted(&mut app).await;
        app.inner.panic_in_next_call();
        let mut service = app.service.clone();
        let call = async { service.call(request(Method::GET, &id)).await.map(drop) };
        assert!(std::panic::AssertUnwindSafe(call).catch_unwind().await.is_err());
        let mut client = of(come_back(&mut app, &id)).await;
        app.body().send("id: b\ndata: 2\n\n");
        client.read_events(1).await;
        assert_eq!(client.data(), ["2"]);
        drop(client);
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(app.handle.stats().streams, 0, "it is swept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_call_of_who_waited_gives_the_claim_back() {
    let mut app = App::new();
    let id = aborted(&mut app).await;
    let _gate = app.inner.hold_next(event_stream());
    let _claimant = come_back(&mut app, &id);
    settle().await;
    let waits = come_back(&mut app, &id);
    settle().await;
    app.inner.panic_in_next_call();
    assert!(waits.await.is_err_and(|error| error.is_panic()));
    let mut client = of(come_back(&mut app, &id)).await;
    app.body().send("id: b\ndata: 2\n\n");
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_call_itself_gives_the_lead_up() {
    let mut app = App::with(SseResumeLayer::new().share(by_path));
    app.inner.panic_in_next_call();
    let mut service = app.service.clone();
    let call = async { service.call(request(Method::GET, "")).await.map(drop) };
    assert!(std::panic::AssertUnwindSafe(call).catch_unwind().await.is_err());
    let mut client = of(come_back(&mut app, "")).await;
    app.body().send("data: 1\n\n");
    client.read_events(1).await;
    assert_eq!(client.data(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_after_a_claim_leaves_no_stream_behind() {
    use tower_sse_resume::Observation;
    type Panics = fn(&Observation) -> bool;
    let when: [(Panics, bool); 3] = [
        (|observation| matches!(observation, Observation::Resumed { .. }), false),
        (|observation| matches!(observation, Observation::TakenOver), false),
        (|observation| matches!(observation, Observation::Opened), true),
    ];
    for (panics, is_shared) in when {
        let armed = Arc::new(AtomicUsize::new(0));
        let observer = {
            let armed = Arc::clone(&armed);
            move |observation: &Observation| {
                let is_due = panics(observation) && armed.swap(0, Ordering::SeqCst) == 1;
                assert!(!is_due, "the observer panics");
            }
        };
        let layer = SseResumeLayer::new().observe(observer);
        let mut app = App::with(if is_shared { layer.share(by_path) } else { layer });
        let id = if is_shared { String::new() } else { aborted(&mut app).await };
        armed.store(1, Ordering::SeqCst);
        let mut service = app.service.clone();
        let call = async { service.call(request(Method::GET, &id)).await.map(drop) };
        let _ = std::panic::AssertUnwindSafe(call).catch_unwind().await;
        settle().await;
        assert_eq!(armed.load(Ordering::SeqCst), 0, "it was asked");
        let mut client = of(come_back(&mut app, &id)).await;
        app.body().send("id: b\ndata: 2\n\n");
        client.read_until(|client| client.data().contains(&"2".to_owned())).await;
        drop(client);
        sleep(Duration::from_secs(1000)).await;
        assert_eq!((app.handle.stats().streams, app.handle.stats().lingering), (0, 0));
    }
}
