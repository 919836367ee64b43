//! A store that fails when a test wants it to.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tower_sse_resume::store::{
    Error, ErrorKind, Key, MemoryStore, NewSession, Session, SessionStore,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Works,
    Fails,
    Hangs,
}

/// The store in memory, until it breaks. Clones share it.
#[derive(Clone)]
pub(crate) struct Breakable {
    store: MemoryStore,
    mode: Arc<watch::Sender<Mode>>,
    asked: Arc<Notify>,
    touches: watch::Sender<u32>,
}

impl Default for Breakable {
    fn default() -> Self {
        Self {
            store: MemoryStore::new(),
            mode: Arc::new(watch::Sender::new(Mode::Works)),
            asked: Arc::default(),
            touches: watch::Sender::new(0),
        }
    }
}

impl Breakable {
    pub(crate) fn fail(&self) {
        self.mode.send_replace(Mode::Fails);
    }

    pub(crate) fn hang(&self) {
        self.mode.send_replace(Mode::Hangs);
    }

    pub(crate) fn recover(&self) {
        self.mode.send_replace(Mode::Works);
    }

    /// Waits until something was asked for while it is broken.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// How often it was told that a session is used.
    pub(crate) fn touches(&self) -> u32 {
        *self.touches.borrow()
    }

    /// For how long a session was idle, without the layer.
    pub(crate) async fn idle_for(&self, session: &Key) -> Duration {
        self.store.session(session).await.unwrap().idle_for
    }

    /// The sessions, without the layer.
    pub(crate) async fn all(&self) -> Vec<Session> {
        self.store.list(None, usize::MAX).await.unwrap()
    }

    /// Whether somebody has a clone.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.mode) > 1
    }

    async fn works(&self) -> Result<&MemoryStore, Error> {
        let mode = *self.mode.borrow();
        if mode != Mode::Works {
            self.asked.notify_one();
        }
        match mode {
            Mode::Works => Ok(&self.store),
            Mode::Fails => Err(ErrorKind::Unreachable.into()),
            Mode::Hangs => pending().await,
        }
    }
}

impl SessionStore for Breakable {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        self.works().await?.create_session(id, new, most).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        self.works().await?.session(id).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        self.works().await?.touch(id).await?;
        self.touches.send_modify(|touches| *touches += 1);
        Ok(())
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        self.works().await?.value(id, name).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        self.works().await?.set_value(id, name, value).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        self.works().await?.compare_and_set(id, name, expected, value).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        self.works().await?.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, Error> {
        self.works().await?.count().await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        self.works().await?.expire().await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        self.works().await?.delete(id).await
    }
}
