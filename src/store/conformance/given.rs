//! What the cases begin with.

use std::time::Duration;

use bytes::Bytes;

use crate::resume::GapReason;
use crate::store::{
    Append, Claim, Content, End, Error, ErrorKind, Extent, Keep, Key, NewStream, Piece, Store,
};

/// Nothing that a case waits for takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any case.
pub(super) const LONG: Duration = Duration::from_secs(3600);
/// So short that a case can wait for its end.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Keeps more than any case writes.
pub(super) const ALL: Keep = Keep { events: 1 << 40, bytes: 1 << 40, age: LONG };

pub(super) fn key(name: impl Into<Bytes>) -> Key {
    Key::new(name).expect("a key")
}

/// Who produces the streams of the cases.
pub(super) fn producer() -> Key {
    key("producer")
}

pub(super) fn new_stream(keep: Keep) -> NewStream {
    let origin = Bytes::from_static(b"origin");
    NewStream { producer: producer(), session: None, owner: None, origin, keep }
}

/// A live stream whose producer has a lease that outlasts the case.
pub(super) async fn live_stream(store: &impl Store, name: &str) -> Writer {
    live_stream_with(store, name, new_stream(ALL)).await
}

pub(super) async fn live_stream_with(store: &impl Store, name: &str, new: NewStream) -> Writer {
    store.renew(&producer(), LONG).await.expect("renewed");
    let writer = Writer { stream: key(name.to_owned()), generation: 1, next: 1 };
    store.create(&writer.stream, &new).await.expect("created");
    writer
}

/// Writes one stream, as its producer does.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) stream: Key,
    pub(super) generation: u32,
    pub(super) next: u64,
}

impl Writer {
    /// An entry of a batch with these pieces, each of some events. It counts as written.
    pub(super) fn entry(&mut self, pieces: &[(u64, &[u8])]) -> Append {
        let mut entry = self.empty();
        for (count, bytes) in pieces {
            entry.pieces.push(Piece::events(self.next, *count, Bytes::copy_from_slice(bytes)));
            self.next += count;
        }
        entry
    }

    /// An entry of a batch without anything.
    pub(super) fn empty(&self) -> Append {
        let (stream, generation, first) = (self.stream.clone(), self.generation, self.next);
        Append { stream, generation, first, pieces: vec![], progress: None, gap: None, end: None }
    }

    /// Appends one event.
    pub(super) async fn say(&mut self, store: &impl Store, event: &str) {
        let entry = self.entry(&[(1, event.as_bytes())]);
        append(store, entry).await.expect("appended");
    }

    pub(super) async fn end(&self, store: &impl Store, end: End) {
        append(store, Append { end: Some(end), ..self.empty() }).await.expect("ended");
    }

    pub(super) async fn extent(&self, store: &impl Store) -> Extent {
        store.record(&self.stream).await.expect("a record").extent
    }
}

/// Appends one entry.
pub(super) async fn append(store: &impl Store, entry: Append) -> Result<(), Error> {
    let mut results = store.append(&[entry]).await?;
    assert_eq!(results.len(), 1, "one result for one entry");
    results.remove(0)
}

/// The kind of the error that this has to be.
pub(super) fn refusal<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("an error").kind()
}

/// All pieces after an offset, in pages of at most so many bytes.
pub(super) async fn pieces_after(
    store: &impl Store,
    stream: &Key,
    mut after: u64,
    bytes: usize,
) -> Vec<Piece> {
    let mut all = Vec::new();
    loop {
        let page = store.read(stream, after, bytes).await.expect("a page");
        let Some(last) = page.pieces.last() else { return all };
        assert!(last.next() > after + 1, "a page goes on after what was asked for");
        after = last.next() - 1;
        all.extend(page.pieces);
    }
}

/// All events of a stream as text, one after the other; holes as their reasons in brackets.
pub(super) async fn text(store: &impl Store, stream: &Key) -> String {
    let mut text = String::new();
    for piece in pieces_after(store, stream, 0, 1 << 20).await {
        match piece.content {
            Content::Events(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Content::Hole(reason) => text = text + "[" + reason.as_str() + "]",
        }
    }
    text
}

pub(super) fn claim(after: u32, producer: &str, gap: Option<GapReason>) -> Claim {
    Claim { after, producer: key(producer.to_owned()), gap }
}

/// Asks until the answer is yes: for what the store's clock decides.
pub(super) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    assert!(asked.is_ok(), "{what} does not happen");
}
