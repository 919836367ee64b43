//! Inside of `SseResumeLayer`.

use http::HeaderValue;
use tower::{Layer, Service};
use tower_sse_resume::SseResumeLayer;

use crate::{THREE, get, layer};
use support::client::{Client, End};
use support::scripted::Scripted;

#[tokio::test(start_paused = true)]
async fn a_resumable_stream_goes_on_over_a_break_as_if_there_had_been_none() {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().layer(layer().layer(inner.clone()));
    let mut client = Client::new(app.call(get()).await.unwrap());
    let from = client.header("sse-resume-from").unwrap().to_owned();
    let token = from.strip_suffix(".1.0").unwrap();
    inner.body(0).send("id: a\ndata: 1\n\nid: b\nda");
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 1).await;
    inner.body(1).send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read_until(|client| client.data().len() > 1).await;
    let ids: Vec<String> = client.events().into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [format!("{token}.1.1.a"), format!("{token}.1.2.b")]);
    assert_eq!(client.data(), ["1", "2"]);
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_gone_on_with_is_told_to_clients_that_can_resume() {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().layer(layer().layer(inner.clone()));
    let mut client = Client::new(app.call(get()).await.unwrap());
    inner.body(0).send(THREE);
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 1).await;
    inner.body(1).send("id: a\ndata: other\n\n");
    client.read_until(|_| false).await;
    assert!(matches!(client.end, End::Broken(_)));
    let mut again = get();
    let id = HeaderValue::from_str(&client.last_event_id()).unwrap();
    again.headers_mut().insert("last-event-id", id);
    let mut client = Client::new(app.call(again).await.unwrap());
    assert_eq!(inner.call(2).last_event_id().as_deref(), Some("c"));
    inner.body(2).send("id: a\ndata: other\n\n");
    client.read_until(|client| client.data().len() > 1).await;
    let events = client.events();
    assert_eq!(events[0].event, "resume-gap");
    assert!(events[0].data.contains("\"reason\":\"diverged\""));
    assert_eq!(events[1].data, "other");
}
