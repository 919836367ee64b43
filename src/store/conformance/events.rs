//! Events go in and come out.

use bytes::Bytes;

use super::given::{
    ALL, Writer, append, key, live_stream, live_stream_with, new_stream, pieces_after, text,
};
use crate::resume::GapReason;
use crate::store::{Append, Piece, Store};

/// What was appended in several steps is read in order, byte for byte.
pub async fn events_come_back_in_order_byte_for_byte<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let mut expected = Vec::new();
    for byte in 0..=255 {
        let event = [byte, b'\n', 0, byte];
        let entry = writer.entry(&[(1, &event)]);
        append(&store, entry).await.expect("appended");
        expected.push(Piece::events(u64::from(byte) + 1, 1, event.to_vec()));
    }
    assert_eq!(pieces_after(&store, &writer.stream, 0, 1 << 20).await, expected);
    let extent = writer.extent(&store).await;
    assert_eq!((extent.generation, extent.first, extent.next), (1, 1, 257));
}

/// The bounds and the bytes of pieces are those of the append.
pub async fn pieces_come_back_as_they_were_cut<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let entry = writer.entry(&[(3, b"abc"), (1, b"d"), (2, b"")]);
    append(&store, entry.clone()).await.expect("appended");
    let page = store.read(&writer.stream, 0, 100).await.expect("a page");
    assert_eq!(page.pieces, entry.pieces);
    assert_eq!((page.extent.first, page.extent.next), (1, 7));
}

/// A page has as many pieces as fit, and one that is larger than the bound alone.
pub async fn a_page_is_bounded_in_bytes_and_has_one_piece_at_least<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let entry = writer.entry(&[(1, b"aaaa"), (1, b"bbbb"), (1, b"cccc"), (1, b"dddddddddddd")]);
    append(&store, entry).await.expect("appended");
    for (after, bytes, offsets) in [
        (0, 1, &[1][..]),
        (0, 8, &[1, 2]),
        (0, 11, &[1, 2]),
        (1, 8, &[2, 3]),
        (3, 5, &[4]),
        (0, 24, &[1, 2, 3, 4]),
        (0, 0, &[1]),
    ] {
        let page = store.read(&writer.stream, after, bytes).await.expect("a page");
        let got: Vec<u64> = page.pieces.iter().map(|piece| piece.first).collect();
        assert_eq!(got, offsets, "after {after}, at most {bytes} bytes");
    }
}

/// An offset inside a piece gets that piece; one at its end the next one; the last one nothing.
pub async fn a_page_begins_with_the_piece_that_holds_the_next_event<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let entry = writer.entry(&[(3, b"abc"), (3, b"def")]);
    append(&store, entry).await.expect("appended");
    for (after, first) in
        [(0, Some(1)), (2, Some(1)), (3, Some(4)), (5, Some(4)), (6, None), (9, None)]
    {
        let page = store.read(&writer.stream, after, 1).await.expect("a page");
        assert_eq!(page.pieces.first().map(|piece| piece.first), first, "after {after}");
        assert_eq!(page.extent.next, 7);
    }
}

/// Reading page after page misses nothing and repeats nothing.
pub async fn pages_one_after_the_other_give_all_events_once<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    for n in 0..50_usize {
        let event = vec![b'a' + (n % 26) as u8; n * 7 % 40];
        let entry = writer.entry(&[(1 + n as u64 % 3, &event), (1, b"x")]);
        append(&store, entry).await.expect("appended");
    }
    let whole = pieces_after(&store, &writer.stream, 0, 1 << 20).await;
    assert_eq!(whole.len(), 100);
    for bytes in [1, 10, 64, 500] {
        assert_eq!(pieces_after(&store, &writer.stream, 0, bytes).await, whole);
    }
}

/// A hole is a piece without bytes, with its reason, for each reason that there is.
pub async fn a_hole_takes_offsets_and_says_why<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let mut entry = writer.entry(&[(1, b"a")]);
    for reason in [
        GapReason::Evicted,
        GapReason::Expired,
        GapReason::Oversize,
        GapReason::NotStored,
        GapReason::Unknown,
        GapReason::ProducerLost,
        GapReason::TooSlow,
        GapReason::Diverged,
    ] {
        entry.pieces.push(Piece::hole(writer.next, 1000, reason));
        writer.next += 1000;
    }
    entry.pieces.push(Piece::events(writer.next, 1, "b"));
    append(&store, entry.clone()).await.expect("appended");
    assert_eq!(pieces_after(&store, &writer.stream, 0, 100).await, entry.pieces);
    assert_eq!(writer.extent(&store).await.next, 8003);
}

