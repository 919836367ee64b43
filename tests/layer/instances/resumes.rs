//! A client that comes back to another instance.

use http::Method;
use tower_sse_resume::{Durability, Retention};

use super::{Instances, a_lease, a_moment};
use support::client;

#[tokio::test(start_paused = true)]
async fn a_client_goes_on_with_another_instance_and_gets_what_it_missed_and_what_comes() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    one.body().send("data: 1\n\ndata: 2\n\n");
    first.read_events(2).await;
    let id = client::last_event_id(&first.received);
    drop(first);
    one.body().send("data: 3\n\n");
    a_moment().await;
    let mut second = two.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("replay"));
    second.read_events(1).await;
    one.body().send("data: 4\n\n");
    second.read_events(2).await;
    one.body().end();
    second.read_to_end().await;
    assert_eq!(second.data(), ["3", "4"]);
    assert!(!second.is_broken());
    assert_eq!((one.inner.calls(), two.inner.calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_ended_is_replayed_by_any_instance_with_its_end() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    one.body().send("retry: 1234\ndata: 1\n\nid: x\ndata: 2\n\ndata: 3\n\n");
    first.read_events(1).await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().end();
    first.read_to_end().await;
    a_moment().await;
    one.kill();
    a_lease().await;
    let mut second = two.get(&from).await;
    second.read_to_end().await;
    assert_eq!(second.data(), ["1", "2", "3"]);
    assert_eq!(second.events(), first.events(), "with the same IDs");
    assert!(!second.is_broken());
    let end = two.get(&second.last_event_id()).await;
    assert_eq!(end.header("sse-resume"), Some("replay"), "the end, once more");
}

#[tokio::test(start_paused = true)]
async fn a_position_ahead_of_the_store_waits_for_it_to_come_there() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("data: 1\n\n").await;
    a_moment().await;
    one.way.cut();
    one.body().send("data: 2\n\ndata: 3\n\n");
    first.read_events(3).await;
    let id = first.last_event_id();
    let mut second = two.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("replay"));
    a_moment().await;
    second.settle().await;
    one.way.mend();
    one.body().send("data: 4\n\n");
    first.read_events(4).await;
    second.read_events(1).await;
    assert_eq!(second.data(), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_binding_is_answered_as_an_unknown_id() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let request = support::app::with(support::app::request(Method::GET, ""), "authorization", "a");
    let mut first = one.send(request).await;
    one.body().send("data: 1\n\n");
    first.read_events(1).await;
    a_moment().await;
    let request = support::app::request(Method::GET, &first.last_event_id());
    let mut other = two.send(support::app::with(request.clone(), "authorization", "b")).await;
    two.body().send("data: theirs\n\n");
    other.read_events(2).await;
    assert!(other.gaps()[0].contains("unknown"));
    assert_eq!(two.inner.calls(), 1);
    let own = two.send(support::app::with(request, "authorization", "a")).await;
    assert_eq!(own.header("sse-resume"), Some("replay"));
    assert_eq!(two.inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_no_longer_keeps_is_a_gap() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.retention(Retention::new().events(2)).dedupe_window(0);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    for number in 1..=5 {
        one.body().send(format!("data: {number}\n\n"));
        first.read_events(number).await;
        a_moment().await;
    }
    let from = first.header("sse-resume-from").unwrap().to_owned();
    a_sweep().await;
    let mut second = two.get(&from).await;
    second.read_events(3).await;
    assert_eq!(second.header("sse-resume"), Some("gap"));
    assert!(second.gaps()[0].contains(r#""missed":3,"reason":"evicted""#), "{:?}", second.gaps());
    assert_eq!(second.data()[1..], ["4", "5"]);
}

/// Long enough for the store to be swept.
async fn a_sweep() {
    tokio::time::sleep(std::time::Duration::from_secs(170)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_for_a_client_that_had_more_is_read_again_for_one_that_had_less() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().send("data: 1\n\ndata: 2\n\n");
    first.read_events(2).await;
    a_moment().await;
    let mut second = two.get(&first.last_event_id()).await;
    one.body().send("data: 3\n\n");
    one.body().end();
    first.read_to_end().await;
    second.read_to_end().await;
    assert_eq!(second.data(), ["3"]);
    let mut third = two.get(&from).await;
    third.read_to_end().await;
    assert_eq!((third.data(), third.gaps()), (first.data(), vec![]));
    assert_eq!(third.header("sse-resume"), Some("replay"));
}

#[tokio::test(start_paused = true)]
async fn several_clients_share_one_reading_of_the_store() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("data: 1\n\n").await;
    a_moment().await;
    let id = first.last_event_id();
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(two.get(&id).await);
    }
    for other in &mut others {
        other.settle().await;
    }
    let before = two.way.calls();
    one.body().send("data: 2\n\n");
    first.read_events(2).await;
    for other in &mut others {
        other.read_events(1).await;
    }
    assert!(two.way.calls() - before <= 4, "{} calls", two.way.calls() - before);
    assert_eq!(two.handle.stats().streams, 1);
    drop(others);
    assert_eq!(two.handle.stats().streams, 0, "nothing is held for nobody");
}

#[tokio::test(start_paused = true)]
async fn after_the_end_another_instance_calls_the_inner_service_with_its_last_id() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    a_moment().await;
    // Two looks the stream up before the inner service has given any ID.
    let mut second = two.get(&from).await;
    one.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    one.body().end();
    first.read_to_end().await;
    second.read_to_end().await;
    let last = second.last_event_id();
    let again = two.get(&last).await;
    assert_eq!(again.header("sse-resume-from"), Some(&*last));
    drop(again);
    drop(two.get(&last).await);
    assert_eq!(two.inner.calls(), 1);
    assert_eq!(two.inner.call(0).last_event_id().as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn what_another_client_did_not_need_of_a_finished_stream_is_in_the_store_still() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().send("data: 1\n\ndata: 2\n\n");
    first.read_events(2).await;
    a_moment().await;
    let mut second = two.get(&first.last_event_id()).await;
    one.body().send("data: 3\n\n");
    one.body().end();
    first.read_to_end().await;
    second.read_to_end().await;
    assert_eq!(second.data(), ["3"]);
    let mut third = two.get(&from).await;
    third.read_to_end().await;
    assert_eq!(third.data(), ["1", "2", "3"]);
}
