//! Event IDs of the inner service that stay as they are.

use http::Method;
use support::app::{App, TestClient, request, with};
use tower_sse_resume::{EventIds, Linger, SseResumeLayer};

fn app() -> App {
    App::with(SseResumeLayer::new().event_ids(EventIds::Preserve))
}

/// A request of an owner, for only then the inner service's IDs are looked up.
async fn get(app: &mut App, last_event_id: &str) -> TestClient {
    app.send(with(request(Method::GET, last_event_id), "authorization", "Bearer a")).await
}

fn ids(client: &TestClient) -> Vec<String> {
    client.events().into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn the_inner_services_ids_stay() {
    let mut app = app();
    let mut client = get(&mut app, "").await;
    app.body().send("id: 1\ndata: a\n\ndata: b\nid: 2\n\n");
    assert_eq!(client.read(), "id: 1\ndata: a\n\ndata: b\nid: 2\n\n");
}

#[tokio::test]
async fn curl_with_an_inner_id_gets_what_came_after_it() {
    let mut app = app();
    let mut first = get(&mut app, "").await;
    let events: Vec<_> = (1..=6).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
    app.body().send(events.concat());
    first.read();
    let mut second = get(&mut app, "3").await;
    second.read_until(|client| client.data().len() == 3).await;
    assert_eq!(second.data(), ["4", "5", "6"]);
    assert_eq!(second.header("sse-resume"), Some("replay"));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn an_event_without_an_id_or_with_an_empty_one_gets_one_of_ours() {
    let mut app = app();
    let mut client = get(&mut app, "").await;
    app.body().send("data: a\n\nid: 1\ndata: b\n\nid\ndata: c\n\ndata: d\n\n");
    client.read();
    let ids = ids(&client);
    assert_eq!(ids[1], "1");
    for index in [0, 2, 3] {
        assert!(ids[index].starts_with("r1."), "{ids:?}");
    }
    let mut second = get(&mut app, &ids[2]).await;
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(second.data(), ["d"]);
}

#[tokio::test]
async fn an_id_that_comes_again_gets_one_of_ours() {
    let mut app = app();
    let mut client = get(&mut app, "").await;
    app.body().send("id: 1\ndata: a\n\nid: 1\ndata: b\n\n");
    client.read();
    let ids = ids(&client);
    assert_eq!(ids[0], "1");
    assert!(ids[1].starts_with("r1."));
}

#[tokio::test]
async fn the_id_of_an_id_only_block_travels_with_the_next_event() {
    let mut app = app();
    let mut client = get(&mut app, "").await;
    app.body().send("id: 7\n\ndata: a\n\n");
    assert_eq!(client.read(), "data: a\nid: 7\n\n");
}

#[tokio::test]
async fn an_id_that_is_not_known_goes_to_the_inner_service() {
    let mut app = app();
    let mut first = get(&mut app, "").await;
    app.body().send("id: 1\ndata: a\n\n");
    first.read();
    let second = get(&mut app, "99").await;
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("99"));
    assert_eq!(second.header("sse-resume"), Some("fresh"));
}

#[tokio::test]
async fn an_id_that_two_streams_have_goes_to_the_inner_service() {
    let mut app = app();
    let mut first = get(&mut app, "").await;
    let mut second = get(&mut app, "").await;
    for (number, client) in [&mut first, &mut second].into_iter().enumerate() {
        app.inner.body(number).send("id: 1\ndata: a\n\n");
        client.read();
    }
    get(&mut app, "1").await;
    assert_eq!(app.inner.call(2).last_event_id().as_deref(), Some("1"));
}

#[tokio::test]
async fn without_session_owner_or_shared_key_nothing_is_looked_up() {
    let mut app = app();
    let mut first = app.get("").await;
    app.body().send("id: 1\ndata: a\n\n");
    first.read();
    app.get("1").await;
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_skips_what_is_resent_under_preserved_ids() {
    let layer = SseResumeLayer::new().event_ids(EventIds::Preserve).linger(Linger::none());
    let mut app = App::with(layer);
    let mut first = get(&mut app, "").await;
    app.body().send("id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    first.read();
    drop(first);
    app.inner.body(0).dropped().await;
    let mut second = get(&mut app, "2").await;
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("2"));
    app.body().send("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n");
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(second.events()[0].id, "3");
    assert_eq!(second.data(), ["c"]);
}

#[tokio::test]
async fn an_id_is_looked_for_in_so_many_streams_of_an_owner_and_in_none_if_they_are_more() {
    let mut app = app();
    let mut clients = Vec::new();
    for n in 0..256 {
        let mut client = get(&mut app, "").await;
        app.body().send(format!("id: {n}\ndata: {n}\n\n"));
        client.read();
        clients.push(client);
    }
    assert_eq!(get(&mut app, "0").await.header("sse-resume"), Some("replay"));
    clients.push(get(&mut app, "").await);
    let calls = app.inner.calls();
    assert_eq!(get(&mut app, "0").await.header("sse-resume"), Some("fresh"));
    assert_eq!(app.inner.call(calls).last_event_id().as_deref(), Some("0"));
}
