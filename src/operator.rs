//! What an operator can see and do of all streams of a layer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::binding;
use crate::handle::StreamId;
use crate::log::EventCounts;
use crate::persistence;
use crate::registry::Registry;
use crate::resume::plan::StreamState;
use crate::sessions::{Keeper, StoredSessions};
use crate::store::Purge;
use crate::stream::Stream;
use crate::time;

/// An operator's view of a layer; see [`SseResumeLayer::handle`](crate::SseResumeLayer::handle).
///
/// Clones see the same layer. A handle keeps none of its streams alive once the layer and its services are gone.
///
/// ```
/// use tower_sse_resume::SseResumeLayer;
///
/// let layer = SseResumeLayer::new();
/// let handle = layer.handle();
/// assert_eq!(handle.stats().streams, 0);
/// // At a user's logout, by what the owner is named by:
/// handle.purge_owner("Bearer 2YotnFZFEjr1zCsicMWpAA");
/// ```
#[derive(Clone)]
pub struct LayerHandle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) sessions: Option<Arc<Keeper>>,
}

/// Counts of a layer at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Streams that can be resumed, of all kinds.
    pub streams: usize,
    /// Those whose inner body goes on.
    pub live: usize,
    /// Those whose inner body has ended cleanly.
    pub finished: usize,
    /// Those whose inner body has failed or was dropped.
    pub aborted: usize,
    /// Sessions that have such streams.
    pub sessions: usize,
    /// Responses that are being sent.
    pub clients: usize,
    /// Inner bodies that are read on without a client.
    pub lingering: usize,
    /// What became of the events of these streams.
    pub events: EventCounts,
    /// Memory of all streams, in bytes.
    pub bytes: usize,
    /// Events that the store has taken from here.
    pub stored: u64,
    /// Events that it came too late for: see [`Observation::NotStored`](crate::Observation::NotStored).
    pub not_stored: u64,
    /// Whether it did not answer when it was last asked to write.
    pub store_away: bool,
}

/// Names a session that has streams, without its name: a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Whether a stream's inner body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamKind {
    /// It does, or the inner service is being called for the next one.
    Live,
    /// It has ended cleanly.
    Finished,
    /// It has failed, or was dropped.
    Aborted,
}

/// A stream, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its ID.
    pub id: StreamId,
    /// Its session, if it has one.
    pub session: Option<SessionId>,
    /// Whether its inner body goes on.
    pub state: StreamKind,
    /// How many responses read it.
    pub clients: usize,
    /// What became of its events.
    pub events: EventCounts,
    /// Its memory, in bytes.
    pub bytes: usize,
}

impl StreamInfo {
    fn of(stream: &Stream) -> Self {
        let summary = stream.summary();
        Self {
            id: StreamId::of(stream),
            session: stream.origin.binding.session.map(SessionId),
            state: match summary.state {
                StreamState::Live => StreamKind::Live,
                StreamState::Finished { .. } => StreamKind::Finished,
                StreamState::Aborted { .. } | StreamState::Purged => StreamKind::Aborted,
            },
            clients: summary.clients,
            events: summary.events,
            bytes: summary.bytes,
        }
    }
}

/// A session with its streams, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its ID.
    pub id: SessionId,
    /// How many streams it has.
    pub streams: usize,
    /// How many responses read them.
    pub clients: usize,
    /// What became of their events.
    pub events: EventCounts,
    /// Their memory, in bytes.
    pub bytes: usize,
}

impl SessionInfo {
    fn new(id: SessionId) -> Self {
        Self { id, streams: 0, clients: 0, events: EventCounts::default(), bytes: 0 }
    }

    fn add(&mut self, stream: &StreamInfo) {
        self.streams += 1;
        self.clients += stream.clients;
        self.events += stream.events;
        self.bytes += stream.bytes;
    }
}

fn sum(counts: impl Iterator<Item = EventCounts>) -> EventCounts {
    counts.fold(EventCounts::default(), |mut sum, counts| {
        sum += counts;
        sum
    })
}

/// The first `limit` of `all` whose key is after `after`, in the order of their keys.
fn page<K: Ord + Copy, T>(
    all: impl Iterator<Item = (K, T)>,
    after: Option<K>,
    limit: usize,
) -> Vec<T> {
    let is_after = |key: &K| after.is_none_or(|after| *key > after);
    let mut page: Vec<_> = all.filter(|(key, _)| is_after(key)).collect();
    page.sort_unstable_by_key(|(key, _)| *key);
    page.truncate(limit);
    page.into_iter().map(|(_, item)| item).collect()
}

impl LayerHandle {
    /// Counts and bytes, as they are now. Goes through all streams: for each scrape of metrics, not for each request.
    pub fn stats(&self) -> Stats {
        let streams: Vec<_> = self.registry.all().map(|stream| StreamInfo::of(&stream)).collect();
        let storage = self.registry.storage.as_ref();
        let (stored, not_stored) = storage.map(|storage| storage.counts()).unwrap_or_default();
        let count = |kind| streams.iter().filter(|stream| stream.state == kind).count();
        Stats {
            streams: streams.len(),
            live: count(StreamKind::Live),
            finished: count(StreamKind::Finished),
            aborted: count(StreamKind::Aborted),
            sessions: self.registry.sessions(),
            clients: streams.iter().map(|stream| stream.clients).sum(),
            lingering: self.registry.lingering(),
            events: sum(streams.iter().map(|stream| stream.events)),
            bytes: self.registry.bytes(),
            stored,
            not_stored,
            store_away: storage.is_some_and(|storage| storage.is_away()),
        }
    }

