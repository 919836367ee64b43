//! The streams of this instance: look-up, quotas, what they may hold together, and the sweeper that keeps time.

mod by_token;
mod linger;
mod relief;
mod room;
mod sweeper;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::binding::Binding;
use crate::config::{Config, Limits};
use crate::persistence::Storage;
use crate::resume::event_id::Token;
use crate::resume::keys::Keys;
use crate::sharing::Sharing;
use crate::stream::Stream;

use by_token::ByToken;
pub(crate) use linger::LingerPermit;
use linger::Lingering;
use relief::Relief;

/// How many streams of one binding are looked through for an ID of the inner service. Where there are more, none is.
const MOST_LOOKED_THROUGH: usize = 256;
/// What every stream takes beside what its log says: itself and its place in the map.
const STREAM_BYTES: usize = size_of::<Stream>() + 2 * size_of::<usize>() + ByToken::BYTES;

/// See the [module](self).
pub(crate) struct Registry {
    pub(crate) keys: Keys,
    pub(crate) sharing: Sharing,
    /// The store, if there is one.
    pub(crate) storage: Option<Arc<Storage>>,
    streams: Mutex<Streams>,
    /// Memory of all streams. What shrinks may be told before what has grown: it can be below zero for a moment.
    bytes: AtomicIsize,
    lingering: Mutex<Lingering>,
    /// Whether clients are being sent away; then `left` tells of each one that goes.
    draining: AtomicBool,
    left: Notify,
    relief: Relief,
    /// Held while it is chosen which streams make room for a new one.
    eviction: Mutex<()>,
    /// Headers that streams have in common are kept once.
    headers: Mutex<Arc<HeaderMap>>,
}

/// What all services of a layer share, and let go of together.
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
}

impl Drop for Shared {
    /// Nobody can come back any more.
    fn drop(&mut self) {
        self.registry.forget_all();
    }
}

#[derive(Default)]
struct Streams {
    by_token: ByToken,
    /// Mirrors of streams that another one of `by_token` is of, too.
    further: Vec<Arc<Stream>>,
    by_session: HashMap<u128, usize>,
    /// Only of streams that are looked up so.
    by_binding: HashMap<Binding, HashSet<Token>>,
    sweeper: Option<AbortHandle>,
}

