//! Who may go on with a stream, and when.

use std::time::Duration;

use tokio::task::JoinSet;

use super::given::{
    LONG, SHORT, Writer, append, claim, eventually, key, live_stream, producer, refusal, text,
};
use crate::resume::GapReason;
use crate::store::{Append, End, ErrorKind, Generation, State, Store};

/// As long as a lease holds, nobody else produces.
pub async fn a_stream_whose_producer_holds_its_lease_is_not_claimed<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let (store, elsewhere) = (open().await, open().await);
    let mut writer = live_stream(&store, "stream").await;
    let claimed = elsewhere.claim(&writer.stream, &claim(1, "other", None)).await;
    assert_eq!(refusal(claimed), ErrorKind::Refused);
    assert!(!writer.extent(&elsewhere).await.lapsed);
    writer.say(&store, "a").await;
}

/// A lease that was given up, and none at all.
pub async fn a_stream_whose_producer_lapsed_is_claimed<S: Store>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    store.renew(&producer(), Duration::ZERO).await.expect("renewed");
    let extent = writer.extent(&elsewhere).await;
    assert_eq!((extent.state, extent.lapsed), (State::Live, true));
    elsewhere.renew(&key("other"), LONG).await.expect("renewed");
    let record = elsewhere.claim(&writer.stream, &claim(1, "other", None)).await.expect("claimed");
    let extent = record.extent;
    assert_eq!((extent.generation, extent.producer, extent.lapsed), (2, key("other"), false));
    assert_eq!((extent.state, extent.next), (State::Live, 2));
    // It comes back, and finds another one.
    store.renew(&producer(), LONG).await.expect("renewed");
    let claimed = store.claim(&writer.stream, &claim(2, "producer", None)).await;
    assert_eq!(refusal(claimed), ErrorKind::Refused);
}

/// A lease that is renewed holds on; then it lapses by itself.
pub async fn a_lease_lapses_by_the_clock_of_the_store<S: Store>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let writer = live_stream(&store, "stream").await;
    store.renew(&producer(), SHORT).await.expect("renewed");
    store.renew(&producer(), LONG).await.expect("renewed");
    assert!(!writer.extent(&elsewhere).await.lapsed);
    store.renew(&producer(), SHORT).await.expect("renewed");
    eventually("the lapse", async || writer.extent(&elsewhere).await.lapsed).await;
    elsewhere.claim(&writer.stream, &claim(1, "other", None)).await.expect("claimed");
}

/// What broke off goes on, whatever the lease; what has ended does not.
pub async fn an_aborted_stream_is_claimed_and_a_finished_one_is_not<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let aborted = live_stream(&store, "aborted").await;
    aborted.end(&store, End::Aborted).await;
    // Its last producer may go on with it, too.
    let record = store.claim(&aborted.stream, &claim(1, "producer", None)).await.expect("claimed");
    assert_eq!((record.extent.state, record.extent.generation), (State::Live, 2));
    let mut next = Writer { generation: 2, ..aborted };
    next.say(&store, "a").await;
    assert_eq!(text(&store, &next.stream).await, "a");

    let finished = live_stream(&store, "finished").await;
    finished.end(&store, End::Finished).await;
    store.renew(&producer(), Duration::ZERO).await.expect("renewed");
    let claimed = store.claim(&finished.stream, &claim(1, "other", None)).await;
    assert_eq!(refusal(claimed), ErrorKind::Refused);
}

/// A takeover happens once.
pub async fn of_eight_who_claim_one_gets_it<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let writer = live_stream(&open().await, "stream").await;
    writer.end(&open().await, End::Aborted).await;
    let mut claiming = JoinSet::new();
    for n in 0..8 {
        let (store, stream) = (open().await, writer.stream.clone());
        claiming.spawn(async move {
            let by = format!("instance{n}");
            store.claim(&stream, &claim(1, &by, None)).await.map(|_| key(by))
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) =
        claiming.join_all().await.into_iter().partition(Result::is_ok);
    assert!(lost.into_iter().all(|result| refusal(result) == ErrorKind::Refused));
    let extent = writer.extent(&open().await).await;
    let winners: Vec<_> = won.into_iter().map(Result::unwrap).collect();
    assert_eq!((winners, extent.generation), (vec![extent.producer], 2));
}

/// Each generation is in the table, also one that said nothing.
pub async fn generations_say_where_they_begin_and_what_is_missing<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    writer.say(&store, "b").await;
    writer.end(&store, End::Aborted).await;
    let mut expected = vec![Generation { number: 1, first: 1, gap: None }];
    for (gap, events) in
        [(Some(GapReason::ProducerLost), 0), (None, 1), (Some(GapReason::Diverged), 0)]
    {
        let claimed = claim(writer.generation, "producer", gap);
        let record = store.claim(&writer.stream, &claimed).await.expect("claimed");
        writer.generation += 1;
        expected.push(Generation { number: writer.generation, first: writer.next, gap });
        assert_eq!(record.generations, expected);
        for _ in 0..events {
            writer.say(&store, "c").await;
        }
        writer.end(&store, End::Aborted).await;
    }
    let stale = store.claim(&writer.stream, &claim(2, "producer", None)).await;
    assert_eq!(refusal(stale), ErrorKind::Refused);
    assert_eq!(store.record(&writer.stream).await.expect("a record").generations, expected);
}

/// A service whose numbering began anew is noticed only at an event.
pub async fn a_gap_may_turn_out_later<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let writer = live_stream(&store, "stream").await;
    writer.end(&store, End::Aborted).await;
    store.claim(&writer.stream, &claim(1, "producer", None)).await.expect("claimed");
    let mut next = Writer { generation: 2, ..writer };
    let entry = Append { gap: Some(GapReason::Diverged), ..next.entry(&[(1, b"a")]) };
    append(&store, entry).await.expect("appended");
    let record = store.record(&next.stream).await.expect("a record");
    let gaps: Vec<_> = record.generations.iter().map(|generation| generation.gap).collect();
    assert_eq!(gaps, [None, Some(GapReason::Diverged)]);
}
