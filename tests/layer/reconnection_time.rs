//! The reconnection time that the inner service sets reaches clients however they read.

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{ResumeBody, SseResume, SseResumeLayer};

use support::client::Client;
use support::scripted::{FedBody, Scripted};

type App = SseResume<Scripted>;

fn app() -> (App, Scripted) {
    let inner = Scripted::new();
    (SseResumeLayer::new().layer(inner.clone()), inner)
}

async fn get(app: &mut App, last_event_id: &str) -> Client<ResumeBody<FedBody>> {
    let request = Request::get("/events").header("last-event-id", last_event_id);
    Client::new(app.call(request.body(()).unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_client_that_missed_no_event_is_told_the_time_that_was_set_while_it_was_away() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, "").await;
    inner.body(0).send("data: a\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    inner.body(0).send("retry: 7000\n\n");
    tokio::task::yield_now().await;
    let mut second = get(&mut app, &id).await;
    assert_eq!(second.read(), "retry: 7000\n");
}

#[tokio::test]
async fn a_client_that_reads_history_is_told_the_time_that_is_set_meanwhile() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, "").await;
    inner.body(0).send("data: a\n\n");
    first.read();
    let id = first.last_event_id();
    inner.body(0).send("data: b\n\n");
    first.read();
    let mut second = get(&mut app, &id).await;
    assert!(second.poll(std::task::Waker::noop()));
    inner.body(0).send("data: c\n\nretry: 7000\n\n");
    tokio::task::yield_now().await;
    assert!(second.read().contains("retry: 7000\n"));
}