/// There is no room for a further stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// Which limit leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// That on streams.
    Streams,
    /// That on sessions.
    Sessions,
    /// That on the streams of this session.
    Session(u128),
}

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
            relief: Relief::default(),
            eviction: Mutex::default(),
            headers: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, token: &Token) -> Option<Arc<Stream>> {
        lock(&self.streams).by_token.get(token).cloned()
    }

    /// The stream that this instance produces, or did: a copy of it may have come in between.
    pub(crate) fn produced(&self, token: &Token) -> Option<Arc<Stream>> {
        let streams = lock(&self.streams);
        let mut of_token = streams.by_token.get(token).into_iter().chain(&streams.further);
        of_token.rfind(|stream| stream.token == *token && !stream.is_mirror).cloned()
    }

    /// Adds a stream, if there is room, or can be made.
    pub(crate) fn insert(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<(), NoRoom> {
        while self.try_insert(stream).is_err() {
            if !self.make_room(stream) {
                return Err(NoRoom);
            }
        }
        self.grow(STREAM_BYTES as isize, &stream.config);
        Ok(())
    }

    fn try_insert(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<(), Full> {
        let mut streams = lock(&self.streams);
        streams.check(stream)?;
        if let Some(session) = stream.origin.binding.session {
            *streams.by_session.entry(session).or_default() += 1;
        }
        if stream.is_found_by_binding() {
            streams.by_binding.entry(stream.origin.binding).or_default().insert(stream.token);
        }
        if let Some(other) = streams.by_token.insert(Arc::clone(stream)) {
            streams.further.push(other);
        }
        self.ensure_sweeper(&mut streams, &stream.config);
        Ok(())
    }

    /// Forgets a stream; its readers, if it has any, are not touched.
    pub(crate) fn remove(&self, stream: &Stream) {
        let removed = lock(&self.streams).remove(stream);
        if stream.origin.is_shared {
            self.sharing.forget(stream);
        }
        if removed.is_some() {
            self.shrink(STREAM_BYTES);
        }
    }

    /// The streams of this binding among those that are looked up so; none if they are too many
    /// to look through.
    pub(crate) fn bound_to(&self, binding: &Binding) -> Vec<Arc<Stream>> {
        let streams = lock(&self.streams);
        let tokens = streams.by_binding.get(binding);
        let tokens = tokens.filter(|tokens| tokens.len() <= MOST_LOOKED_THROUGH);
        let tokens = tokens.into_iter().flatten();
        tokens.filter_map(|token| streams.by_token.get(token).cloned()).collect()
    }

    /// Forgets all of `which` streams, and ends their responses. Returns how many there were.
    pub(crate) fn purge(&self, mut which: impl FnMut(&Stream) -> bool) -> usize {
        let purged: Vec<_> = self.all().into_iter().filter(|stream| which(stream)).collect();
        for stream in &purged {
            self.remove(stream);
            stream.purge();
        }
        purged.len()
    }

    /// All streams, as they are now.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        let streams = lock(&self.streams);
        streams.by_token.all().chain(&streams.further).cloned().collect()
    }

    /// Whether this very stream is there.
    pub(crate) fn has(&self, stream: &Stream) -> bool {
        lock(&self.streams).has(stream)
    }

    /// Whether a session has streams.
    pub(crate) fn has_session(&self, session: u128) -> bool {
        self.streams_of(session) > 0
    }

    /// How many streams a session has.
    pub(crate) fn streams_of(&self, session: u128) -> usize {
        lock(&self.streams).by_session.get(&session).copied().unwrap_or_default()
    }

    /// How many streams, and sessions with streams, there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let streams = lock(&self.streams);
        (streams.len(), streams.by_session.len())
    }

    /// Drops every stream and ends its readers.
    pub(crate) fn forget_all(&self) {
        for stream in self.all() {
            self.remove(&stream);
        }
    }

    /// The same headers as kept before, if they are.
    pub(crate) fn intern(&self, headers: HeaderMap) -> Arc<HeaderMap> {
        let mut kept = lock(&self.headers);
        if **kept != headers {
            *kept = Arc::new(headers);
        }
        Arc::clone(&kept)
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
            if self.all().iter().all(|stream| stream.readers() == 0) {
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

    /// A stream's memory has changed. Must not be called under a lock of a stream: room may have to be made.
    pub(crate) fn grow(&self, growth: isize, config: &Config) {
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

impl Streams {
    /// Whether there is room for a stream.
    fn check(&self, stream: &Stream) -> Result<(), Full> {
        let limits = &stream.config.limits;
        if let Some(session) = stream.origin.binding.session {
            match self.by_session.get(&session) {
                Some(count) if *count >= limits.streams_per_session => {
                    return Err(Full::Session(session));
                }
                None if limits.streams_per_session == 0 => return Err(Full::Session(session)),
                None if self.by_session.len() >= limits.sessions => return Err(Full::Sessions),
                _ => {}
            }
        }
        if self.len() < limits.streams { Ok(()) } else { Err(Full::Streams) }
    }

    fn len(&self) -> usize {
        self.by_token.len() + self.further.len()
    }

    fn has(&self, stream: &Stream) -> bool {
        let same = |other: &Arc<Stream>| std::ptr::eq(Arc::as_ptr(other), stream);
        self.by_token.get(&stream.token).is_some_and(same) || self.further.iter().any(same)
    }

    fn take(&mut self, stream: &Stream) -> Option<Arc<Stream>> {
        let same = |other: &Arc<Stream>| std::ptr::eq(Arc::as_ptr(other), stream);
        if self.by_token.get(&stream.token).is_some_and(same) {
            return self.by_token.remove(&stream.token);
        }
        let index = self.further.iter().position(same)?;
        Some(self.further.swap_remove(index))
    }

    fn remove(&mut self, stream: &Stream) -> Option<Arc<Stream>> {
        let removed = self.take(stream)?;
        if let Some(tokens) = self.by_binding.get_mut(&stream.origin.binding) {
            tokens.remove(&stream.token);
            if tokens.is_empty() {
                self.by_binding.remove(&stream.origin.binding);
            }
        }
        if let Some(session) = stream.origin.binding.session {
            if let Some(count) = self.by_session.get_mut(&session) {
                *count -= 1;
                if *count == 0 {
                    self.by_session.remove(&session);
                }
            }
        }
        Some(removed)
    }
}
