//! An answer was lost: what a caller does then.

use std::sync::Arc;
use std::time::Duration;

use super::given::{
    ALL, Writer, append, claim, key, live_stream, live_stream_with, new_stream, producer, refusal,
    text,
};
use crate::store::{Append, End, ErrorKind, NewStream, Purge, State, Store};

/// The same entry again is refused; the record says that it is there.
pub async fn an_append_that_is_repeated_is_refused_and_found<S: Store>(open: impl AsyncFn() -> S) {
    let (store, again) = (open().await, open().await);
    let mut writer = live_stream(&store, "stream").await;
    let entry = writer.entry(&[(2, b"ab")]);
    append(&store, entry.clone()).await.expect("appended");
    assert_eq!(refusal(append(&again, entry).await), ErrorKind::Refused);
    let extent = writer.extent(&again).await;
    assert_eq!((extent.generation, extent.next), (1, writer.next));
    let last = Append { end: Some(End::Finished), ..writer.empty() };
    append(&store, last.clone()).await.expect("appended");
    assert_eq!(refusal(append(&again, last).await), ErrorKind::Refused);
    assert_eq!(writer.extent(&again).await.state, State::Finished);
    assert_eq!(text(&again, &writer.stream).await, "ab");
}

/// Progress alone, and leases.
pub async fn what_is_repeated_without_events_does_the_same_again<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let writer = live_stream(&store, "stream").await;
    for _ in 0..2 {
        let entry = Append { progress: Some("p".into()), ..writer.empty() };
        append(&store, entry).await.expect("appended");
        store.renew(&producer(), Duration::from_secs(600)).await.expect("renewed");
    }
    let record = store.record(&writer.stream).await.expect("a record");
    assert_eq!((&record.progress[..], record.extent.lapsed), (&b"p"[..], false));
}

/// The record names who did it.
pub async fn a_create_and_a_claim_that_are_repeated_are_refused_and_found<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let (store, again) = (open().await, open().await);
    let writer = live_stream(&store, "stream").await;
    let created = again.create(&writer.stream, &new_stream(ALL)).await;
    assert_eq!(refusal(created), ErrorKind::Refused);
    let extent = writer.extent(&again).await;
    assert_eq!((extent.generation, extent.producer), (1, producer()));
    writer.end(&store, End::Aborted).await;
    store.claim(&writer.stream, &claim(1, "next", None)).await.expect("claimed");
    let claimed = again.claim(&writer.stream, &claim(1, "next", None)).await;
    assert_eq!(refusal(claimed), ErrorKind::Refused);
    let extent = writer.extent(&again).await;
    assert_eq!((extent.generation, extent.producer), (2, key("next")));
}

/// Nothing is purged twice.
pub async fn a_purge_that_is_repeated_finds_nothing<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let new = NewStream { session: Some(key("s")), ..new_stream(ALL) };
    let writer = live_stream_with(&store, "stream", new).await;
    for count in [1, 0] {
        let purged = store.purge(&Purge::Session(key("s"))).await;
        assert_eq!(purged.expect("an answer"), count);
        assert_eq!(refusal(store.record(&writer.stream).await), ErrorKind::Purged);
    }
}

/// A caller drops each second append while it runs, looks at the record, and repeats what is not there: all is stored
/// once, in order.
pub async fn appends_that_are_given_up_in_the_middle_are_stored_whole_or_not<S: Store + 'static>(
    open: impl AsyncFn() -> S,
) {
    let store = Arc::new(open().await);
    let mut writer = live_stream(&*store, "stream").await;
    let mut expected = String::new();
    for n in 0..60_u64 {
        let (one, other) = (format!("{n},"), format!("{n};"));
        let entry = writer.entry(&[(1, one.as_bytes()), (1, other.as_bytes())]);
        expected += &(one + &other);
        let given_up = {
            let (store, entry) = (Arc::clone(&store), entry.clone());
            tokio::spawn(async move { append(&*store, entry).await })
        };
        tokio::time::sleep(Duration::from_micros(n * 50)).await;
        if n % 2 == 0 {
            given_up.abort();
        }
        if !matches!(given_up.await, Ok(Ok(()))) {
            finish(&*store, &writer, entry).await;
        }
    }
    assert_eq!(text(&*store, &writer.stream).await, expected);
}

/// What a caller does that does not know whether an entry was written: it may even still be under way.
async fn finish<S: Store>(store: &S, writer: &Writer, entry: Append) {
    let extent = writer.extent(store).await;
    let next = entry.next();
    if extent.next == next {
        return;
    }
    assert_eq!(extent.next, entry.first, "whole or not at all");
    match append(store, entry).await.map_err(|error| error.kind()) {
        Ok(()) => {}
        // The first one came through just now.
        Err(kind) => {
            assert_eq!((kind, writer.extent(store).await.next), (ErrorKind::Refused, next));
        }
    }
}
