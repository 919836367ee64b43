//! The streams of this instance: look-up, quotas, what they may hold together, and the sweeper that keeps time.

mod account;
mod headers;
mod linger;
mod relief;
mod room;
mod session;
mod streams;
mod sweeper;
mod walk;

use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::binding::Binding;
use crate::config::{Config, Limits};
use crate::persistence::Storage;
use crate::resume::event_id::Token;
use crate::resume::keys::Keys;
use crate::sharing::Sharing;
use crate::stream::{Change, EvictionClass, Stream};

pub(crate) use account::Account;
pub(crate) use headers::KeptHeaders;
pub(crate) use linger::LingerPermit;
use linger::Lingering;
use relief::Relief;
use room::Round;
use streams::Streams;
use walk::Walk;

/// See the [module](self).
pub(crate) struct Registry {
    pub(crate) keys: Keys,
    pub(crate) sharing: Sharing,
    /// The store, if there is one.
    pub(crate) storage: Option<Arc<Storage>>,
    /// Under it, the lock of a stream may be taken, never the other way round.
    streams: Mutex<Streams>,
    /// Memory of all streams. What shrinks may be told before what has grown: it can be below zero for a moment.
    bytes: AtomicIsize,
    lingering: Mutex<Lingering>,
    /// Whether clients are being sent away; then `left` tells of each one that goes.
    draining: AtomicBool,
    left: Notify,
    /// Whether the layer is gone: nobody can come back any more.
    closed: AtomicBool,
    relief: Relief,
    round: Mutex<Round>,
    /// Held while it is chosen which streams make room for a new one.
    eviction: Mutex<()>,
    /// Headers that streams have in common are kept once.
    headers: Mutex<Weak<KeptHeaders>>,
}

/// What all services of a layer share, and let go of together.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
}

impl Drop for Shared {
    /// Nobody can come back any more.
    fn drop(&mut self) {
        self.registry.closed.store(true, Ordering::Relaxed);
        self.registry.forget_all();
    }
}

