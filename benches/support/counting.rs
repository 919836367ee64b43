//! A store that counts what is appended to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tower_sse_resume::store::{
    AnyStore, Append, Claim, Content, Error, Extent, Key, NewStream, Page, Purge, Record, Store,
    Swept,
};

/// Passes all on to a store, and counts. Clones share both.
#[derive(Clone)]
pub struct CountingStore {
    store: AnyStore,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    pieces: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
}

/// What was appended. Holes count as nothing.
#[derive(Clone, Copy, Default)]
pub struct Appended {
    /// Calls, each of many streams.
    pub calls: u64,
    pub pieces: u64,
    pub events: u64,
    pub bytes: u64,
}

impl CountingStore {
    pub fn new(store: AnyStore) -> Self {
        Self { store, counts: Arc::default() }
    }

    pub fn appended(&self) -> Appended {
        let Counts { calls, pieces, events, bytes } = &*self.counts;
        let [calls, pieces, events, bytes] =
            [calls, pieces, events, bytes].map(|count| count.load(Ordering::Relaxed));
        Appended { calls, pieces, events, bytes }
    }
}

impl Counts {
    fn count(&self, batch: &[Append]) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        for piece in batch.iter().flat_map(|append| &append.pieces) {
            if let Content::Events(bytes) = &piece.content {
                self.pieces.fetch_add(1, Ordering::Relaxed);
                self.events.fetch_add(piece.count, Ordering::Relaxed);
                self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
    }
}

impl std::ops::Sub for Appended {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            pieces: self.pieces - before.pieces,
            events: self.events - before.events,
            bytes: self.bytes - before.bytes,
        }
    }
}

impl Store for CountingStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.store.create(stream, new).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        let results = self.store.append(batch).await?;
        self.counts.count(batch);
        Ok(results)
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        self.store.record(stream).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        self.store.read(stream, after, bytes).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        self.store.wait(stream, seen).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        self.store.claim(stream, claim).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.store.renew(instance, lease).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        self.store.sweep().await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        self.store.purge(what).await
    }
}
