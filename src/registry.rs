//! The streams of this instance: look-up, quotas, what they may hold together, and the sweeper that keeps time.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::binding::Binding;
use crate::config::{Config, Limits};
use crate::observer::Observation;
use crate::resume::event_id::Token;
use crate::resume::keys::Keys;
use crate::sharing::Sharing;
use crate::stream::{EvictionClass, Stream};

/// The sweeper comes no more often than this, however short the age is.
const SHORTEST_TICK: Duration = Duration::from_millis(5);
/// What every stream takes beside what its log says: itself and its place in the map.
const STREAM_BYTES: usize =
    size_of::<Stream>() + 2 * size_of::<usize>() + size_of::<(Token, Arc<Stream>)>();

/// See the [module](self).
pub(crate) struct Registry {
    pub(crate) keys: Keys,
    pub(crate) sharing: Sharing,
    streams: Mutex<Streams>,
    /// Memory of all streams. What shrinks may be told before what has grown: it can be below zero for a moment.
    bytes: AtomicIsize,
    lingering: Mutex<Lingering>,
    /// Whether clients are being sent away; then `left` tells of each one that goes.
    draining: AtomicBool,
    left: Notify,
    /// Held by whoever makes room, so that not everybody does it.
    relief: Mutex<()>,
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
    by_token: HashMap<Token, Arc<Stream>>,
    by_session: HashMap<u128, usize>,
    /// Only of streams that are looked up so.
    by_binding: HashMap<Binding, HashSet<Token>>,
    has_sweeper: bool,
}

#[derive(Default)]
struct Lingering {
    all: usize,
    by_owner: HashMap<Option<u128>, usize>,
}

/// The right to read an inner body on without a client.
pub(crate) struct LingerPermit {
    registry: Arc<Registry>,
    owner: Option<u128>,
}

