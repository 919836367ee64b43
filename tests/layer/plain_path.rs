//! The plain path: a GET, assigned IDs, one client that is cut and comes back.

use http::Request;
use support::client::{Client, End};
use support::scripted::{FedBody, Scripted};
use tower::{Layer, Service};
use tower_sse_resume::{ResumeBody, SseResume, SseResumeLayer};

type App = SseResume<Scripted>;

fn app() -> (App, Scripted) {
    let inner = Scripted::new();
    (SseResumeLayer::new().layer(inner.clone()), inner)
}

async fn get(app: &mut App, last_event_id: Option<&str>) -> Client<ResumeBody<FedBody>> {
    let mut request = Request::get("/events");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    Client::new(app.call(request.body(()).unwrap()).await.unwrap())
}

#[tokio::test]
async fn events_get_ids_before_their_blank_line() {
    let (mut app, inner) = app();
    let mut client = get(&mut app, None).await;
    assert_eq!(client.header("sse-resume"), Some("fresh"));
    inner.body(0).send("data: a\n\ndata: b\r\n\r\n");
    let text = client.read();
    let from = client.header("sse-resume-from").unwrap();
    let token = from.strip_suffix(".1.0").unwrap();
    assert_eq!(text, format!("data: a\nid: {token}.1.1\n\ndata: b\r\nid: {token}.1.2\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_was_cut_gets_what_it_missed_and_goes_on_live() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, None).await;
    inner.body(0).send("data: 1\n\ndata: 2\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    inner.body(0).send("data: 3\n\n");
    inner.body(0).send("data: 4\n\n");
    let mut second = get(&mut app, Some(&id)).await;
    assert_eq!(second.header("sse-resume"), Some("replay"));
    assert_eq!(second.header("sse-resume-from"), Some(&*id));
    second.read_until(|client| client.data().len() == 2).await;
    inner.body(0).send("data: 5\n\n");
    second.read_until(|client| client.data().len() == 3).await;
    assert_eq!(second.data(), ["3", "4", "5"]);
    assert_eq!(inner.calls(), 1);
    inner.body(0).end();
    second.read_until(|_| false).await;
    assert_eq!(second.end, End::Clean);
}

#[tokio::test]
async fn the_inner_body_is_polled_as_often_as_without_the_layer() {
    let (mut app, inner) = app();
    let mut client = get(&mut app, None).await;
    let before = inner.body(0).polls();
    client.read();
    for _ in 0..10 {
        inner.body(0).send("data: a\n\n");
        client.read();
    }
    assert_eq!(inner.body(0).polls() - before, 1 + 10 * 2);
}

#[tokio::test(start_paused = true)]
async fn an_inner_body_is_dropped_when_the_linger_is_over() {
    let (mut app, inner) = app();
    let mut client = get(&mut app, None).await;
    inner.body(0).send("data: 1\n\n");
    client.read();
    let start = tokio::time::Instant::now();
    drop(client);
    inner.body(0).dropped().await;
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_client_that_is_cut_again_before_it_gets_anything_leaves_its_stream_running() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, None).await;
    inner.body(0).send("data: 1\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    drop(get(&mut app, Some(&id)).await);
    inner.body(0).send("data: 2\n\n");
    let mut third = get(&mut app, Some(&id)).await;
    assert_eq!(third.header("sse-resume"), Some("replay"));
    third.read_until(|client| !client.data().is_empty()).await;
    assert_eq!((third.data(), inner.calls()), (vec!["2".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_stream_is_taken_over_by_a_new_call() {
    let (mut app, inner) = app();
    let mut client = get(&mut app, None).await;
    inner.body(0).send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    inner.body(0).dropped().await;
    let mut client = get(&mut app, Some(&id)).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("b"));
    inner.body(1).send("id: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    client.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(client.data(), ["3"]);
}
