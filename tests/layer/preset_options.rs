//! Choices of the layer that presets are made of, each by itself.

use http::{Method, Response, StatusCode};
use support::app::with;
use support::{App, End, TestClient, request, settle};
use tower_sse_resume::{Connections, Linger, OnFinished, OnMissing, Retention, SseResumeLayer};

const BOTH: [Method; 2] = [Method::GET, Method::POST];

fn layer() -> SseResumeLayer {
    SseResumeLayer::new().methods(BOTH)
}

/// A client that had the event `1`, and its last event ID.
async fn with_one_event(app: &mut App, method: Method) -> (TestClient, String) {
    let mut client = app.call(method, "").await;
    app.body().send("data: 1\n\n");
    client.read_events(1).await;
    let id = client.last_event_id();
    (client, id)
}

/// The last event ID of a client that had all of a stream but its end, which came after it had left.
async fn finished(app: &mut App, method: Method) -> String {
    let (client, id) = with_one_event(app, method).await;
    drop(client);
    app.body().end();
    settle().await;
    id
}

// Which requests the layer looks at

#[tokio::test]
async fn a_request_that_is_not_looked_at_passes_with_its_response() {
    let looks = |parts: &http::request::Parts| !parts.headers.contains_key("x-newer");
    let mut app = App::with(layer().only(looks));
    let (_client, id) = with_one_event(&mut app, Method::GET).await;
    let mut client = app.send(with(request(Method::GET, &id), "x-newer", "1")).await;
    let seen = app.inner.call(1).last_event_id();
    assert_eq!(seen.as_deref(), Some(&*id), "it passes as it is");
    app.body().send("id: 5\ndata: x");
    assert_eq!(client.read(), "id: 5\ndata: x");
    assert_eq!(client.header("sse-resume"), None);
    assert_eq!(app.handle.stats().streams, 1);
}

// What is answered where the position is not served

#[tokio::test]
async fn an_answer_of_ones_own_takes_the_place_of_the_410() {
    let mut app = App::with(layer().on_missing(OnMissing::Reject).rejection(|| {
        let mut response = Response::new("start anew".into());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        response
    }));
    for method in BOTH {
        let mut client = app.call(method, "r1.nonsense").await;
        assert_eq!(client.status, StatusCode::BAD_REQUEST);
        assert_eq!(client.header("content-type"), Some("text/plain"));
        assert_eq!(client.read(), "start anew");
        assert_eq!(client.end, End::Clean);
    }
    assert_eq!(app.inner.calls(), 0);
}

#[tokio::test]
async fn to_reject_what_is_unknown_is_not_to_reject_what_has_a_gap() {
    let retention = Retention::new().events(2);
    let layer = layer().on_missing(OnMissing::RejectUnknown).retention(retention).read_on(true);
    let mut app = App::with(layer);
    let (client, id) = with_one_event(&mut app, Method::GET).await;
    drop(client);
    app.body().send("data: 2\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n");
    settle().await;
    let mut client = app.get(&id).await;
    client.read_events(3).await;
    assert_eq!(client.gaps(), [r#"{"requested":1,"resumed":3,"missed":2,"reason":"evicted"}"#]);
    assert_eq!(client.data()[1..], ["4", "5"]);
    assert_eq!(app.get("r1.nonsense").await.status, StatusCode::GONE);
    assert_eq!(app.inner.calls(), 1);
}

// What there is after the end

#[tokio::test]
async fn an_answer_to_another_method_than_get_is_204_once_all_was_delivered() {
    let mut app = App::with(layer().on_finished(OnFinished::NoContentUnlessGet));
    let id = finished(&mut app, Method::POST).await;
    for _ in 0..2 {
        assert_eq!(app.get(&id).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_get_that_has_all_goes_to_the_inner_service_at_once() {
    let mut app = App::with(layer().on_finished(OnFinished::NoContentUnlessGet));
    let id = finished(&mut app, Method::GET).await;
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("forwarded"));
    app.body().send("data: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["2"]);
    assert_eq!(app.inner.calls(), 2);
}

// Whose response goes on

#[tokio::test]
async fn the_newest_connection_of_a_stream_wins() {
    let mut app = App::with(layer().connections(Connections::Newest));
    let (mut first, id) = with_one_event(&mut app, Method::GET).await;
    let mut second = app.get(&id).await;
    let mut third = app.get(&id).await;
    app.body().send("data: 2\n\n");
    for older in [&mut first, &mut second] {
        older.read_to_end().await;
        assert_eq!(older.end, End::Clean);
    }
    assert_eq!(first.data(), ["1"]);
    assert!(first.received.ends_with(b"retry: 60000\n"));
    assert!(second.data().is_empty());
    third.read_events(1).await;
    assert_eq!(third.data(), ["2"]);
    assert_eq!(third.end, End::Open);
}

#[tokio::test]
async fn many_connections_of_a_stream_are_the_default() {
    let mut app = App::with(layer());
    let (mut first, id) = with_one_event(&mut app, Method::GET).await;
    let mut second = app.get(&id).await;
    app.body().send("data: 2\n\n");
    first.read_events(2).await;
    second.read_events(1).await;
    assert_eq!(second.data(), ["2"]);
}

// Who reads on

#[tokio::test]
async fn with_read_on_a_client_that_reads_nothing_holds_nothing_back() {
    let layer = layer().read_on(true).retention(Retention::new().events(2));
    let mut app = App::with(layer.linger(Linger::none()));
    let mut client = app.get("").await;
    for data in 1..=100 {
        app.body().send(format!("data: {data}{}\n\n", "x".repeat(2_000)));
        settle().await;
        assert!(app.body().is_drained(), "after {data} events");
    }
    client.settle().await;
    assert_eq!(client.gaps().len(), 1);
    assert!(client.data().last().unwrap().starts_with("100"));
}
