//! What a client may have had that the store has not.

use std::time::Duration;

use tower_sse_resume::{Durability, Linger, Retention};

use tower_sse_resume::store::{Purge, Store};

use super::{Instances, a_lease, a_moment};
use support::faulty_store::Faults;

#[tokio::test(start_paused = true)]
async fn with_commit_first_a_client_gets_only_what_the_store_has() {
    let instances = Instances::new(Durability::CommitFirst);
    let mut one = instances.start();
    let mut first = one.begin("data: 1\n\n").await;
    one.way.cut();
    one.body().send(": comment\ndata: 2\n\n");
    a_moment().await;
    first.settle().await;
    assert_eq!(first.data(), ["1"]);
    one.way.mend();
    first.read_events(2).await;
    assert_eq!(first.data(), ["1", "2"]);
    one.way.cut();
    one.body().end();
    a_moment().await;
    first.settle().await;
    assert_eq!(first.end, support::client::End::Open, "the end is stored first, too");
    one.way.mend();
    first.read_to_end().await;
    assert!(!first.is_broken());
}

#[tokio::test(start_paused = true)]
async fn with_commit_first_comments_do_not_wait_when_there_is_nothing_before_them() {
    let instances = Instances::new(Durability::CommitFirst);
    let mut one = instances.start();
    let mut first = one.begin("data: 1\n\n").await;
    one.way.cut();
    one.body().send(": still there\n\n");
    first.read_until(|client| client.received.ends_with(b": still there\n")).await;
}

#[tokio::test(start_paused = true)]
async fn with_commit_first_an_outage_holds_the_inner_body_back_and_then_breaks_off() {
    let mut instances = Instances::new(Durability::CommitFirst);
    instances.layer = |layer| layer.retention(Retention::new().bytes(600)).linger(Linger::none());
    let mut one = instances.start();
    let mut first = one.get("").await;
    one.body().send("data: 0\n\n");
    first.read_events(1).await;
    one.way.cut();
    let begun = tokio::time::Instant::now();
    for number in 1..100 {
        one.body().send(format!("data: {number}\n\n"));
    }
    a_moment().await;
    assert!(one.body().pending() > 80, "{} are left", one.body().pending());
    first.read_to_end().await;
    assert!(first.is_broken());
    assert_eq!(first.data(), ["0"]);
    assert!(begun.elapsed() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn with_commit_first_an_instance_that_dies_takes_nothing_with_it() {
    let instances = Instances::new(Durability::CommitFirst);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    drop(two.get(&from).await);
    for number in 1..=50 {
        one.body().send(format!("data: {number}\n\n"));
        if number == 30 {
            first.read_events(20).await;
            one.kill();
        }
    }
    a_moment().await;
    first.settle().await;
    let seen = first.data();
    a_lease().await;
    let mut second = two.get(&from).await;
    second.settle().await;
    let stored = second.data();
    assert!(stored.len() >= seen.len());
    assert_eq!(stored[..seen.len()], seen);
}

#[tokio::test(start_paused = true)]
async fn without_a_batch_delay_an_event_does_not_wait_for_others() {
    let instances = Instances::new(Durability::CommitFirst);
    let mut one = instances.start_with(|persistence| persistence.batch_delay(Duration::ZERO));
    let mut first = one.get("").await;
    for number in 1..=3 {
        a_moment().await;
        // Timers end with a millisecond.
        tokio::time::advance(Duration::from_micros(300)).await;
        let begun = tokio::time::Instant::now();
        one.body().send(format!("data: {number}\n\n"));
        first.read_events(number).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn with_write_behind_what_the_log_has_to_give_up_in_an_outage_is_a_hole_in_the_store() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.retention(Retention::new().events(10)).dedupe_window(100);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().send("data: 1\n\n");
    first.read_events(1).await;
    a_moment().await;
    one.way.cut();
    for number in 2..=30 {
        one.body().send(format!("data: {number}\n\n"));
        first.read_events(number).await;
    }
    a_moment().await;
    assert_eq!(first.data().len(), 30, "its own clients see nothing of it");
    one.way.mend();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut second = two.get(&from).await;
    second.settle().await;
    let gaps = second.gaps();
    assert_eq!(gaps.len(), 1, "{:?}", second.data());
    assert!(gaps[0].contains("not-stored"), "{gaps:?}");
    assert_eq!(second.data().last().unwrap(), "30");
    let lost = one.handle.stats().not_stored;
    assert_eq!(one.handle.stats().stored, 30 - lost, "a hole is nothing that was stored");
    assert!(gaps[0].contains(&format!(r#""missed":{lost},"#)), "{gaps:?}, {lost}");
    assert_eq!(second.data().len() as u64 - 1 + lost, 30);
}

#[tokio::test(start_paused = true)]
async fn many_events_are_few_appends() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(one.get("").await);
    }
    a_moment().await;
    let before = one.way.appends();
    for number in 0..40 {
        for stream in 0..50 {
            one.inner.body(stream).send(format!("data: {number}\n\n"));
        }
        for client in &mut clients {
            client.read_events(number + 1).await;
        }
    }
    a_moment().await;
    assert_eq!(one.handle.stats().stored, 2000);
    let appends = one.way.appends() - before;
    assert!(appends <= 200, "{appends} appends of 2,000 events");
}

#[tokio::test(start_paused = true)]
async fn with_commit_first_a_purge_ends_the_responses_that_wait_for_the_store() {
    let instances = Instances::new(Durability::CommitFirst);
    let mut one = instances.start();
    let mut first = one.get("").await;
    one.way.cut();
    one.body().send("data: 1\n\n");
    one.body().end();
    a_moment().await;
    one.handle.purge_all();
    first.read_to_end().await;
    assert!(first.is_broken());
    assert!(first.data().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_purged_before_the_store_has_it_is_not_left_there() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    let first = one.get("").await;
    a_moment().await;
    one.way.set_faults(Faults { delay: 100, ..Faults::default() });
    let second = one.get("").await;
    // The second one is on its way to the store.
    tokio::time::sleep(Duration::from_millis(5)).await;
    one.handle.purge_all();
    drop((first, second));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let is_secret = 1;
    assert!(instances.store.purge(&Purge::All).await.unwrap() <= is_secret);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_purged_before_its_creation_was_answered_is_not_left_in_the_store() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    let mut clients = vec![one.get("").await];
    a_moment().await;
    // Each call fails, and arrives later.
    one.way.set_faults(Faults { late: 1000, latest: 8000, ..Faults::default() });
    for _ in 0..5 {
        clients.push(one.get("").await);
    }
    a_moment().await;
    assert_eq!(one.handle.purge_all(), 6);
    one.way.set_faults(Faults::default());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let is_secret = 1;
    assert!(instances.store.purge(&Purge::All).await.unwrap() <= is_secret);
}