/// There is no room for a further stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(crate) fn new(keys: Keys, storage: Option<Arc<Storage>>) -> Self {
        Self {
            keys,
            sharing: Sharing::default(),
            storage,
            streams: Mutex::default(),
            bytes: AtomicIsize::new(0),
            lingering: Mutex::default(),
            draining: AtomicBool::new(false),
            left: Notify::new(),
            closed: AtomicBool::new(false),
            relief: Relief::default(),
            round: Mutex::default(),
            eviction: Mutex::default(),
            headers: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, token: &Token) -> Option<Arc<Stream>> {
        lock(&self.streams).get(*token)
    }

    /// The stream that this instance produces, or did: a copy of it may have come in between.
    pub(crate) fn produced(&self, token: &Token) -> Option<Arc<Stream>> {
        lock(&self.streams).produced(*token)
    }

    /// All that there is of a stream: as it is, or was, produced here, and as it is read from the store.
    pub(crate) fn copies(&self, token: &Token) -> Vec<Arc<Stream>> {
        lock(&self.streams).copies(*token).cloned().collect()
    }

    /// Adds a stream, if there is room, or can be made.
    pub(crate) fn insert(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<(), NoRoom> {
        if !self.has_bytes(&stream.config) {
            return Err(NoRoom);
        }
        let bytes = loop {
            if let Some(bytes) = self.try_insert(stream) {
                break bytes;
            }
            if !self.make_room(stream) {
                return Err(NoRoom);
            }
        };
        self.grow(bytes as isize, &stream.config);
        Ok(())
    }

    /// Returns what it takes; `None`: there is no room.
    fn try_insert(self: &Arc<Self>, stream: &Arc<Stream>) -> Option<usize> {
        let mut streams = lock(&self.streams);
        if streams.full(stream, &stream.config.limits).is_some() {
            return None;
        }
        let bytes = streams.insert(stream);
        self.ensure_sweeper(&mut streams, &stream.config);
        Some(bytes)
    }

    /// Forgets a stream; its readers, if it has any, are not touched.
    pub(crate) fn remove(&self, stream: &Stream) {
        let removed = lock(&self.streams).remove(stream);
        self.removed(stream, removed.unwrap_or_default());
    }

    /// What follows when a stream was taken out, which had taken so many bytes.
    fn removed(&self, stream: &Stream, bytes: usize) {
        if stream.origin.is_shared {
            self.sharing.forget(stream);
        }
        if bytes > 0 {
            self.shrink(bytes);
        }
    }

    /// The streams of this binding among those that are looked up so; none if they are too many to look through.
    pub(crate) fn bound_to(&self, binding: &Binding) -> Vec<Arc<Stream>> {
        lock(&self.streams).bound_to(binding, EvictionClass::Finished)
    }

    /// The same, of those that are live or have a reader.
    pub(crate) fn going_on(&self, binding: &Binding) -> Vec<Arc<Stream>> {
        lock(&self.streams).bound_to(binding, EvictionClass::Unread)
    }

    /// Forgets all of `which` streams, and ends their responses. Returns how many there were.
    pub(crate) fn purge(&self, mut which: impl FnMut(&Stream) -> bool) -> usize {
        self.purge_these(self.all().filter(|stream| which(stream)))
    }

    /// Forgets these ones of the streams that the sessions of a name have, and ends their responses. Returns them.
    pub(crate) fn purge_session(
        &self,
        session: u128,
        mut which: impl FnMut(&Stream) -> bool,
    ) -> Vec<Arc<Stream>> {
        let mut of_it: Vec<_> = {
            let streams = lock(&self.streams);
            let sessions = streams.named(session);
            sessions.flat_map(|(_, session)| streams.of_session(session)).cloned().collect()
        };
        of_it.retain(|stream| which(stream));
        self.purge_these(of_it.iter().cloned());
        of_it
    }

    fn purge_these(&self, streams: impl Iterator<Item = Arc<Stream>>) -> usize {
        let purge = |stream: Arc<Stream>| {
            self.remove(&stream);
            stream.purge();
        };
        streams.map(purge).count()
    }

    /// All streams, a few at a time: those that come meanwhile may be among them.
    pub(crate) fn all(&self) -> Walk<'_> {
        Walk::new(self)
    }

    /// Whether this very stream is there.
    pub(crate) fn has(&self, stream: &Stream) -> bool {
        lock(&self.streams).has(stream)
    }

    /// How many streams the sessions of this name have, whoever owns them.
    pub(crate) fn streams_of(&self, session: u128) -> usize {
        lock(&self.streams).named(session).map(|(_, session)| session.streams).sum()
    }

    /// How many names sessions with streams have.
    pub(crate) fn sessions(&self) -> usize {
        lock(&self.streams).session_names
    }

    /// Forgets every stream. Those that have readers go on until these leave.
    pub(crate) fn forget_all(&self) {
        for stream in self.all() {
            self.remove(&stream);
            let _ = stream.release_unread();
        }
    }

    // The store

    /// There is something for the store of a stream.
    #[cold]
    pub(crate) fn queue_for_store(&self, stream: &Arc<Stream>) {
        if let Some(storage) = &self.storage {
            storage.queue(stream);
        }
    }

    /// Whether streams are being handed over to other instances.
    pub(crate) fn hands_over(&self) -> bool {
        self.storage.is_some() && self.is_draining()
    }

    // Drain

    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A client has left.
    pub(crate) fn client_left(&self) {
        if self.is_draining() {
            self.left.notify_waiters();
        }
    }

    /// Waits until no stream has a client.
    pub(crate) async fn all_left(&self) {
        loop {
            let left = self.left.notified();
            if lock(&self.streams).read == 0 {
                return;
            }
            left.await;
        }
    }

    // Memory

    /// Memory of all streams, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// Whether the streams hold as much as they may.
    #[inline]
    pub(crate) fn is_at_cap(&self, limits: &Limits) -> bool {
        self.bytes() > limits.bytes
    }

    /// What a stream holds, or its place in the order of eviction, has changed. Must not be called under a lock of a
    /// stream: room may have to be made.
    #[cold]
    pub(crate) fn changed(&self, stream: &Arc<Stream>, change: &Change) {
        if let Some(account) = &change.account {
            if account.add(change.growth) {
                lock(&self.streams).ranking.update(account);
            }
        }
        if change.is_moved {
            lock(&self.streams).refresh(stream);
        }
        if change.growth != 0 {
            self.grow(change.growth, &stream.config);
        }
    }

    fn grow(&self, growth: isize, config: &Config) {
        let bytes = self.bytes.fetch_add(growth, Ordering::Relaxed) + growth;
        if growth < 0 {
            self.relief.released(bytes);
        } else if bytes.max(0).unsigned_abs() > config.limits.bytes {
            self.relieve(bytes, config);
        }
    }

    pub(crate) fn shrink(&self, bytes: usize) {
        let bytes = bytes as isize;
        self.relief.released(self.bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(storage) = &self.storage {
            storage.close();
        }
    }
}
