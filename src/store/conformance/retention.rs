//! What is not needed any more goes, and nothing else.

use std::time::Duration;

use super::given::{
    ALL, LONG, SHORT, append, claim, eventually, key, live_stream_with, new_stream, pieces_after,
    producer, refusal,
};
use crate::store::{End, ErrorKind, Keep, NewStream, Purge, State, Store};

/// What stays of a stream after pieces of these events and bytes were appended, and it was swept.
async fn kept<S: Store>(store: &S, keep: Keep, pieces: &[(u64, &[u8])]) -> Vec<u64> {
    let name = format!("{} events, {} bytes", keep.events, keep.bytes);
    let mut writer = live_stream_with(store, &name, new_stream(keep)).await;
    for piece in pieces {
        let entry = writer.entry(&[*piece]);
        append(store, entry).await.expect("appended");
    }
    store.sweep().await.expect("swept");
    let extent = writer.extent(store).await;
    let left = pieces_after(store, &writer.stream, 0, 1 << 20).await;
    assert_eq!(extent.next, writer.next, "the last offset outlives its events");
    assert_eq!(left.first().map_or(extent.next, |piece| piece.first), extent.first);
    let page = store.read(&writer.stream, 0, 1).await.expect("a page");
    assert_eq!(page.pieces.first(), left.first(), "a page says by its offset what is gone");
    left.iter().map(|piece| piece.first).collect()
}

/// A piece goes once those after it have so many events.
pub async fn only_so_many_events_are_kept<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let pieces: &[(u64, &[u8])] = &[(3, b"a"), (3, b"b"), (2, b"c"), (2, b"d"), (2, b"e")];
    assert_eq!(kept(&store, Keep { events: 5, ..ALL }, pieces).await, [7, 9, 11]);
    assert_eq!(kept(&store, Keep { events: 4, ..ALL }, pieces).await, [9, 11]);
}

/// A piece goes once those after it have so many bytes.
pub async fn only_so_many_bytes_are_kept<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (small, large) = ([b's'; 40], [b'l'; 400]);
    let pieces: &[(u64, &[u8])] = &[(1, &large), (1, &small), (1, &small), (1, &small)];
    assert_eq!(kept(&store, Keep { bytes: 100, ..ALL }, pieces).await, [2, 3, 4]);
    assert_eq!(kept(&store, Keep { bytes: 80, ..ALL }, pieces).await, [3, 4]);
}

/// Age alone takes all events, and leaves the stream's bounds as long as it is live.
pub async fn events_are_kept_for_their_age<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let keep = Keep { age: SHORT, ..ALL };
    let mut writer = live_stream_with(&store, "stream", new_stream(keep)).await;
    writer.say(&store, "a").await;
    writer.say(&store, "b").await;
    eventually("the removal", async || {
        store.sweep().await.expect("swept");
        writer.extent(&store).await.first == 3
    })
    .await;
    let page = store.read(&writer.stream, 0, 100).await.expect("a page");
    assert_eq!((page.pieces.len(), page.extent.next), (0, 3));
    assert_eq!(page.extent.state, State::Live);
    // It goes on where it was.
    writer.say(&store, "c").await;
    assert_eq!(writer.extent(&store).await.next, 4);
}

/// A stream that ended, or broke off, goes when nobody has come for its age, whatever its producer does.
pub async fn an_ended_stream_expires<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let keep = Keep { age: SHORT, ..ALL };
    for (name, keep) in [("stays", ALL), ("finished", keep), ("aborted", keep)] {
        let mut writer = live_stream_with(&store, name, new_stream(keep)).await;
        writer.say(&store, "a").await;
        let end = if name == "aborted" { End::Aborted } else { End::Finished };
        writer.end(&store, end).await;
    }
    for name in ["finished", "aborted"] {
        eventually("the expiry", async || {
            store.sweep().await.expect("swept");
            store.record(&key(name)).await.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        })
        .await;
        // Its key is free again.
        store.create(&key(name), &new_stream(ALL)).await.expect("created");
        let page = store.read(&key(name), 0, 100).await.expect("a page");
        assert_eq!((page.pieces.len(), page.extent.next), (0, 1));
    }
    assert_eq!(store.record(&key("stays")).await.expect("a record").extent.next, 2);
}

/// The store's clock tells who is dead: by the lease, and not by how quiet a stream is.
pub async fn a_stream_of_a_dead_instance_expires_and_one_of_a_living_does_not<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let (store, elsewhere) = (open().await, open().await);
    let keep = Keep { age: SHORT, ..ALL };
    let of = |producer: &str| NewStream { producer: key(producer.to_owned()), ..new_stream(keep) };
    store.renew(&key("living"), LONG).await.expect("renewed");
    store.create(&key("living's"), &of("living")).await.expect("created");
    store.renew(&key("dying"), SHORT).await.expect("renewed");
    store.create(&key("dying's"), &of("dying")).await.expect("created");
    // Nobody else asks for this one: it is claimed, and lives.
    store.create(&key("claimed"), &of("dead")).await.expect("created");
    elsewhere.renew(&producer(), LONG).await.expect("renewed");
    let claimed = elsewhere.claim(&key("claimed"), &claim(1, "producer", None)).await;
    claimed.expect("claimed");
    eventually("the expiry", async || {
        elsewhere.sweep().await.expect("swept");
        let dying = store.record(&key("dying's")).await;
        dying.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    elsewhere.sweep().await.expect("swept");
    for stays in ["living's", "claimed"] {
        let extent = store.record(&key(stays)).await.expect("a record").extent;
        assert_eq!((extent.state, extent.lapsed), (State::Live, false));
    }
}

/// Whoever comes back late finds nothing instead of a tombstone, and still writes nothing.
pub async fn a_tombstone_expires<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let keep = Keep { age: SHORT, ..ALL };
    let mut writer = live_stream_with(&store, "stream", new_stream(keep)).await;
    store.purge(&Purge::Stream(writer.stream.clone())).await.expect("purged");
    eventually("the expiry", async || {
        store.sweep().await.expect("swept");
        let record = store.record(&writer.stream).await;
        record.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    })
    .await;
    let entry = writer.entry(&[(1, b"a")]);
    assert_eq!(refusal(append(&store, entry).await), ErrorKind::NotFound);
}
