//! What grows, and that it does not without bound; and that all of it is given back.

use std::time::Duration;

use support::app::App;
use support::client::settle;
use tower_sse_resume::{EventIds, Linger, Retention, SseResumeLayer};

#[tokio::test]
async fn a_stream_that_is_taken_over_for_ever_does_not_grow() {
    let retention = Retention::new().events(10);
    let layer = SseResumeLayer::new().linger(Linger::none()).retention(retention);
    let mut app = App::with(layer.dedupe_window(10));
    let mut id = String::new();
    let mut bytes = Vec::new();
    for round in 0..3_000 {
        let mut client = app.get(&id).await;
        app.body().send(format!("id: {round}\ndata: 1\n\n"));
        client.read_events(1).await;
        id = client.last_event_id();
        drop(client);
        settle().await;
        bytes.push(app.handle.stats().bytes);
    }
    assert_eq!(app.inner.calls(), 3_000);
    assert_eq!(bytes[1_500], bytes[2_999]);
}

#[tokio::test]
async fn a_position_of_a_forgotten_generation_is_unknown() {
    let mut app = App::with(SseResumeLayer::new().linger(Linger::none()));
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let first = client.last_event_id();
    drop(client);
    let (mut id, mut early) = (first.clone(), String::new());
    for round in 0..1_500 {
        let mut client = app.get(&id).await;
        app.body().send(format!("data: {round}\n\n"));
        client.read_until(|client| client.data().last() == Some(&round.to_string())).await;
        id = client.last_event_id();
        if round == 10 {
            early.clone_from(&id);
        }
        assert_eq!(client.header("sse-resume"), Some("takeover"), "{round}");
        drop(client);
        settle().await;
    }
    // What it was not told of is only that which it cannot name any more.
    let known = app.get(&first).await;
    assert_eq!(
        known.header("sse-resume"),
        Some("takeover"),
        "it is before all generations but the first"
    );
    let client = app.get(&early).await;
    assert_eq!(client.header("sse-resume"), Some("gap"));
}

#[tokio::test]
async fn preserved_ids_are_forgotten_where_no_payload_is_kept() {
    let retention = Retention::ids_only().events(10);
    let layer = SseResumeLayer::new().retention(retention).dedupe_window(10);
    let layer = layer.event_ids(EventIds::Preserve).owner(|_| Some("me".to_owned()));
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    let send = |client: &mut support::TestClient, from: u32| {
        for n in from..from + 1_000 {
            app.body().send(format!("id: {n}\ndata: {n}\n\n"));
            client.read();
        }
        app.handle.stats().bytes
    };
    let before = send(&mut client, 1_000);
    assert_eq!(send(&mut client, 2_000), before);
    assert_eq!(client.last_event_id(), "2999");
}

#[tokio::test]
async fn a_preserved_id_stays_when_its_event_is_sent_again() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let layer = layer.event_ids(EventIds::Preserve).owner(|_| Some("me".to_owned()));
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read();
    drop(client);
    let mut client = app.get("a").await;
    app.body().send("id: b\ndata: 2\n\n");
    client.read_events(1).await;
    assert_eq!(client.received, "id: b\ndata: 2\n\n");
}

#[tokio::test]
async fn inner_ids_count_as_bytes_of_the_history() {
    for retention in [Retention::new(), Retention::ids_only()] {
        let retention = retention.bytes(64 * 1024);
        let layer = SseResumeLayer::new().retention(retention.clone());
        let mut app = App::with(layer);
        let mut client = app.get("").await;
        for n in 0..200 {
            app.body().send(format!("id: {n}-{}\ndata: {n}\n\n", "x".repeat(6_000)));
            client.read();
        }
        let bytes = app.handle.stats().bytes;
        assert!(bytes < 3 * 64 * 1024, "{retention:?} {bytes}");
    }
}

#[tokio::test]
async fn an_event_over_the_limit_of_the_history_evicts_itself() {
    let retention = Retention::new().bytes(200);
    let mut app = App::with(SseResumeLayer::new().retention(retention).read_on(true));
    let mut client = app.get("").await;
    for len in [40, 100, 300, 20, 20, 250, 1, 400] {
        app.body().send(format!("data: {}\n\n", "x".repeat(len)));
        client.settle().await;
    }
    assert_eq!(client.data().len(), 8);
}

#[tokio::test]
async fn what_gives_up_its_events_gives_up_their_memory() {
    let mut app = App::new();
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let empty = app.handle.stats().bytes;
    drop(client);
    app.handle.purge_all();
    settle().await;
    assert!(empty > 0);
    assert_eq!(app.handle.stats().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_durations_there_are_mean_forever() {
    let layer = SseResumeLayer::new()
        .linger(Duration::MAX)
        .max_connection_age(Duration::MAX)
        .retry(Duration::MAX)
        .retention(Retention::new().age(Duration::MAX));
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    settle().await;
    app.body().send("data: 2\n\n");
    let mut client = app.get(&id).await;
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_outlives_its_layer_leaves_nothing_behind() {
    use tower::{Layer, Service};
    let (inner, layer) = (support::Scripted::new(), SseResumeLayer::new());
    let handle = layer.handle();
    let response = layer.layer(inner.clone()).call(support::request(http::Method::GET, ""));
    drop(layer);
    let mut client = support::Client::new(response.await.unwrap());
    inner.body(0).send("data: 1\n\n");
    client.read();
    assert_eq!(client.header("sse-resume"), Some("fresh"));
    assert_eq!(handle.stats().streams, 0);
    drop(client);
    inner.body(0).dropped().await;
    settle().await;
    assert_eq!(handle.stats().bytes, 0);
}
