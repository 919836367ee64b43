//! Appends that the store answers, and never takes: they are in nobody's way, and are not tried all the time.

use std::time::Duration;

use tower_sse_resume::Durability;
use tower_sse_resume::store::ErrorKind;

use super::Instances;

const KINDS: [ErrorKind; 3] =
    [ErrorKind::Failed, ErrorKind::IncompatibleSchema, ErrorKind::InvalidData];

#[tokio::test(start_paused = true)]
async fn an_append_that_always_fails_is_in_no_other_streams_way() {
    for kind in KINDS {
        let instances = Instances::new(Durability::WriteBehind);
        let mut one = instances.start_with(|persistence| persistence.batch_bytes(1_000));
        let mut other = one.begin("data: 1\n\n").await;
        let other_body = one.body();
        let mut poisoned = one.begin("data: a\n\n").await;
        one.way.refuse(kind, b"poison");
        // More than a batch has room for.
        one.body().send(format!("data: poison{}\n\n", "x".repeat(5_000)));
        poisoned.read_events(2).await;
        for number in 2..=20 {
            other_body.send(format!("data: {number}\n\n"));
            other.read_events(number).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let id = other.events()[0].id.clone();
        let mut two = instances.start();
        let mut second = two.get(&id).await;
        let caught_up = second.read_events(19);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), caught_up).await.is_ok(),
            "{kind:?}: {:?}",
            second.data()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_always_fails_is_tried_ever_more_rarely_and_once_more_when_that_is_over() {
    for kind in [ErrorKind::Failed, ErrorKind::IncompatibleSchema] {
        let instances = Instances::new(Durability::WriteBehind);
        let mut one = instances.start();
        let mut client = one.begin("data: 1\n\n").await;
        let id = client.last_event_id();
        one.way.refuse(kind, b"poison");
        one.body().send("data: poison\n\n");
        client.read_events(2).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(one.way.appends() < 50, "{kind:?}: {} appends", one.way.appends());
        one.way.accept();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut two = instances.start();
        let mut second = two.get(&id).await;
        second.read_events(1).await;
        assert_eq!(second.data(), ["poison"], "{kind:?}");
    }
}
