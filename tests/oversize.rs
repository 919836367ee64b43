//! Frames over the limit go to who is there, and are a gap for all others.

#[path = "support/client.rs"]
mod client;
#[path = "support/scripted.rs"]
mod scripted;

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{Limits, SseResumeLayer};

use client::{Client, End};
use scripted::Scripted;

#[tokio::test]
async fn a_slow_client_within_a_frame_over_the_limit_does_not_hold_up_one_that_waits_for_its_end() {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().limits(Limits::new().frame(20)).layer(inner.clone());
    let mut slow = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send("data: a\n\n");
    slow.read();
    let request = Request::builder().header("last-event-id", slow.last_event_id());
    let mut waiting = Client::new(app.call(request.body(()).unwrap()).await.unwrap());
    inner.body(0).send("data: a frame that is over the limit");
    tokio::task::yield_now().await;
    waiting.read();
    assert_eq!(waiting.events()[0].event, "resume-gap");
    inner.body(0).send(" goes on\n\ndata: b\n\n");
    waiting.read_until(|client| client.events().len() == 2).await;
    assert_eq!(waiting.data()[1], "b");
}

#[tokio::test]
async fn a_client_within_a_frame_whose_rest_never_comes_is_cut_off_even_if_the_stream_is_taken_over()
 {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().limits(Limits::new().frame(20)).layer(inner.clone());
    let mut within = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send("data: a\n\n");
    within.read();
    let request = || Request::builder().header("last-event-id", within.last_event_id());
    let (other, third) = (request(), request());
    let mut other = Client::new(app.call(other.body(()).unwrap()).await.unwrap());
    inner.body(0).send("data: a frame that is over the limit");
    tokio::task::yield_now().await;
    within.read();
    inner.body(0).fail();
    other.read_until(|_| false).await;
    let mut third = Client::new(app.call(third.body(()).unwrap()).await.unwrap());
    inner.body(1).send("data: b\n\n");
    third.read_until(|client| client.data().contains(&"b".to_owned())).await;
    let rest = within.read();
    assert_eq!(rest, "");
    assert!(matches!(within.end, End::Broken(_)));
}

#[tokio::test]
async fn no_signal_comes_between_the_pieces_of_a_frame_over_the_limit() {
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().limits(Limits::new().frame(20)).layer(inner.clone());
    let mut within = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send("data: a\n\n");
    within.read();
    let request = || Request::builder().header("last-event-id", within.last_event_id());
    let (other, third) = (request(), request());
    let mut other = Client::new(app.call(other.body(()).unwrap()).await.unwrap());
    inner.body(0).send("data: a frame that is over");
    tokio::task::yield_now().await;
    within.read();
    inner.body(0).send(" the limit\n\n");
    inner.body(0).fail();
    other.read_until(|_| false).await;
    let mut third = Client::new(app.call(third.body(()).unwrap()).await.unwrap());
    inner.body(1).send("data: b\n\n");
    third.read_until(|client| client.data().contains(&"b".to_owned())).await;
    within.read();
    assert_eq!(within.data()[..2], ["a", "a frame that is over the limit"]);
    assert_eq!(within.data()[3], "b");
}
