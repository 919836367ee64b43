//! A store that is away.

use std::time::Duration;

use http::Method;
use tower_sse_resume::store::{Purge, Store};
use tower_sse_resume::{Durability, OnMissing, OnOutage, Retention};

use super::{Instances, a_moment};

#[tokio::test(start_paused = true)]
async fn write_behind_clients_see_nothing_of_an_outage_and_recovery_is_automatic() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    one.way.cut();
    let mut first = one.get("").await;
    assert_eq!(first.header("sse-resume"), Some("fresh"));
    one.body().send("data: 1\n\n");
    first.read_events(1).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(one.handle.stats().stored == 0);
    one.body().send("data: 2\n\n");
    first.read_events(2).await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    let mut again = one.get(&from).await;
    again.read_events(2).await;
    one.way.mend();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut second = two.get(&from).await;
    second.read_events(2).await;
    assert_eq!(second.data(), ["1", "2"]);
    assert_eq!(second.header("sse-resume"), Some("replay"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_looked_up_is_served_anew_and_the_client_is_told() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.get("").await;
    one.body().send("data: 1\n\nid: x\ndata: 2\n\n");
    first.read_events(2).await;
    a_moment().await;
    two.way.cut();
    let id = first.events()[0].id.clone();
    let mut second = two.get(&id).await;
    second.read_events(1).await;
    assert!(second.gaps()[0].contains("not-stored"));
    assert_eq!(two.inner.call(0).last_event_id(), None);
    drop(two.get(&first.last_event_id()).await);
    assert_eq!(two.inner.call(1).last_event_id().as_deref(), Some("x"));
}

#[tokio::test(start_paused = true)]
async fn or_it_is_refused_with_503_where_that_is_chosen_or_nothing_else_can_be_said() {
    let mut instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    let first = one.begin("data: 1\n\n").await;
    a_moment().await;
    let id = first.last_event_id();
    let mut two = instances.start_with(|persistence| persistence.on_outage(OnOutage::Refuse));
    two.way.cut();
    let refused = two.get(&id).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(two.inner.calls(), 0);
    instances.layer = |layer| layer.on_missing(OnMissing::Reject);
    let mut three = instances.start();
    three.way.cut();
    assert_eq!(three.get(&id).await.status, 503, "it may be there");
    three.way.mend();
    assert_eq!(three.get(&id).await.status, 200);
    let mut four = instances.start();
    assert_eq!(four.call(Method::GET, "r1.AAAAAAAAAAAAAAAAAAAAAA.1.1").await.status, 410);
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_of_commit_first_passes_as_without_the_layer_or_is_refused() {
    let instances = Instances::new(Durability::CommitFirst);
    let mut one = instances.start();
    one.way.cut();
    let mut first = one.get("").await;
    assert_eq!(first.header("sse-resume"), Some("off"));
    one.body().send("data: 1\n\n");
    first.read_events(1).await;
    assert_eq!(first.events()[0].id, "");
    let mut two = instances.start_with(|persistence| persistence.on_outage(OnOutage::Refuse));
    two.way.cut();
    assert_eq!(two.get("").await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_the_store_and_all_instances() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("data: 1\n\n").await;
    a_moment().await;
    let id = first.last_event_id();
    let mut second = two.get(&id).await;
    second.settle().await;
    // From the one that does not produce it.
    assert_eq!(two.handle.purge_all(), 1);
    second.read_to_end().await;
    assert!(second.is_broken());
    a_moment().await;
    one.body().send("data: 2\n\n");
    first.read_to_end().await;
    assert!(first.is_broken() && one.body().is_dropped());
    let mut three = instances.start();
    let unknown = three.get(&id).await;
    assert_eq!(unknown.header("sse-resume"), Some("gap"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_store_forgot_in_an_outage_goes_on_where_it_is_produced() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.retention(Retention::new().age(Duration::from_secs(60)));
    let mut one = instances.start();
    let mut client = one.begin("id: 1\ndata: 1\n\n").await;
    a_moment().await;
    one.way.cut();
    // Its lease lapses, and with that it expires.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(instances.store.sweep().await.unwrap().streams, 1);
    one.way.mend();
    one.body().send("id: 2\ndata: 2\n\n");
    client.read_events(2).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // No claim is needed for its later generations, and none is made.
    for (generation, event) in [(2, 3), (3, 4)] {
        one.body().fail();
        client.read_to_end().await;
        client = one.get(&client.last_event_id()).await;
        assert_eq!(client.header("sse-resume"), Some("takeover"));
        one.body().send(format!("id: {event}\ndata: {event}\n\n"));
        client.read_events(1).await;
        assert_eq!(client.data(), [event.to_string()], "and no gap");
        let id = client.last_event_id();
        assert!(id.contains(&format!(".{generation}.{event}.")), "{id}");
    }
    assert_eq!(one.handle.stats().streams, 1);
    assert_eq!(instances.store.purge(&Purge::All).await.unwrap(), 0, "the store has none");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_ever_costs_no_more_than_one_batch() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    one.way.cut();
    let mut first = one.get("").await;
    let data = format!("data: {}\n\n", "x".repeat(50_000));
    for number in 1..=200 {
        one.body().send(data.clone());
        first.read();
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
    assert_eq!(first.received.windows(2).filter(|pair| pair == b"\n\n").count(), 200);
    assert!(one.handle.stats().bytes < 1_300_000, "{}", one.handle.stats().bytes);
}

#[tokio::test(start_paused = true)]
async fn who_is_owed_a_gap_is_told_it_without_history_too() {
    let instances = Instances::new(Durability::CommitFirst);
    let (mut one, mut two) = (instances.start(), instances.start());
    let first = one.begin("data: 1\n\n").await;
    two.way.cut();
    let mut second = two.get(&first.last_event_id()).await;
    assert_eq!(second.header("sse-resume"), Some("off"));
    two.body().send("data: another\n\n");
    second.read_events(2).await;
    assert!(second.gaps()[0].contains("not-stored"));
    assert_eq!(second.data()[1], "another");
    assert_eq!(second.last_event_id(), "", "it keeps the one it has");
}
