//! Only the producer of the running generation writes, and only what comes next.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::given::{ALL, Writer, append, claim, key, live_stream, new_stream, refusal, text};
use crate::store::{Append, End, ErrorKind, NewStream, Piece, Store};

/// Nothing but `create` makes a stream, and all else says that there is none.
pub async fn an_append_never_creates_a_stream<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = Writer { stream: key("none"), generation: 1, next: 1 };
    let entry = writer.entry(&[(1, b"a")]);
    assert_eq!(refusal(append(&store, entry).await), ErrorKind::NotFound);
    assert_eq!(refusal(store.record(&writer.stream).await), ErrorKind::NotFound);
    assert_eq!(refusal(store.read(&writer.stream, 0, 1).await), ErrorKind::NotFound);
    assert_eq!(
        refusal(store.claim(&writer.stream, &claim(1, "i", None)).await),
        ErrorKind::NotFound
    );
    let other = live_stream(&store, "other").await.extent(&store).await;
    assert_eq!(refusal(store.wait(&writer.stream, &other).await), ErrorKind::NotFound);
}

/// A key that is taken is refused, and what it names stays.
pub async fn a_stream_is_created_once<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    let other = NewStream { producer: key("other"), ..new_stream(ALL) };
    assert_eq!(refusal(store.create(&writer.stream, &other).await), ErrorKind::Refused);
    let extent = writer.extent(&store).await;
    assert_eq!((extent.producer, extent.next), (key("producer"), 2));
}

/// Eight instances make up the same key at the same time.
pub async fn of_eight_who_create_one_does<S: Store + 'static>(open: impl AsyncFn() -> S) {
    let mut creating = JoinSet::new();
    for n in 0..8 {
        let store = open().await;
        creating.spawn(async move {
            let new = NewStream { producer: key(vec![n]), ..new_stream(ALL) };
            store.create(&key("stream"), &new).await.map(|()| new.producer)
        });
    }
    let (created, refused): (Vec<_>, Vec<_>) =
        creating.join_all().await.into_iter().partition(Result::is_ok);
    assert!(refused.into_iter().all(|result| refusal(result) == ErrorKind::Refused));
    let record = open().await.record(&key("stream")).await.expect("a record");
    let winners: Vec<_> = created.into_iter().map(Result::unwrap).collect();
    assert_eq!(winners, [record.extent.producer]);
}

/// A producer that was paused, and whose stream went on elsewhere, writes nothing: no events, no end, no progress.
pub async fn a_stale_generation_is_refused<S: Store>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    store.renew(&key("producer"), std::time::Duration::ZERO).await.expect("renewed");
    elsewhere.claim(&writer.stream, &claim(1, "other", None)).await.expect("claimed");
    let stale = [
        writer.clone().entry(&[(1, b"b")]),
        Append { end: Some(End::Finished), ..writer.empty() },
        Append { progress: Some("stale".into()), ..writer.empty() },
    ];
    for entry in stale {
        assert_eq!(refusal(append(&store, entry).await), ErrorKind::Refused);
    }
    let mut next = Writer { generation: 2, ..writer };
    next.say(&elsewhere, "c").await;
    assert_eq!(text(&store, &next.stream).await, "ac");
    assert_eq!(store.record(&next.stream).await.expect("a record").progress, "");
}

/// A generation does not begin by writing in it.
pub async fn a_generation_that_was_not_claimed_is_refused<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let writer = live_stream(&store, "stream").await;
    for generation in [0, 2, u32::MAX] {
        let entry = Writer { generation, ..writer.clone() }.entry(&[(1, b"a")]);
        assert_eq!(refusal(append(&store, entry).await), ErrorKind::Refused);
    }
}

