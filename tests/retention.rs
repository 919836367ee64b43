//! What history gives up when there is no room for it.

#[path = "support/client.rs"]
mod client;
#[path = "support/scripted.rs"]
mod scripted;

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{Retention, SseResumeLayer};

use client::Client;
use scripted::Scripted;

#[tokio::test]
async fn an_event_larger_than_all_of_history_may_be_leaves_nothing_retained() {
    let inner = Scripted::new();
    let retention = Retention::new().bytes(60);
    let mut app = SseResumeLayer::new().retention(retention).read_on(true).layer(inner.clone());
    let mut client = Client::new(app.call(Request::new(())).await.unwrap());
    let large = "x".repeat(80);
    inner.body(0).send(format!("data: a\n\ndata: {large}\n\ndata: c\n\ndata: {large}\n\n"));
    client.read();
    assert_eq!(client.data(), ["a", &large, "c", &large]);
}