/// Streams of one batch have nothing of each other.
pub async fn streams_are_apart_from_each_other<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut one = live_stream(&store, "stream").await;
    let mut other = live_stream(&store, "stream1").await;
    let batch = [one.entry(&[(1, b"a")]), other.entry(&[(1, b"b"), (1, b"c")])];
    let results = store.append(&batch).await.expect("an answer");
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(text(&store, &one.stream).await, "a");
    assert_eq!(text(&store, &other.stream).await, "bc");
    assert_eq!(one.extent(&store).await.next, 2);
    let nothing = store.append(&[]).await.expect("an answer");
    assert!(nothing.is_empty());
}

/// Progress comes with events, stays without one, and is as it was given.
pub async fn progress_is_replaced_with_the_events_that_it_belongs_to<S: Store>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let progress = async || store.record(&writer.stream).await.expect("a record").progress;
    assert_eq!(progress().await, "");
    let every_byte: Vec<u8> = (0..=255).collect();
    let entry = Writer::with(&mut writer.clone(), Some(&every_byte));
    append(&store, entry).await.expect("appended");
    assert_eq!(progress().await, every_byte);
    writer.next += 1;
    writer.say(&store, "b").await;
    let record = store.record(&writer.stream).await.expect("a record");
    assert_eq!((&record.progress[..], &record.origin[..]), (&every_byte[..], &b"origin"[..]));
    let last = Append { progress: Some(Bytes::from_static(b"last")), ..writer.empty() };
    append(&store, last).await.expect("appended");
    let record = store.record(&writer.stream).await.expect("a record");
    assert_eq!((record.progress, record.extent.next), (Bytes::from_static(b"last"), 3));
}

impl Writer {
    fn with(&mut self, progress: Option<&[u8]>) -> Append {
        Append { progress: progress.map(Bytes::copy_from_slice), ..self.entry(&[(1, b"a")]) }
    }
}

/// Keys of each single byte, of all bytes in a row, of the full length, and those that look like other things.
pub async fn keys_may_have_any_bytes_and_the_full_length<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut names: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    names.push((0..128).collect());
    names.push((128..=255).collect());
    names.extend([b"a.b.*.>".to_vec(), b"'; DROP TABLE x; --".to_vec(), b"{a}:b%c_".to_vec()]);
    names.push("a\u{0}b".into());
    let writers: Vec<Writer> = names
        .iter()
        .map(|name| Writer { stream: key(name.clone()), generation: 1, next: 1 })
        .collect();
    for writer in &writers {
        store.create(&writer.stream, &new_stream(ALL)).await.expect("created");
    }
    let of = |writer: &Writer| writer.clone().entry(&[(1, writer.stream.as_bytes())]);
    let results = store.append(&writers.iter().map(of).collect::<Vec<_>>()).await;
    assert!(results.expect("an answer").iter().all(Result::is_ok));
    for writer in &writers {
        let expected = of(writer).pieces;
        assert_eq!(pieces_after(&store, &writer.stream, 0, 1000).await, expected);
    }
}

/// An event at the usual limit, with what a writer adds to it.
pub async fn an_event_of_one_mebibyte_is_kept<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let large: Vec<u8> = (0..(1 << 20) + (64 << 10)).map(|n: u32| (n % 251) as u8).collect();
    let entry = writer.entry(&[(1, b"before"), (1, &large), (1, b"after")]);
    append(&store, entry.clone()).await.expect("appended");
    assert_eq!(pieces_after(&store, &writer.stream, 0, 1 << 16).await, entry.pieces);
}

/// A long stream, in pieces as a writer makes them, read from the beginning and from near the end.
pub async fn a_hundred_thousand_events_are_kept<S: Store>(open: impl AsyncFn() -> S) {
    const PIECE: u64 = 100;
    let store = open().await;
    let mut writer = live_stream(&store, "stream").await;
    let piece = vec![b'e'; 180 * PIECE as usize];
    for _ in 0..50 {
        let entry = writer.entry(&[(PIECE, piece.as_slice()); 20]);
        append(&store, entry).await.expect("appended");
    }
    let extent = writer.extent(&store).await;
    assert_eq!((extent.first, extent.next), (1, 100_001));
    let all = pieces_after(&store, &writer.stream, 0, 1 << 20).await;
    assert_eq!(all.iter().map(|piece| piece.count).sum::<u64>(), 100_000);
    assert!(all.iter().all(|read| read.bytes() == piece.len()));
    let last = store.read(&writer.stream, 99_999, 1 << 20).await.expect("a page");
    assert_eq!(last.pieces.iter().map(|piece| piece.first).collect::<Vec<_>>(), [99_901]);
}

/// What lies beside the events has 64 KiB.
pub async fn the_largest_origin_and_progress_are_kept<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let large = Bytes::from(vec![0xff; 64 << 10]);
    let new = crate::store::NewStream { origin: large.clone(), ..new_stream(ALL) };
    let mut writer = live_stream_with(&store, "stream", new).await;
    let entry = writer.with(Some(&large));
    append(&store, entry).await.expect("appended");
    let record = store.record(&writer.stream).await.expect("a record");
    assert!(record.origin == large && record.progress == large);
}
