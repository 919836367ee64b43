//! Runtimes without time, no runtime at all, and bodies that are polled somewhere else: what needs time is left out, and
//! nothing panics.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body;
use support::app::{App, TestClient, request};
use support::client::Client;
use support::scripted::Scripted;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{Durability, Persistence, Sessions, SseReconnectLayer, SseResumeLayer};

/// Where a test runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    NoRuntime,
    NoTime,
}

const PLACES: [Place; 2] = [Place::NoRuntime, Place::NoTime];

fn without_time() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// Runs a future on this thread, without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl Place {
    fn run<T>(self, test: impl Future<Output = T>) -> T {
        match self {
            Self::NoRuntime => block_on(test),
            Self::NoTime => without_time().block_on(test),
        }
    }
}

async fn one_event(app: &mut App) -> TestClient {
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read();
    assert_eq!(client.data(), ["1"]);
    client
}

#[test]
fn a_stream_lives_as_long_as_its_client() {
    for place in PLACES {
        place.run(async {
            let mut app = App::new();
            let client = one_event(&mut app).await;
            let id = client.last_event_id();
            drop(client);
            assert!(app.body().is_dropped(), "{place:?}: there is no linger");
            let mut client = app.get(&id).await;
            assert_eq!(client.header("sse-resume"), Some("takeover"));
            app.body().send("id: b\ndata: 2\n\n");
            client.read();
            assert_eq!(client.data(), ["2"]);
        });
    }
}

#[test]
fn a_claim_falls_with_its_caller() {
    for place in PLACES {
        place.run(async {
            let mut app = App::new();
            let client = one_event(&mut app).await;
            let id = client.last_event_id();
            drop(client);
            let _gate = app.inner.hold_next(support::scripted::event_stream());
            let mut claimant = Box::pin(app.service.call(request(Method::GET, &id)));
            assert!(claimant.as_mut().now_or_never().is_none());
            let mut waits = Box::pin(app.service.call(request(Method::GET, &id)));
            assert!(waits.as_mut().now_or_never().is_none());
            assert_eq!(app.inner.calls(), 2);
            drop(claimant);
            let mut client = Client::new(waits.await.unwrap());
            app.body().send("id: b\ndata: 2\n\n");
            client.read();
            assert_eq!(client.data(), ["2"]);
        });
    }
}

#[test]
fn each_request_for_a_shared_stream_calls_by_itself() {
    for place in PLACES {
        place.run(async {
            let mut app = App::with(SseResumeLayer::new().share(|_| Some(String::new())));
            let _first = one_event(&mut app).await;
            let _second = one_event(&mut app).await;
            assert_eq!(app.inner.calls(), 2);
        });
    }
}

#[test]
fn connections_get_as_old_as_they_like_and_errors_come_at_once() {
    for place in PLACES {
        place.run(async {
            let age = Duration::from_millis(1);
            let mut app = App::with(SseResumeLayer::new().max_connection_age(age));
            let mut client = one_event(&mut app).await;
            std::thread::sleep(2 * age);
            client.read();
            assert!(!client.is_broken());
            app.body().fail();
            client.read();
            assert!(client.is_broken());
        });
    }
}

#[test]
fn with_commit_first_the_store_counts_as_unreachable() {
    for place in PLACES {
        place.run(async {
            let persistence = Persistence::with_secret(MemoryStore::new(), [7; 32]);
            let persistence = persistence.durability(Durability::CommitFirst);
            let mut app = App::with(SseResumeLayer::new().store(persistence));
            let mut client = app.get("").await;
            assert_eq!(client.header("sse-resume"), Some("off"));
            app.body().send("data: 1\n\n");
            client.read();
            assert_eq!(client.data(), ["1"]);
        });
    }
}

#[test]
fn with_write_behind_a_stream_is_resumed_from_memory() {
    for place in PLACES {
        place.run(async {
            let persistence = Persistence::with_secret(MemoryStore::new(), [7; 32]);
            let mut app = App::with(SseResumeLayer::new().store(persistence));
            let first = one_event(&mut app).await;
            let mut second = app.get(&first.last_event_id()).await;
            app.body().send("data: 2\n\n");
            second.read();
            assert_eq!(second.data(), ["2"]);
            app.handle.drain(Duration::from_secs(5)).await;
        });
    }
}

#[test]
fn sessions_are_there_and_unnoted() {
    for place in PLACES {
        place.run(async {
            let sessions = Sessions::new(MemoryStore::new());
            let layer = SseResumeLayer::new()
                .session_header(HeaderName::from_static("x-session"))
                .sessions(sessions);
            let mut app = App::with(layer);
            let request = support::app::with(request(Method::GET, ""), "x-session", "s");
            let client = app.send(request).await;
            assert_eq!(client.status, StatusCode::OK);
        });
    }
}

#[test]
fn a_reconnecting_body_passes_the_break_on() {
    for place in PLACES {
        place.run(async {
            let inner = Scripted::new();
            let mut service = SseReconnectLayer::new().layer(inner.clone());
            let response = service.call(without_body()).await.unwrap();
            let mut client = Client::new(response);
            inner.body(0).send("id: a\ndata: 1\n\n");
            inner.body(0).fail();
            client.read();
            assert_eq!((client.data(), client.is_broken()), (vec!["1".to_owned()], true));
            assert_eq!(inner.calls(), 1);
        });
    }
}

/// A request that can be made again.
fn without_body() -> http::Request<http_body_util::Empty<Bytes>> {
    request(Method::GET, "").map(|()| http_body_util::Empty::new())
}

/// Polls a body on a thread without a runtime until it ends.
fn read_elsewhere<B>(mut client: Client<B>) -> Client<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: ToString,
{
    let thread = std::thread::spawn(move || {
        block_on(client.read_to_end());
        client
    });
    thread.join().unwrap()
}

#[test]
fn a_body_that_is_polled_outside_of_its_runtime_has_that_ones_time() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let age = Duration::from_millis(20);
    for is_shared in [false, true] {
        let layer = SseResumeLayer::new().max_connection_age(age);
        let layer = if is_shared { layer.share(|_| Some(String::new())) } else { layer };
        let mut app = App::with(layer);
        let client = runtime.block_on(app.get(""));
        app.body().send("data: 1\n\n");
        let client = read_elsewhere(client);
        assert_eq!((client.data(), client.is_broken()), (vec!["1".to_owned()], true));
    }
}

#[test]
fn a_reconnecting_body_that_is_polled_outside_of_its_runtime_reconnects() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let inner = Scripted::new();
    let layer = SseReconnectLayer::new().first_delay(Duration::from_millis(1));
    let mut service = layer.layer(inner.clone());
    let call = async { service.call(without_body()).await };
    let response: Response<_> = runtime.block_on(call).unwrap();
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    inner.answer_next(support::scripted::status(StatusCode::NO_CONTENT));
    let client = read_elsewhere(Client::new(response));
    assert_eq!((client.data(), client.is_broken()), (vec!["1".to_owned()], false));
    assert_eq!(inner.calls(), 2);
}

#[test]
fn a_body_outlives_its_runtime() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let layer = SseResumeLayer::new().max_connection_age(Duration::from_secs(600));
    let mut app = App::with(layer);
    let client = runtime.block_on(app.get(""));
    drop(runtime);
    app.body().send("data: 1\n\n");
    app.body().end();
    let client = read_elsewhere(client);
    assert_eq!((client.data(), client.is_broken()), (vec!["1".to_owned()], false));
}
