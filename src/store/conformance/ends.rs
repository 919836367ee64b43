//! Streams end, and are purged.

use super::given::{
    ALL, Writer, append, claim, key, live_stream, live_stream_with, new_stream, refusal, text,
};
use crate::store::{Append, End, ErrorKind, NewStream, Purge, State, Store};

/// The end is written with the last events; after it, nothing is.
pub async fn an_end_comes_with_the_last_events_and_nothing_follows<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    for (name, end) in [("finished", End::Finished), ("aborted", End::Aborted)] {
        let mut writer = live_stream(&store, name).await;
        let last = writer.entry(&[(1, b"a"), (1, b"b")]);
        append(&store, Append { end: Some(end), ..last }).await.expect("appended");
        let extent = writer.extent(&store).await;
        assert_eq!((extent.state, extent.next), (State::from(end), 3));
        let more = writer.clone().entry(&[(1, b"c")]);
        assert_eq!(refusal(append(&store, more).await), ErrorKind::Refused);
        let again = Append { end: Some(End::Finished), ..writer.empty() };
        assert_eq!(refusal(append(&store, again).await), ErrorKind::Refused);
        assert_eq!(text(&store, &writer.stream).await, "ab");
    }
}

/// An end without events, also of a stream that had none.
pub async fn an_end_may_come_alone<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let writer = live_stream(&store, "stream").await;
    assert_eq!(writer.extent(&store).await.state, State::Live);
    writer.end(&store, End::Finished).await;
    let page = store.read(&writer.stream, 0, 100).await.expect("a page");
    assert_eq!((page.extent.state, page.extent.first, page.extent.next), (State::Finished, 1, 1));
    assert!(page.pieces.is_empty());
}

/// A tombstone answers everything, and is not written over.
pub async fn a_purged_stream_stays_purged<S: Store>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    let extent = writer.extent(&store).await;
    let purged = elsewhere.purge(&Purge::Stream(writer.stream.clone())).await;
    assert_eq!(purged.expect("an answer"), 1);
    let stream = &writer.stream;
    let purged = ErrorKind::Purged;
    assert_eq!(refusal(store.record(stream).await), purged);
    assert_eq!(refusal(store.read(stream, 0, 100).await), purged);
    assert_eq!(refusal(store.wait(stream, &extent).await), purged);
    assert_eq!(refusal(store.claim(stream, &claim(1, "i", None)).await), purged);
    assert_eq!(refusal(store.create(stream, &new_stream(ALL)).await), purged);
    assert_eq!(refusal(append(&store, writer.clone().entry(&[(1, b"b")])).await), purged);
    store.sweep().await.expect("swept");
    assert_eq!(refusal(store.record(stream).await), purged);
}

/// What a purge names goes, and nothing else.
pub async fn a_session_an_owner_or_all_are_purged<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writers: Vec<Writer> = Vec::new();
    // The same name may be that of a session and of an owner.
    for (n, (session, owner)) in [
        (Some("s"), Some("o")),
        (Some("s"), None),
        (Some("o"), Some("s")),
        (None, Some("o")),
        (None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let named = |name: Option<&'static str>| name.map(key);
        let new = NewStream { session: named(session), owner: named(owner), ..new_stream(ALL) };
        writers.push(live_stream_with(&store, &format!("stream{n}"), new).await);
        writers[n].say(&store, "a").await;
    }
    let left = async || {
        let mut left = Vec::new();
        for (n, writer) in writers.iter().enumerate() {
            match store.record(&writer.stream).await.map_err(|error| error.kind()) {
                Ok(_) => left.push(n),
                Err(kind) => assert_eq!(kind, ErrorKind::Purged),
            }
        }
        left
    };
    for (what, count, stay) in [
        (Purge::Session(key("other")), 0, &[0, 1, 2, 3, 4][..]),
        (Purge::Session(key("s")), 2, &[2, 3, 4]),
        (Purge::Owner(key("o")), 1, &[2, 4]),
        (Purge::Stream(key("none")), 0, &[2, 4]),
        (Purge::All, 2, &[]),
    ] {
        assert_eq!(store.purge(&what).await.expect("an answer"), count, "{what:?}");
        assert_eq!(left().await, stay, "{what:?}");
    }
}
