//! A stream whose producer is gone, and another instance that goes on with it.

use std::time::Duration;

use tower_sse_resume::{Durability, Linger};

use super::{Instances, a_lease, a_moment};

#[tokio::test(start_paused = true)]
async fn when_an_instance_dies_another_one_goes_on_with_the_inner_services_last_id() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    one.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    first.read_events(2).await;
    let id = first.last_event_id();
    a_moment().await;
    // Two has to have been in contact for a lease.
    drop(two.get(&id).await);
    one.kill();
    a_lease().await;
    let mut second = two.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    assert_eq!(two.inner.call(0).last_event_id().as_deref(), Some("b"));
    two.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    second.read_events(1).await;
    assert_eq!(second.data(), ["3"], "what was resent is skipped");
    assert!(second.last_event_id().contains(".2.3."), "generation 2, offset 3");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_dies_before_its_first_event_goes_on_from_the_id_that_it_began_with() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let first = one.get("r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.a").await;
    assert_eq!(one.inner.call(0).last_event_id().as_deref(), Some("a"));
    let from = first.header("sse-resume-from").unwrap().to_owned();
    a_moment().await;
    drop(two.get(&from).await);
    one.kill();
    a_lease().await;
    let mut second = two.get(&from).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    assert_eq!(two.inner.call(0).last_event_id().as_deref(), Some("a"));
    two.body().send("id: b\ndata: 1\n\n");
    second.read_events(1).await;
    assert_eq!(second.data(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn without_inner_ids_the_client_is_told_that_the_producer_was_lost() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    one.body().send("data: 1\n\ndata: 2\n\n");
    first.read_events(1).await;
    let id = first.header("sse-resume-from").unwrap().to_owned();
    a_moment().await;
    drop(two.get(&id).await);
    one.kill();
    a_lease().await;
    let mut second = two.get(&id).await;
    two.body().send("data: 3\n\n");
    second.read_events(4).await;
    assert_eq!(second.data()[..2], ["1", "2"]);
    assert!(second.gaps()[0].contains("producer-lost"));
    assert_eq!(second.data()[3], "3");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_at_another_instance_breaks_off_when_the_producer_is_lost() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let first = one.begin("id: 1\ndata: 1\n\n").await;
    a_moment().await;
    let mut second = two.get(&first.last_event_id()).await;
    one.kill();
    second.read_to_end().await;
    assert!(second.is_broken());
    let mut again = two.get(&first.last_event_id()).await;
    two.body().send("id: 2\ndata: 2\n\n");
    again.read_events(1).await;
    assert_eq!(again.data(), ["2"]);
}

/// The gap was told at the client's own position, under the next generation: of that one it then lacked in silence as many
/// events as were lost.
#[tokio::test(start_paused = true)]
async fn a_client_ahead_of_the_store_is_cut_off_before_it_is_put_into_what_came_instead() {
    for has_ids in [false, true] {
        let event = |number: u32, what: &str| {
            let id = if has_ids { format!("id: {number}\n") } else { String::new() };
            format!("{id}data: {what} {number}\n\n")
        };
        let instances = Instances::new(Durability::WriteBehind);
        let (mut one, mut two) = (instances.start(), instances.start());
        let mut three = instances.start();
        let mut first = one.get("").await;
        one.body().send(event(1, "stored"));
        first.read_events(1).await;
        let stored = first.last_event_id();
        a_moment().await;
        drop(three.get(&stored).await);
        one.way.cut();
        one.body().send(event(2, "lost") + &event(3, "lost"));
        first.read_events(3).await;
        let ahead = first.last_event_id();
        let mut second = two.get(&ahead).await;
        second.settle().await;
        // It sees the lapse of the lease no earlier than what comes instead.
        two.way.freeze();
        a_lease().await;
        let mut third = three.get(&stored).await;
        assert_eq!(third.header("sse-resume"), Some("takeover"));
        let gaps = usize::from(!has_ids);
        (2..=5).for_each(|number| three.body().send(event(number, "instead")));
        third.read_events(4 + gaps).await;
        a_moment().await;
        two.way.mend();
        second.read_to_end().await;
        assert!(second.is_broken());
        assert!(second.events().is_empty(), "neither an event nor a gap: {:?}", second.events());
        let mut again = two.get(&ahead).await;
        two.body().send(event(4, "anew"));
        again.read_events(1 + gaps).await;
        assert_eq!(again.gaps().len(), gaps);
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_comes_back_to_life_after_it_was_superseded_says_nothing_more() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("id: 1\ndata: 1\n\n").await;
    let id = first.last_event_id();
    a_moment().await;
    drop(two.get(&id).await);
    one.way.cut();
    a_lease().await;
    let mut second = two.get(&id).await;
    two.body().send("id: 2\ndata: two\n\n");
    second.read_events(1).await;
    // Without contact it goes on serving.
    one.body().send("id: 2\ndata: one\n\n");
    first.read_events(2).await;
    let stale = first.last_event_id();
    one.way.mend();
    first.read_to_end().await;
    assert!(first.is_broken(), "superseded at the first contact");
    assert!(one.body().is_dropped());
    assert_eq!(one.handle.stats().streams, 0);
    // What it said alone is nobody's, and no position in the stream that there is now.
    let mut third = two.get(&stale).await;
    assert_eq!(two.inner.call(1).last_event_id().as_deref(), Some("2"));
    two.body().send("id: 3\ndata: 3\n\n");
    third.read_events(1).await;
    assert_eq!(third.data(), ["3"]);
    second.settle().await;
    assert_eq!(second.data(), ["two"]);
}

#[tokio::test(start_paused = true)]
async fn two_that_take_over_at_once_make_one_call() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.linger(Linger::none());
    let (mut one, mut two, mut three) = (instances.start(), instances.start(), instances.start());
    let first = one.begin("id: 1\ndata: 1\n\n").await;
    let id = first.last_event_id();
    a_moment().await;
    drop(first);
    a_moment().await;
    let (mut second, mut third) = tokio::join!(two.get(&id), three.get(&id));
    assert_eq!(two.inner.calls() + three.inner.calls(), 1);
    let feed = if two.inner.calls() == 1 { two.body() } else { three.body() };
    feed.send("id: 2\ndata: 2\n\n");
    second.read_events(1).await;
    third.read_events(1).await;
    assert_eq!((second.data(), third.data()), (vec!["2".into()], vec!["2".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_taken_over_by_its_own_instance_too() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("id: 1\ndata: 1\n\n").await;
    one.body().fail();
    first.read_to_end().await;
    let id = first.last_event_id();
    let mut second = one.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    one.body().send("id: 2\ndata: 2\n\n");
    second.read_events(1).await;
    a_moment().await;
    let mut third = two.get(&id).await;
    third.read_events(1).await;
    assert_eq!(third.events(), second.events());
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_leads_to_no_event_stream_leaves_the_stream_to_the_next_one() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.linger(Linger::none());
    let (mut one, mut two, mut three) = (instances.start(), instances.start(), instances.start());
    let first = one.begin("id: 1\ndata: 1\n\n").await;
    let id = first.last_event_id();
    a_moment().await;
    drop(first);
    a_moment().await;
    two.inner.answer_next(support::scripted::status(http::StatusCode::BAD_GATEWAY));
    assert_eq!(two.get(&id).await.status, 502);
    a_moment().await;
    let mut third = three.get(&id).await;
    assert_eq!(third.header("sse-resume"), Some("takeover"));
    three.body().send("id: 2\ndata: 2\n\n");
    third.read_events(1).await;
    assert_eq!(third.data(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_instance_hands_over_at_once() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("id: 1\ndata: 1\n\n").await;
    let handle = one.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(Duration::from_secs(5)).await });
    first.read_to_end().await;
    let id = first.last_event_id();
    drop(first);
    drain.await.unwrap();
    one.kill();
    let second = two.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    assert_eq!(two.inner.call(0).last_event_id().as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_during_a_takeover_leaves_no_stream_that_nobody_produces() {
    for is_its_own in [true, false] {
        let mut instances = Instances::new(Durability::WriteBehind);
        instances.layer = |layer| layer.linger(Linger::none());
        let (mut one, mut two) = (instances.start(), instances.start());
        let first = one.begin("id: 1\ndata: 1\n\n").await;
        let id = first.last_event_id();
        drop(two.get(&id).await);
        a_moment().await;
        drop(first);
        a_moment().await;
        let (mut leaving, mut staying) = if is_its_own { (one, two) } else { (two, one) };
        let calls = staying.inner.calls();
        // The claim arrives, and nobody waits for its answer any more.
        leaving.way.freeze_after_next_claim();
        let left = tokio::time::timeout(Duration::from_secs(1), leaving.get(&id)).await;
        assert!(left.is_err());
        leaving.way.mend();
        a_moment().await;
        let mut second = staying.get(&id).await;
        assert_eq!(second.header("sse-resume"), Some("takeover"));
        staying.inner.body(calls).send("id: 2\ndata: 2\n\n");
        second.read_events(1).await;
        assert_eq!(second.data(), ["2"]);
    }
}
