//! The store in this process's memory: for tests, and the model of what a store does.

mod sessions;
mod streams;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, Extent, Key, NewSession, NewStream, Page, Purge, Record, Session,
    SessionStore, Store, Swept,
};
use sessions::Sessions;
use streams::{Leases, Streams};

/// A store in this process's memory. Clones share it. Its clock is Tokio's, which a test can pause.
///
/// It outlives no restart: it is for tests of what uses a store, and shows in few lines what a store does. Nothing
/// bounds it but what each stream says.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Contents>,
    wakeups: Wakeups,
}

#[derive(Debug, Default)]
struct Contents {
    streams: Streams,
    leases: Leases,
    sessions: Sessions,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extent(&self, stream: &Key) -> Result<Extent, Error> {
        let content = self.lock();
        Ok(content.streams.get(stream)?.extent(&content.leases, Instant::now()))
    }
}

impl Store for MemoryStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.lock().streams.create(stream, new, Instant::now())
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        let mut content = self.lock();
        let now = Instant::now();
        let results = batch
            .iter()
            .map(|append| {
                content.streams.get_mut(&append.stream)?.append(append, now)?;
                self.0.wakeups.wake(&append.stream);
                Ok(())
            })
            .collect();
        Ok(results)
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        let content = self.lock();
        Ok(content.streams.get(stream)?.record(&content.leases, Instant::now()))
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        let content = self.lock();
        let stream = content.streams.get(stream)?;
        let extent = stream.extent(&content.leases, Instant::now());
        Ok(Page { extent, pieces: stream.pieces_after(after, bytes) })
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let look = || std::future::ready(self.extent(stream));
        self.0.wakeups.until_news(stream, seen, look).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let mut content = self.lock();
        let Contents { streams, leases, .. } = &mut *content;
        let now = Instant::now();
        let claimed = streams.get_mut(stream)?;
        claimed.claim(claim, leases, now)?;
        self.0.wakeups.wake(stream);
        Ok(claimed.record(leases, now))
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.lock().leases.renew(instance, lease, Instant::now());
        Ok(())
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let mut content = self.lock();
        let Contents { streams, leases, .. } = &mut *content;
        let now = Instant::now();
        let swept = streams.sweep(leases, now);
        leases.sweep(streams, now);
        drop(content);
        self.0.wakeups.wake_all();
        Ok(swept)
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let purged = self.lock().streams.purge(what, Instant::now());
        for stream in &purged {
            self.0.wakeups.wake(stream);
        }
        Ok(purged.len() as u64)
    }
}

impl SessionStore for MemoryStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        self.lock().sessions.create(id, new, most, Instant::now())
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        let now = Instant::now();
        Ok(self.lock().sessions.get(id, now)?.seen(id, now))
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        let now = Instant::now();
        self.lock().sessions.get(id, now)?.touch(now);
        Ok(())
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        Ok(self.lock().sessions.get(id, Instant::now())?.values.get(name).cloned())
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        self.lock().sessions.get(id, Instant::now())?.set(name, value);
        Ok(())
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let mut content = self.lock();
        let session = content.sessions.get(id, Instant::now())?;
        let is_expected = session.values.get(name) == expected.as_ref();
        if is_expected {
            session.set(name, value);
        }
        Ok(is_expected)
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        Ok(self.lock().sessions.list(after, limit, Instant::now()))
    }

    async fn count(&self) -> Result<u64, Error> {
        Ok(self.lock().sessions.len())
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        Ok(self.lock().sessions.expire(Instant::now()))
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        Ok(self.lock().sessions.remove(id, Instant::now()))
    }
}
