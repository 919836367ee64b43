//! Many at the same time.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::given::{Writer, append, live_stream, pieces_after, text};
use crate::store::{Append, End, State, Store};

/// Eight connections, each writing batches of eight streams and reading them back.
pub async fn many_streams_are_written_and_read_at_the_same_time<S: Store + 'static>(
    open: impl AsyncFn() -> S,
) {
    let mut working = JoinSet::new();
    for n in 0..8 {
        let store = open().await;
        working.spawn(async move {
            let mut writers: Vec<Writer> = Vec::new();
            for stream in 0..8 {
                writers.push(live_stream(&store, &format!("{n}.{stream}")).await);
            }
            for round in 0..20 {
                let event = format!("{round} ");
                let entries =
                    writers.iter_mut().map(|writer| writer.entry(&[(1, event.as_bytes())]));
                let batch: Vec<Append> = entries.collect();
                let results = store.append(&batch).await.expect("an answer");
                assert!(results.iter().all(Result::is_ok));
                store.sweep().await.expect("swept");
            }
            writers.into_iter().map(|writer| writer.stream).collect::<Vec<_>>()
        });
    }
    let streams = working.join_all().await.concat();
    let expected: String = (0..20).fold(String::new(), |all, round| all + &format!("{round} "));
    let store = open().await;
    for stream in &streams {
        assert_eq!(text(&store, stream).await, expected);
    }
}

/// Who reads while it is written sees whole appends, in order, and the end only with all before it.
pub async fn a_reader_sees_no_part_of_an_append<S: Store + 'static>(open: impl AsyncFn() -> S) {
    const ROUNDS: u64 = 100;
    let (store, reader) = (open().await, Arc::new(open().await));
    let mut writer = live_stream(&store, "stream").await;
    let stream = writer.stream.clone();
    let reading = tokio::spawn(async move {
        loop {
            let page = reader.read(&stream, 0, 1 << 20).await.expect("a page");
            let last = page.pieces.last().map_or(1, crate::store::Piece::next);
            assert_eq!(last, page.extent.next, "extent and pieces are of one moment");
            assert_eq!(page.pieces.len() % 3, 0, "an append has three pieces");
            if page.extent.state == State::Finished {
                assert_eq!(page.extent.next, ROUNDS * 3 + 1);
                return pieces_after(&*reader, &stream, 0, 1 << 20).await.len() as u64;
            }
        }
    });
    for round in 1..=ROUNDS {
        let entry = writer.entry(&[(1, b"a"), (1, b"b"), (1, b"c")]);
        let end = (round == ROUNDS).then_some(End::Finished);
        append(&store, Append { end, ..entry }).await.expect("appended");
    }
    assert_eq!(reading.await.expect("no panic"), ROUNDS * 3);
}
