//! A stream that was aborted goes on with a new call of the inner service.

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{Linger, ResumeBody, Retention, SseResume, SseResumeLayer};

use support::client::Client;
use support::scripted::{FedBody, Scripted};

type App = SseResume<Scripted>;

fn app() -> (App, Scripted) {
    let inner = Scripted::new();
    (SseResumeLayer::new().linger(Linger::none()).layer(inner.clone()), inner)
}

async fn get(app: &mut App, last_event_id: &str) -> Client<ResumeBody<FedBody>> {
    let request = Request::get("/events").header("last-event-id", last_event_id);
    Client::new(app.call(request.body(()).unwrap()).await.unwrap())
}

#[tokio::test]
async fn an_inner_service_that_took_its_id_back_begins_anew_and_the_client_is_told() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, "").await;
    inner.body(0).send("id: 1\ndata: a\n\nid\ndata: b\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    let mut second = get(&mut app, &id).await;
    assert_eq!(inner.call(1).last_event_id(), None);
    inner.body(1).send("id: 1\ndata: a\n\n");
    second.read_until(|client| client.events().len() == 2).await;
    let events = second.events();
    assert_eq!(events[0].event, "resume-gap");
    assert!(events[0].data.contains("producer-lost"));
    assert_eq!(events[1].data, "a");
}

#[tokio::test]
async fn a_first_event_that_is_too_large_to_be_retained_is_known_when_it_is_resent() {
    let inner = Scripted::new();
    let retention = Retention::new().bytes(60);
    let layer = SseResumeLayer::new().linger(Linger::none()).retention(retention).read_on(true);
    let mut app = layer.layer(inner.clone());
    let large = format!("id: 1\ndata: {}\n\n", "x".repeat(80));
    let mut first = get(&mut app, "").await;
    inner.body(0).send(large.clone());
    first.read_until(|client| !client.data().is_empty()).await;
    let id = first.last_event_id();
    drop(first);
    let mut second = get(&mut app, &id).await;
    inner.body(1).send(large + "id: 2\ndata: b\n\n");
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(second.data(), ["b"]);
}

#[tokio::test]
async fn a_resend_that_breaks_off_does_not_take_the_inner_services_id_back() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, "").await;
    inner.body(0).send("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    let mut second = get(&mut app, &id).await;
    inner.body(1).send("id: 1\ndata: a\n\nid: 2\n\n");
    inner.body(1).fail();
    second.read_to_end().await;
    assert_eq!(second.data(), [""; 0]);
    let third = get(&mut app, &id).await;
    assert_eq!(inner.call(2).last_event_id().as_deref(), Some("3"));
    assert!(third.header("sse-resume-from").unwrap().ends_with(".3.3"));
}

#[tokio::test]
async fn after_a_resend_the_inner_services_id_goes_on() {
    let (mut app, inner) = app();
    let mut first = get(&mut app, "").await;
    inner.body(0).send("id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    let mut second = get(&mut app, &id).await;
    inner.body(1).send("id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\n\n");
    inner.body(1).fail();
    second.read_to_end().await;
    drop(get(&mut app, &id).await);
    assert_eq!(inner.call(2).last_event_id().as_deref(), Some("3"));
}
