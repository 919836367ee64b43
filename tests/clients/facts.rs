//! What clients do, each as it was looked at or measured, and what the layer therefore does. `tests/clients/real.rs` has
//! some of the clients themselves.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use support::app::with;
use support::{App, TestClient, request, settle};
use tower_sse_resume::{OnFinished, Retention, SseResumeLayer};

/// As browsers' `EventSource` asks.
fn event_source(last_event_id: &str) -> Request<()> {
    let request = with(request(Method::GET, last_event_id), "accept", "text/event-stream");
    with(with(request, "cache-control", "no-cache"), "sec-fetch-mode", "cors")
}

/// How many events a client dispatches that does so at blank lines: at every one, or at those after the first ID and
/// those before which there was a field. Returns how many have data, and how many have none.
fn dispatched(stream: &str, at_every: bool) -> (usize, usize) {
    let (mut with_data, mut empty) = (0, 0);
    let (mut id_seen, mut field, mut data) = (false, false, false);
    for line in stream.replace("\r\n", "\n").split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some("") if data => with_data += 1,
            Some("") if at_every || id_seen || field => empty += 1,
            Some("") | None => {}
            Some(line) => {
                id_seen |= line.starts_with("id");
                field |= line.starts_with("event") || line.starts_with("retry");
                data |= line.starts_with("data");
                continue;
            }
        }
        (field, data) = (false, false);
    }
    (with_data, empty)
}

async fn no_more_empty_events_than_bare(at_every: bool) {
    let blocks =
        ["data: 1", ":", ": alive", "retry: 5", "", "id: 7", "event: x", "data: 2", "", ":"];
    for ending in ["\n", "\r\n"] {
        let mut app = App::new();
        let mut client = app.get("").await;
        let blocks: Vec<_> =
            blocks.iter().map(|block| format!("{block}{ending}{ending}")).collect();
        for block in &blocks {
            app.body().send(block.clone());
            client.read();
        }
        let bare = dispatched(&blocks.concat(), at_every);
        let layered = dispatched(&String::from_utf8_lossy(&client.received), at_every);
        assert_eq!(layered.0, bare.0);
        assert!(layered.1 <= bare.1, "{layered:?} instead of {bare:?}: {:?}", client.received);
    }
}

#[tokio::test]
async fn httpx_sse_and_openai_python_dispatch_at_each_blank_line_after_an_id_and_get_none_more() {
    no_more_empty_events_than_bare(false).await;
}

#[tokio::test]
async fn fetch_event_source_calls_back_at_every_blank_line_and_gets_none_more() {
    no_more_empty_events_than_bare(true).await;
}

#[tokio::test(start_paused = true)]
async fn fetch_event_source_takes_a_clean_end_for_success_and_only_a_finished_stream_has_one() {
    let age = Duration::from_secs(60);
    let mut app = App::with(SseResumeLayer::new().max_connection_age(age).jitter(0.0));
    let mut finished = app.get("").await;
    app.body().send("data: 1\n\n");
    app.body().end();
    finished.read_to_end().await;
    assert_eq!(finished.end, support::End::Clean);
    let mut failed = app.get("").await;
    app.body().fail();
    failed.read_to_end().await;
    let mut purged = app.get("").await;
    purged.read();
    app.handle.purge_all();
    purged.read_to_end().await;
    let mut old = app.get("").await;
    old.read_to_end().await;
    let mut drained = app.get("").await;
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(age).await });
    drained.read_to_end().await;
    for client in [failed, purged, old, drained] {
        assert!(client.is_broken());
    }
    drain.await.unwrap();
}

#[tokio::test]
async fn clients_that_parse_each_event_as_json_break_on_priming_and_are_not_primed() {
    let fetch = [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
    let openai_node = [("accept", "application/json"), ("cache-control", "no-cache"), fetch[0]];
    let fetch_event_source = [("accept", "text/event-stream"), fetch[0], fetch[1]];
    let ag_ui = [("accept", "text/event-stream"), ("content-type", "application/json"), fetch[0]];
    for headers in [openai_node, fetch_event_source, ag_ui] {
        let mut app = App::new();
        let asked = headers
            .iter()
            .fold(request(Method::GET, ""), |request, (name, value)| with(request, name, value));
        assert_eq!(app.send(asked).await.read(), "", "{headers:?}");
    }
    let mut app = App::new();
    assert_ne!(app.send(event_source("")).await.read(), "", "an `EventSource` is");
}

/// A primed client that had one event, and the stream's end.
async fn finished(app: &mut App, last_event_id: &str) -> TestClient {
    let mut client = app.send(event_source(last_event_id)).await;
    app.body().send("data: 1\n\n");
    app.body().end();
    client.read_to_end().await;
    client
}

#[tokio::test]
async fn a_status_other_than_200_stops_an_event_source_for_good_and_by_default_none_gets_one() {
    let mut app = App::with(SseResumeLayer::new().retention(Retention::new().events(1)));
    let mut evicted = app.send(event_source("")).await;
    app.body().send("data: 1\n\n");
    evicted.read();
    let first = evicted.header("sse-resume-from").unwrap().to_owned();
    for _ in 0..3 {
        app.body().send("data: 2\n\n");
        evicted.read();
    }
    let ended = finished(&mut app, "").await;
    let forged = format!("{first}x");
    for id in [first.as_str(), "r1.", forged.as_str(), "7", ended.last_event_id().as_str()] {
        assert_eq!(app.send(event_source(id)).await.status, StatusCode::OK, "{id}");
    }
}

#[tokio::test]
async fn an_event_source_comes_back_after_a_clean_end_too_and_gets_nothing_twice() {
    let mut app = App::new();
    let id = finished(&mut app, "").await.last_event_id();
    let again = app.send(event_source(&id)).await;
    assert_eq!(again.header("sse-resume"), Some("forwarded"));
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test]
async fn a_204_stops_an_event_source_where_that_is_wished() {
    let mut app = App::with(SseResumeLayer::new().on_finished(OnFinished::NoContent));
    let id = finished(&mut app, "").await.last_event_id();
    assert_eq!(app.send(event_source(&id)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn an_event_source_cannot_send_authorization_and_is_known_by_a_cookie() {
    let mut app = App::with(SseResumeLayer::new().owner_cookie("user"));
    let mut client = app.send(with(event_source(""), "cookie", "user=ada")).await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    for (cookie, expected) in [("user=ada", "replay"), ("user=eve", "gap")] {
        let again = app.send(with(event_source(&id), "cookie", cookie)).await;
        assert_eq!(again.header("sse-resume"), Some(expected));
    }
}

#[tokio::test]
async fn where_a_disconnect_means_cancel_it_does_for_by_default_only_get_is_resumable() {
    let mut app = App::new();
    let mut client = app.call(Method::POST, "").await;
    app.body().send("data: 1\n\n");
    assert_eq!(client.read(), "data: 1\n\n");
    drop(client);
    settle().await;
    assert!(app.body().is_dropped());
}

#[tokio::test]
async fn a_server_that_ends_each_response_on_purpose_is_called_again_by_who_comes_back() {
    let mut app = App::new();
    let mut id = String::new();
    for round in 1..5 {
        id = finished(&mut app, &id).await.last_event_id();
        assert_eq!(app.inner.calls(), round);
    }
}
