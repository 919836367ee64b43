//! A server is killed under load, and comes back: nothing acknowledged is lost, nothing is stored twice.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tower_sse_resume::store::{
    Append, Content, End, Error, ErrorKind, Extent, Keep, Key, NewStream, Page, Piece, State, Store,
};

use support::store_server::Server;

const EVENTS: u64 = 400;
/// At which events, counted by the reader, the server is killed.
const KILLS: [u64; 3] = [50, 150, 300];

/// One instance writes, another one reads along, both through connections that the server breaks.
pub(crate) async fn survives_restarts<S: Store>(server: &Server, open: impl AsyncFn() -> S) {
    let (writer, reader) = (open().await, open().await);
    create(&writer).await;
    let (progress, mut seen) = watch::channel(0);
    let killing = async {
        for kill in KILLS {
            seen.wait_for(|seen| *seen >= kill).await.unwrap();
            server.kill();
            server.restart();
        }
    };
    write_and_read(&writer, &reader, &progress, killing).await;
}

/// Creates the stream that is written to.
pub(crate) async fn create(store: &impl Store) {
    store.renew(&key("producer"), Duration::from_secs(3600)).await.unwrap();
    store.create(&key("stream"), &new_stream()).await.unwrap();
}

/// Writes the stream's events and reads them along, while something is done to the server, and compares.
pub(crate) async fn write_and_read<S: Store>(
    writer: &S,
    reader: &S,
    progress: &watch::Sender<u64>,
    meanwhile: impl Future<Output = ()>,
) {
    let all = async { tokio::join!(write(writer), read(reader, progress), meanwhile) };
    let ((), read, ()) =
        tokio::time::timeout(Duration::from_secs(90), all).await.expect("all go on");
    let expected: Vec<_> = (1..=EVENTS).map(|offset| event(offset).content).collect();
    assert!(read == expected, "the events are not those that were written: {read:?}");
}

pub(crate) fn new_stream() -> NewStream {
    let keep = Keep { events: 1 << 40, bytes: 1 << 40, age: Duration::from_secs(3600) };
    let (producer, origin) = (key("producer"), Bytes::new());
    NewStream { producer, session: None, owner: None, origin, keep }
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

fn event(offset: u64) -> Piece {
    Piece::events(offset, 1, format!("event {offset}"))
}

/// Asks again while the server is away.
pub(crate) async fn until_answered<T>(ask: impl AsyncFn() -> Result<T, Error>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn write(store: &impl Store) {
    for first in 1..=EVENTS {
        let end = (first == EVENTS).then_some(End::Finished);
        let (stream, pieces) = (key("stream"), vec![event(first)]);
        let entry = Append { stream, generation: 1, first, pieces, progress: None, gap: None, end };
        while !is_written(store, &entry).await {}
    }
}

/// What the trait says of retries: after an answer that was lost, the record tells.
async fn is_written(store: &impl Store, entry: &Append) -> bool {
    match store.append(std::slice::from_ref(entry)).await {
        Ok(mut results) => match results.remove(0) {
            Ok(()) => return true,
            // The attempt before came through after it was looked for.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}"),
        },
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}"),
    }
    let next = until_answered(async || store.record(&entry.stream).await).await.extent.next;
    assert!(next == entry.first || next == entry.next(), "{next} while {} is written", entry.first);
    next == entry.next()
}

async fn read(store: &impl Store, progress: &watch::Sender<u64>) -> Vec<Content> {
    let stream = key("stream");
    let mut seen: Option<Extent> = None;
    let mut events = Vec::new();
    loop {
        let Page { extent, pieces } =
            until_answered(async || store.read(&stream, events.len() as u64, 1 << 20).await).await;
        events.extend(pieces.into_iter().map(|piece| piece.content));
        progress.send_replace(events.len() as u64);
        if extent.state == State::Finished {
            return events;
        }
        if seen.as_ref() == Some(&extent) {
            let woken = tokio::time::timeout(Duration::from_secs(60), async {
                until_answered(async || store.wait(&stream, &extent).await).await
            });
            woken.await.expect("who waits is woken");
        }
        seen = Some(extent);
    }
}
