//! Wakers and errors are code of others: when the layer lets go of them, they may let go of its own streams' clients, or
//! ask it something.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use http::{Method, Request, Response};
use support::app::{App, TestClient, request};
use support::client::Client;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse_resume::{LayerHandle, SseResumeLayer};

/// Fails where the layer locks itself out, rather than to hang.
fn without_deadlock<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(Duration::from_secs(30)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the layer locks itself out"),
        _ => thread.join().unwrap(),
    }
}

/// A task that nobody holds but its waker, as simple executors have them.
struct Task(#[allow(dead_code, reason = "it is only owned")] Mutex<TestClient>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// A client that waits with a waker which alone holds another client of the same stream.
async fn waits_for_another(app: &mut App, id: &str) -> TestClient {
    let held = app.get(id).await;
    let mut waiting = app.get(id).await;
    assert!(!waiting.poll(&Waker::from(Arc::new(Task(Mutex::new(held))))));
    waiting
}

async fn open(app: &mut App) -> (TestClient, String) {
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read_events(1).await;
    let id = client.last_event_id();
    (client, id)
}

#[test]
fn the_waker_of_a_client_that_leaves_may_own_another_client_of_its_stream() {
    without_deadlock(|| async {
        let mut app = App::new();
        let (_first, id) = open(&mut app).await;
        drop(waits_for_another(&mut app, &id).await);
        assert_eq!(app.handle.stats().clients, 1);
    });
}

#[test]
fn a_waker_that_is_replaced_may_own_another_client_of_its_stream() {
    without_deadlock(|| async {
        let mut app = App::new();
        let (_first, id) = open(&mut app).await;
        let mut waiting = waits_for_another(&mut app, &id).await;
        assert!(!waiting.poll(Waker::noop()));
        assert_eq!(app.handle.stats().clients, 2);
    });
}

#[test]
fn the_waker_of_a_client_that_drives_may_own_another_layers_client_and_be_replaced() {
    without_deadlock(|| async {
        let (mut app, mut other) = (App::new(), App::new());
        let (mut driving, _) = open(&mut app).await;
        let held = other.get("").await;
        assert!(!driving.poll(&Waker::from(Arc::new(Task(Mutex::new(held))))));
        assert!(!driving.poll(Waker::noop()));
        assert_eq!((app.handle.stats().clients, other.handle.stats().clients), (1, 0));
        app.body().send("data: 2\n\n");
        driving.read();
        assert_eq!(driving.data(), ["1", "2"]);
    });
}

/// An error that asks the layer about its streams when it is dropped.
struct Nosy(LayerHandle);

impl Drop for Nosy {
    fn drop(&mut self) {
        let _ = self.0.stats();
    }
}

impl fmt::Debug for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nosy")
    }
}

impl fmt::Display for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nosy")
    }
}

impl Error for Nosy {}

#[test]
fn the_error_of_an_inner_body_may_ask_the_layer_when_the_stream_is_taken_over() {
    without_deadlock(|| async {
        let layer = SseResumeLayer::new();
        let handle = layer.handle();
        let fails = move |_: Request<()>| {
            let said = [Ok("data: 1\n\n"), Err(Nosy(handle.clone()))];
            let response = Response::builder().header("content-type", "text/event-stream");
            let body = Body::from_stream(stream::iter(said));
            async move { Ok::<_, Infallible>(response.body(body).unwrap()) }
        };
        let service = layer.layer(service_fn(fails));
        let mut id = String::new();
        for expected in ["fresh", "takeover"] {
            let call = service.clone().oneshot(request(Method::GET, &id));
            let mut client = Client::new(call.await.unwrap());
            assert_eq!(client.header("sse-resume"), Some(expected));
            client.read_to_end().await;
            assert!(client.is_broken());
            id = client.last_event_id();
        }
    });
}
