//! Retention without payload: each return calls the inner service, and what it resends is skipped.

use support::app::App;
use tower_sse_resume::{Retention, SseResumeLayer};

fn app() -> App {
    App::with(SseResumeLayer::new().retention(Retention::ids_only()))
}

#[tokio::test]
async fn the_inner_body_is_dropped_with_its_last_reader() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read();
    drop(client);
    assert!(app.inner.body(0).is_dropped());
}

#[tokio::test]
async fn a_return_calls_the_inner_service_with_the_id_that_the_client_had_last() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    client.read();
    // The last event was sent, but did not reach the client.
    let had = client.events()[1].id.clone();
    drop(client);
    let mut client = app.get(&had).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("b"));
    app.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n");
    client.read_until(|client| client.data().len() == 2).await;
    assert_eq!(client.data(), ["3", "4"]);
}

#[tokio::test]
async fn an_inner_service_that_resends_everything_is_heard_once() {
    let mut app = app();
    let mut client = app.get("").await;
    let events: Vec<_> = (1..=9).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
    app.body().send(events[..4].concat());
    client.read();
    let mut id = client.last_event_id();
    drop(client);
    let mut seen = vec![];
    for upto in [6, 7, 9] {
        let mut client = app.get(&id).await;
        app.body().send(events[..upto].concat());
        client.read_until(|client| client.data().last() == Some(&upto.to_string())).await;
        seen.extend(client.data());
        id = client.last_event_id();
    }
    assert_eq!(seen, ["5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn nothing_of_the_payload_is_kept() {
    let mut app = app();
    let mut client = app.get("").await;
    client.read();
    app.body().send(format!("id: a\ndata: {}\n\n", "x".repeat(20_000)));
    client.read();
    let before = app.handle.stats().bytes;
    for n in 0..40 {
        app.body().send(format!("id: {n}\ndata: {}\n\n", "x".repeat(20_000)));
        client.read();
    }
    assert!(app.handle.stats().bytes < before + 40 * 100);
}