/// Neither what is there already nor what leaves something out is written.
pub async fn a_wrong_offset_is_refused<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    writer.say(&store, "a").await;
    writer.say(&store, "b").await;
    for next in [1, 2, 4, 100] {
        let entry = Writer { next, ..writer.clone() }.entry(&[(1, b"x")]);
        assert_eq!(refusal(append(&store, entry).await), ErrorKind::Refused, "at {next}");
        let end = Writer { next, ..writer.clone() }.empty();
        let end = Append { end: Some(End::Finished), ..end };
        assert_eq!(refusal(append(&store, end).await), ErrorKind::Refused, "end at {next}");
    }
    writer.say(&store, "c").await;
    assert_eq!(text(&store, &writer.stream).await, "abc");
}

/// One result for each entry, in their order.
pub async fn a_refused_entry_leaves_nothing_and_the_others_of_its_batch_are_stored<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut writers = Vec::new();
    for name in ["z", "stale", "y", "ended", "x"] {
        writers.push(live_stream(&store, name).await);
    }
    writers[1].generation = 7;
    writers[3].end(&store, End::Aborted).await;
    let none = Writer { stream: key("none"), generation: 1, next: 1 };
    writers.insert(2, none);
    let mut batch = Vec::new();
    for writer in &mut writers {
        let entry = writer.entry(&[(2, b"ab"), (1, b"c")]);
        batch.push(Append { progress: Some("p".into()), ..entry });
    }
    let results = store.append(&batch).await.expect("an answer");
    let kinds: Vec<_> =
        results.into_iter().map(|result| result.err().map(|error| error.kind())).collect();
    let (refused, not_found) = (Some(ErrorKind::Refused), Some(ErrorKind::NotFound));
    assert_eq!(kinds, [None, refused, not_found, None, refused, None]);
    for (n, writer) in writers.iter().enumerate().filter(|(n, _)| *n != 2) {
        let record = store.record(&writer.stream).await.expect("a record");
        let expected = if kinds[n].is_none() { ("abc", "p") } else { ("", "") };
        assert_eq!(text(&store, &writer.stream).await, expected.0);
        assert_eq!(record.progress, expected.1);
    }
}

/// Eight writers who all believe to be the producer race for fifty offsets: each offset has the event of one of them,
/// and that one was told so.
pub async fn of_eight_writers_one_gets_each_offset<S: Store + 'static>(open: impl AsyncFn() -> S) {
    const OFFSETS: u64 = 50;
    let writer = live_stream(&open().await, "stream").await;
    let mut racing = JoinSet::new();
    for n in 0..8_u8 {
        let (store, writer) = (Arc::new(open().await), writer.clone());
        racing.spawn(async move {
            let mut won = Vec::new();
            for next in 1..=OFFSETS {
                let entry = Writer { next, ..writer.clone() }.entry(&[(1, &[b'a' + n])]);
                match append(&*store, entry).await.map_err(|error| error.kind()) {
                    Ok(()) => won.push((next, b'a' + n)),
                    Err(ErrorKind::Refused) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            won
        });
    }
    let mut won = racing.join_all().await.concat();
    won.sort_unstable();
    let store = open().await;
    let stored = text(&store, &writer.stream).await.into_bytes();
    assert_eq!(writer.extent(&store).await.next, won.len() as u64 + 1);
    let expected: Vec<_> = (1..).zip(stored).collect();
    assert_eq!(won, expected);
    assert!(!won.is_empty());
}

/// A store does not trust its callers to count.
pub async fn a_malformed_batch_is_not_written<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let mut skips = writer.clone().entry(&[(1, b"a"), (1, b"b")]);
    skips.pieces.remove(0);
    let nothing = Append { pieces: vec![Piece::events(1, 0, "a")], ..writer.empty() };
    let once = writer.clone().entry(&[(1, b"a")]);
    for batch in [vec![skips], vec![nothing], vec![once.clone(), once]] {
        assert_eq!(refusal(store.append(&batch).await), ErrorKind::InvalidData);
    }
    writer.say(&store, "a").await;
    assert_eq!(text(&store, &writer.stream).await, "a");
}
