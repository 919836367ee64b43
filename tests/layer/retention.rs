//! What history gives up when there is no room for it.

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{Retention, SseResumeLayer};

use support::client::Client;
use support::scripted::Scripted;

#[tokio::test]
async fn an_event_larger_than_all_of_history_may_be_leaves_nothing_retained() {
    let inner = Scripted::new();
    let retention = Retention::new().bytes(60);
    let mut app = SseResumeLayer::new().retention(retention).read_on(true).layer(inner.clone());
    let mut client = Client::new(app.call(Request::new(())).await.unwrap());
    let large = "x".repeat(80);
    inner.body(0).send(format!("data: a\n\ndata: {large}\n\ndata: c\n\ndata: {large}\n\n"));
    client.read_events(4).await;
    assert_eq!(client.data(), ["a", &large, "c", &large]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_woken_for_what_there_was_no_room_for_when_it_came() {
    let inner = Scripted::new();
    let retention = Retention::new().bytes(80);
    let mut app = SseResumeLayer::new().retention(retention).layer(inner.clone());
    let mut client = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send("data: a\n\n");
    client.read();
    let request = Request::builder().header("last-event-id", client.last_event_id());
    drop(client);
    inner.body(0).send("data: b\n\ndata: c\n\ndata: d\n\n");
    tokio::task::yield_now().await;
    let mut client = Client::new(app.call(request.body(()).unwrap()).await.unwrap());
    let all = client.read_until(|client| client.data().len() == 3);
    tokio::select! {
        biased;
        () = tokio::time::sleep(std::time::Duration::from_secs(1)) => panic!("not woken"),
        () = all => {}
    }
}