/// There is no room for a further stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            sharing: Sharing::default(),
            streams: Mutex::default(),
            bytes: AtomicIsize::new(0),
            lingering: Mutex::default(),
            draining: AtomicBool::new(false),
            left: Notify::new(),
            relief: Mutex::new(()),
            headers: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, token: &Token) -> Option<Arc<Stream>> {
        lock(&self.streams).by_token.get(token).cloned()
    }

    /// Adds a stream, if there is room.
    pub(crate) fn insert(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<(), NoRoom> {
        let limits = &stream.config.limits;
        self.make_room(stream);
        {
            let mut streams = lock(&self.streams);
            streams.check(stream, limits)?;
            if let Some(session) = stream.origin.binding.session {
                *streams.by_session.entry(session).or_default() += 1;
            }
            if stream.is_found_by_binding() {
                streams.by_binding.entry(stream.origin.binding).or_default().insert(stream.token);
            }
            streams.by_token.insert(stream.token, Arc::clone(stream));
            self.ensure_sweeper(&mut streams, &stream.config);
        }
        self.grow(STREAM_BYTES as isize, &stream.config);
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

    /// The streams that requests with this binding may resume.
    pub(crate) fn bound_to(&self, binding: &Binding) -> Vec<Arc<Stream>> {
        let streams = lock(&self.streams);
        let tokens = streams.by_binding.get(binding).into_iter().flatten();
        tokens.filter_map(|token| streams.by_token.get(token).cloned()).collect()
    }

    /// All streams, as they are now.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        lock(&self.streams).by_token.values().cloned().collect()
    }

    /// Whether a session has streams.
    pub(crate) fn has_session(&self, session: u128) -> bool {
        lock(&self.streams).by_session.contains_key(&session)
    }

    /// How many streams, and sessions with streams, there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let streams = lock(&self.streams);
        (streams.by_token.len(), streams.by_session.len())
    }

    /// How many inner bodies are read on without a client.
    pub(crate) fn lingering(&self) -> usize {
        lock(&self.lingering).all
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
        let before = self.bytes.fetch_add(growth, Ordering::Relaxed);
        if growth > 0 && (before + growth).max(0).unsigned_abs() > config.limits.bytes {
            self.relieve(config);
        }
    }

    pub(crate) fn shrink(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes as isize, Ordering::Relaxed);
    }

    /// Makes room until the streams hold a sixteenth less than they may, so that this is seldom.
    #[cold]
    fn relieve(&self, config: &Config) {
        let Ok(_only_one) = self.relief.try_lock() else { return };
        let goal = config.limits.bytes - config.limits.bytes / 16;
        let mut evicted = 0;
        for (class, stream) in self.in_order_of_eviction() {
            if self.bytes() <= goal {
                break;
            }
            // Where the last event of a live stream is kept, so is its place.
            let keeps_place = match class {
                EvictionClass::Read => true,
                EvictionClass::Unread => config.rules.keeps_last,
                EvictionClass::Aborted | EvictionClass::Finished => false,
            };
            if keeps_place {
                while self.bytes() > goal && stream.give_up_oldest() {}
            } else {
                self.evict(&stream);
                evicted += 1;
            }
        }
        if evicted > 0 {
            config.observer.tell(Observation::Evicted { streams: evicted });
        }
    }

    /// Makes room for a new stream where a limit on their number leaves none, if streams without a reader do.
    fn make_room(&self, stream: &Stream) {
        let Config { limits, .. } = &*stream.config;
        let (all, sessions) = {
            let streams = lock(&self.streams);
            (streams.by_token.len(), streams.by_session.len())
        };
        if all >= limits.streams {
            self.evict_unread((limits.streams / 64).max(1), |_| true, &stream.config);
        }
        let session = stream.origin.binding.session;
        let Some(name) = session else { return };
        let of_it = lock(&self.streams).by_session.get(&name).copied();
        match of_it {
            Some(count) if count >= limits.streams_per_session => {}
            None if sessions >= limits.sessions => return self.evict_session(&stream.config),
            _ => return,
        }
        let count = (limits.streams_per_session / 64).max(1);
        self.evict_unread(count, |other| other.origin.binding.session == session, &stream.config);
    }

    /// Evicts up to `count` of `which` streams, none with a reader.
    fn evict_unread(&self, count: usize, which: impl Fn(&Stream) -> bool, config: &Config) {
        let Ok(_only_one) = self.relief.try_lock() else { return };
        let is_victim = |(class, stream): &(EvictionClass, Arc<Stream>)| {
            *class != EvictionClass::Read && which(stream)
        };
        let order = self.in_order_of_eviction().into_iter();
        self.evict_all(order.filter(is_victim).take(count), config);
    }

    /// Evicts all streams of a session in which nobody reads.
    fn evict_session(&self, config: &Config) {
        let Ok(_only_one) = self.relief.try_lock() else { return };
        let order = self.in_order_of_eviction();
        let session = |stream: &Stream| stream.origin.binding.session;
        let read: HashSet<_> = order
            .iter()
            .filter(|(class, _)| *class == EvictionClass::Read)
            .map(|(_, stream)| session(stream))
            .collect();
        let idle = |(_, stream): &(_, Arc<Stream>)| {
            session(stream).filter(|name| !read.contains(&Some(*name)))
        };
        let Some(victim) = order.iter().find_map(idle) else { return };
        let of_it = |(_, stream): &(_, Arc<Stream>)| session(stream) == Some(victim);
        self.evict_all(order.into_iter().filter(of_it), config);
    }

    fn evict_all(
        &self,
        victims: impl Iterator<Item = (EvictionClass, Arc<Stream>)>,
        config: &Config,
    ) {
        let streams = victims.map(|(_, stream)| self.evict(&stream)).count() as u64;
        if streams > 0 {
            config.observer.tell(Observation::Evicted { streams });
        }
    }

    fn evict(&self, stream: &Arc<Stream>) {
        self.remove(stream);
        stream.purge();
    }

    /// Finished, aborted, unread, read; among equals those of the owner with most bytes first.
    fn in_order_of_eviction(&self) -> Vec<(EvictionClass, Arc<Stream>)> {
        let mut owners: HashMap<Option<u128>, usize> = HashMap::new();
        let mut order: Vec<_> =
            self.all().into_iter().map(|stream| (stream.weight(), stream)).collect();
        for ((_, bytes), stream) in &order {
            *owners.entry(stream.origin.binding.owner).or_default() += bytes;
        }
        order.sort_by_key(|((class, bytes), stream)| {
            let of_owner = owners.get(&stream.origin.binding.owner).copied().unwrap_or_default();
            (*class, std::cmp::Reverse(of_owner), std::cmp::Reverse(*bytes))
        });
        order.into_iter().map(|((class, _), stream)| (class, stream)).collect()
    }

    // Linger

    pub(crate) fn permit_linger(
        self: &Arc<Self>,
        owner: Option<u128>,
        limits: &Limits,
    ) -> Option<LingerPermit> {
        let mut lingering = lock(&self.lingering);
        let of_owner = lingering.by_owner.get(&owner).copied().unwrap_or_default();
        // Requests without an owner are not one owner: only the limit of all counts for them.
        let owner_is_full = owner.is_some() && of_owner >= limits.lingering_per_owner;
        if lingering.all >= limits.lingering || owner_is_full {
            return None;
        }
        lingering.all += 1;
        *lingering.by_owner.entry(owner).or_default() += 1;
        Some(LingerPermit { registry: Arc::clone(self), owner })
    }

    // Time

    /// There is one sweeper, and only while there are streams.
    fn ensure_sweeper(self: &Arc<Self>, streams: &mut Streams, config: &Config) {
        if streams.has_sweeper {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            streams.has_sweeper = true;
            let tick = config.rules.retention.seal_age().max(SHORTEST_TICK);
            runtime.spawn(sweep(Arc::downgrade(self), tick));
        }
    }

    /// Does what time brings. Returns whether there is nothing left to sweep; then the sweeper must stop.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        for stream in self.all() {
            if stream.sweep(now) {
                self.remove(&stream);
            }
        }
        let mut streams = lock(&self.streams);
        streams.has_sweeper = !streams.by_token.is_empty();
        !streams.has_sweeper
    }
}

impl Streams {
    fn check(&self, stream: &Stream, limits: &Limits) -> Result<(), NoRoom> {
        let Some(session) = stream.origin.binding.session else {
            return if self.by_token.len() < limits.streams { Ok(()) } else { Err(NoRoom) };
        };
        let of_session = self.by_session.get(&session).copied();
        let room = self.by_token.len() < limits.streams
            && of_session.unwrap_or_default() < limits.streams_per_session
            && (of_session.is_some() || self.by_session.len() < limits.sessions);
        if room { Ok(()) } else { Err(NoRoom) }
    }

    fn remove(&mut self, stream: &Stream) -> Option<Arc<Stream>> {
        let removed = self.by_token.remove(&stream.token)?;
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

async fn sweep(registry: Weak<Registry>, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match registry.upgrade() {
            Some(registry) if !registry.sweep() => {}
            _ => return,
        }
    }
}

impl Drop for LingerPermit {
    fn drop(&mut self) {
        let mut lingering = lock(&self.registry.lingering);
        lingering.all -= 1;
        if let Some(count) = lingering.by_owner.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                lingering.by_owner.remove(&self.owner);
            }
        }
    }
}