    /// Drops the inner bodies that have been read on longest without a client, at most `count` of them, and returns
    /// how many it dropped.
    ///
    /// Their streams count as aborted: a client that comes back gets what there is, and the inner service is called
    /// again. For applications that run short of what such bodies hold, such as connections.
    pub fn release_lingering(&self, count: usize) -> usize {
        let streams = self.registry.longest_lingering(count);
        streams.iter().filter(|stream| stream.release_unread().is_some()).count()
    }

    /// A page of streams, in the order of their IDs: at most `limit` of those after `after`.
    pub fn streams(&self, after: Option<StreamId>, limit: usize) -> Vec<StreamInfo> {
        let all = self.registry.all().map(|stream| StreamInfo::of(&stream));
        page(all.map(|info| (info.id, info)), after, limit)
    }

    /// A page of sessions that have streams, in the order of their IDs: at most `limit` of those after `after`.
    pub fn sessions(&self, after: Option<SessionId>, limit: usize) -> Vec<SessionInfo> {
        let mut sessions: BTreeMap<SessionId, SessionInfo> = BTreeMap::new();
        for info in self.registry.all().map(|stream| StreamInfo::of(&stream)) {
            if let Some(id) = info.session {
                sessions.entry(id).or_insert(SessionInfo::new(id)).add(&info);
            }
        }
        page(sessions.into_iter(), after, limit)
    }

    /// The sessions that are kept in a store, if [some are](crate::SseResumeLayer::sessions).
    pub fn stored_sessions(&self) -> Option<StoredSessions> {
        let keeper = self.sessions.as_ref()?;
        Some(StoredSessions::new(keeper, &self.registry))
    }

    /// Sends all clients away, for them to resume elsewhere or later.
    ///
    /// Responses to `GET` end now, after a reconnection time with jitter; new ones end at once. Those to other methods,
    /// which cannot be asked for again, run on until they end or `deadline` has passed. Returns once no client is
    /// left. With a [store](crate::SseResumeLayer::store), inner bodies that nobody reads any more are dropped then, so
    /// that other instances go on with their streams at once, and all that was said is written, within 5 seconds. Needs
    /// a Tokio runtime with time: without one, nothing is waited for.
    ///
    /// # Cancel safety
    /// If the future is dropped, clients go on being sent away, but those that run on are not cut off.
    pub async fn drain(&self, deadline: Duration) {
        self.registry.begin_drain();
        self.close_all(|stream| stream.origin.repeatable);
        if time::timeout(deadline, self.registry.all_left()).await.is_none() {
            self.close_all(|_| true);
        }
        if let Some(storage) = &self.registry.storage {
            for stream in self.registry.all() {
                let _ = stream.release_unread();
            }
            // Without the store others take over when the lease has lapsed.
            let _ = storage.hand_over(&self.registry).await;
        }
    }

    fn close_all(&self, mut which: impl FnMut(&Stream) -> bool) {
        for stream in self.registry.all().filter(|stream| which(stream)) {
            stream.close_all(|| stream.drained());
        }
    }

    // What the store has goes a little later, and elsewhere.
    fn purge_stored(&self, what: Purge) {
        if let Some(storage) = &self.registry.storage {
            storage.purge(what, &self.registry);
        }
    }

    /// Forgets one stream: its responses end with an error, and its inner body is dropped. Returns whether there was
    /// one.
    ///
    /// With a [store](crate::SseResumeLayer::store), this and all other purges count what there was here; the store is
    /// purged in the background, again and again until it answers, and other instances end what they have of it when
    /// they next read or write it.
    pub fn purge_stream(&self, id: StreamId) -> bool {
        self.purge_stored(Purge::Stream(persistence::key_of_stream(id)));
        self.purge(|stream| StreamId::of(stream) == id) > 0
    }

    /// Forgets all streams of a session, by the name that its header or cookie has. Returns how many.
    pub fn purge_session(&self, name: impl AsRef<[u8]>) -> usize {
        let session = binding::session_named(name.as_ref(), &self.registry.keys);
        self.purge_stored(Purge::Session(persistence::key_of_fingerprint(session)));
        self.registry.purge_session(session, |_| true).len()
    }

    /// Forgets all streams of a session, by the ID that [`sessions`](Self::sessions) lists. Returns how many.
    pub fn purge_session_by_id(&self, id: SessionId) -> usize {
        self.purge_stored(Purge::Session(persistence::key_of_fingerprint(id.0)));
        self.registry.purge_session(id.0, |_| true).len()
    }

    /// Forgets all streams of an owner, by what names it: the whole `Authorization` header, the cookie's value, or
    /// what the configured closure returned. Returns how many.
    pub fn purge_owner(&self, name: impl AsRef<[u8]>) -> usize {
        let owner = binding::owner_named(name.as_ref(), &self.registry.keys);
        self.purge_stored(Purge::Owner(persistence::key_of_fingerprint(owner)));
        self.purge(|stream| stream.origin.binding.owner == Some(owner))
    }

    /// Forgets all streams. Returns how many.
    pub fn purge_all(&self) -> usize {
        self.purge_stored(Purge::All);
        self.purge(|_| true)
    }

    fn purge(&self, which: impl FnMut(&Stream) -> bool) -> usize {
        self.registry.purge(which)
    }
}

impl fmt::Debug for LayerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
