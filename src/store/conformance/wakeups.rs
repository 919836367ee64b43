//! Who waits is woken, from wherever it is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use super::given::{PATIENCE, claim, live_stream, refusal};
use crate::store::{End, Error, ErrorKind, Extent, Key, Purge, State, Store};

/// Waits in a task. It may have begun to wait when this returns, or not yet: both have to work.
async fn waiting<S: Store + 'static>(
    store: &Arc<S>,
    stream: &Key,
    seen: Extent,
) -> JoinHandle<Result<Extent, Error>> {
    let (store, stream) = (Arc::clone(store), stream.clone());
    let waiting = tokio::spawn(async move {
        let waited = tokio::time::timeout(PATIENCE, store.wait(&stream, &seen)).await;
        waited.expect("it is woken")
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished(), "nothing was written yet");
    waiting
}

/// From one connection to another, again and again.
pub async fn an_append_on_another_connection_wakes_who_waits<S: Store + 'static>(
    open: impl AsyncFn() -> S,
) {
    let (here, elsewhere) = (Arc::new(open().await), open().await);
    let mut writer = live_stream(&elsewhere, "stream").await;
    for next in 2..7 {
        let seen = writer.extent(&*here).await;
        let waiting = waiting(&here, &writer.stream, seen).await;
        writer.say(&elsewhere, "a").await;
        assert_eq!(waiting.await.expect("no panic").expect("news").next, next);
    }
}

/// Not only events are news.
pub async fn an_end_a_claim_and_a_purge_wake_who_waits<S: Store + 'static>(
    open: impl AsyncFn() -> S,
) {
    let (here, elsewhere) = (Arc::new(open().await), open().await);
    let writer = live_stream(&elsewhere, "stream").await;
    let seen = writer.extent(&*here).await;
    let ended = waiting(&here, &writer.stream, seen).await;
    writer.end(&elsewhere, End::Aborted).await;
    let seen = ended.await.expect("no panic").expect("news");
    assert_eq!(seen.state, State::Aborted);
    let claimed = waiting(&here, &writer.stream, seen).await;
    elsewhere.claim(&writer.stream, &claim(1, "other", None)).await.expect("claimed");
    let seen = claimed.await.expect("no panic").expect("news");
    assert_eq!((seen.state, seen.generation), (State::Live, 2));
    let purged = waiting(&here, &writer.stream, seen).await;
    elsewhere.purge(&Purge::All).await.expect("purged");
    assert_eq!(refusal(purged.await.expect("no panic")), ErrorKind::Purged);
}

/// What was written before is not waited for.
pub async fn who_waits_for_what_is_there_does_not_wait<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let seen = writer.extent(&store).await;
    writer.say(&store, "a").await;
    for _ in 0..2 {
        assert_eq!(store.wait(&writer.stream, &seen).await.expect("news").next, 2);
    }
}

/// News of one stream is no news of another.
pub async fn only_who_waits_for_the_stream_is_woken<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let (here, elsewhere) = (Arc::new(open().await), open().await);
    let quiet = live_stream(&elsewhere, "quiet").await;
    let mut loud = live_stream(&elsewhere, "loud").await;
    let seen = quiet.extent(&*here).await;
    let waits = waiting(&here, &quiet.stream, seen).await;
    for _ in 0..5 {
        let seen = loud.extent(&*here).await;
        let woken = waiting(&here, &loud.stream, seen).await;
        loud.say(&elsewhere, "a").await;
        woken.await.expect("no panic").expect("news");
    }
    assert!(!waits.is_finished());
    waits.abort();
}

/// A hundred streams, two who wait for each.
pub async fn two_hundred_who_wait_are_all_woken<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let (here, elsewhere) = (Arc::new(open().await), open().await);
    let mut writers = Vec::new();
    let mut waiting = JoinSet::new();
    for n in 0..100 {
        writers.push(live_stream(&elsewhere, &format!("stream{n}")).await);
        let seen = writers[n].extent(&*here).await;
        for _ in 0..2 {
            let (store, stream, seen) =
                (Arc::clone(&here), writers[n].stream.clone(), seen.clone());
            waiting.spawn(async move { store.wait(&stream, &seen).await });
        }
    }
    let batch: Vec<_> = writers.iter_mut().map(|writer| writer.entry(&[(1, b"a")])).collect();
    elsewhere.append(&batch).await.expect("appended");
    let woken = tokio::time::timeout(PATIENCE, waiting.join_all()).await.expect("all are woken");
    assert!(woken.into_iter().all(|extent| extent.expect("news").next == 2));
}

/// A client that leaves.
pub async fn who_gives_up_waiting_disturbs_nobody<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let (here, elsewhere) = (Arc::new(open().await), open().await);
    let mut writer = live_stream(&elsewhere, "stream").await;
    let seen = writer.extent(&*here).await;
    let gives_up = waiting(&here, &writer.stream, seen.clone()).await;
    let stays = waiting(&here, &writer.stream, seen).await;
    gives_up.abort();
    assert!(gives_up.await.is_err_and(|error| error.is_cancelled()));
    writer.say(&elsewhere, "a").await;
    assert_eq!(stays.await.expect("no panic").expect("news").next, 2);
}
