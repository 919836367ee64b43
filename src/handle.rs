//! Handles: for handlers, on their own stream; for operators, on all of the layer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::binding;
use crate::registry::Registry;
use crate::stream::{Close, Stream};

/// Names a stream, for logs and look-ups of operators. It is no event ID: nobody can resume with it, and no event ID can
/// be made of it. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u128);

impl StreamId {
    pub(crate) fn of(stream: &Stream) -> Self {
        Self(stream.registry.keys.fingerprint(STREAM, [&stream.token.as_bytes()[..]]))
    }
}

/// The domain of the fingerprints that stream IDs are.
const STREAM: u8 = 4;

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// A handler's own stream. The layer puts it into the extensions of each request that it may wrap.
///
/// It can be used before the response exists: what is asked then is done once it does. It keeps nothing alive; on a
/// stream that is forgotten it does nothing.
///
/// ```
/// use std::time::Duration;
/// use axum::Extension;
/// use tower_sse_resume::StreamHandle;
///
/// async fn events(Extension(stream): Extension<StreamHandle>) {
///     // A job that takes long: the client may go, and ask again in 10 seconds.
///     stream.close_connection(Duration::from_secs(10));
/// }
/// # let _ = events;
/// ```
#[derive(Clone)]
pub struct StreamHandle(Arc<Mutex<Bound>>);

/// What a handle knows of its stream.
enum Bound {
    /// The handler has not answered yet.
    Not {
        opted_out: bool,
        close: Option<Duration>,
    },
    To(Weak<Stream>),
}

impl StreamHandle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Bound::Not { opted_out: false, close: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self) -> Option<Arc<Stream>> {
        match &*self.lock() {
            Bound::Not { .. } => None,
            Bound::To(stream) => stream.upgrade(),
        }
    }

    pub(crate) fn bind(&self, stream: &Arc<Stream>) {
        let before = std::mem::replace(&mut *self.lock(), Bound::To(Arc::downgrade(stream)));
        if let Bound::Not { close: Some(retry), .. } = before {
            self.close_connection(retry);
        }
    }

    pub(crate) fn is_opted_out(&self) -> bool {
        matches!(*self.lock(), Bound::Not { opted_out: true, .. })
    }

    /// Ends the responses of this stream cleanly, and lets clients come back after `retry`.
    ///
    /// What the layer has read of the inner body by now is sent before. The inner body is not touched: it is read on
    /// for the linger, and clients that come back go on where they were. `retry` is sent in milliseconds.
    pub fn close_connection(&self, retry: Duration) {
        let stream = match &mut *self.lock() {
            Bound::Not { close, .. } => {
                *close = Some(retry);
                return;
            }
            Bound::To(stream) => stream.upgrade(),
        };
        if let Some(stream) = stream {
            let milliseconds = retry.as_millis() as u64;
            stream.close_all(|| Close::Clean(Some(milliseconds)));
        }
    }

    /// Lets the response pass as without the layer: nothing of it is recorded.
    ///
    /// Returns whether that was possible: only until the handler has answered.
    pub fn do_not_record(&self) -> bool {
        match &mut *self.lock() {
            Bound::Not { opted_out, .. } => {
                *opted_out = true;
                true
            }
            Bound::To(_) => false,
        }
    }

    /// Which stream this is; `None` until the handler has answered, and once the stream is forgotten.
    pub fn id(&self) -> Option<StreamId> {
        self.stream().map(|stream| StreamId::of(&stream))
    }

    /// How many clients are there; 0 until the handler has answered.
    pub fn clients(&self) -> usize {
        self.stream().map_or(0, |stream| stream.readers())
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamHandle").field(&self.id()).finish()
    }
}

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
}

/// Counts of a layer at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Streams that can be resumed.
    pub streams: usize,
    /// Sessions that have such streams.
    pub sessions: usize,
    /// Responses that are being sent.
    pub clients: usize,
    /// Inner bodies that are read on without a client.
    pub lingering: usize,
    /// Memory of all streams, in bytes.
    pub bytes: usize,
}

impl LayerHandle {
    /// Counts and bytes, as they are now. Goes through all streams: for each scrape of metrics, not for each request.
    pub fn stats(&self) -> Stats {
        let (streams, sessions) = self.registry.counts();
        Stats {
            streams,
            sessions,
            clients: self.registry.all().iter().map(|stream| stream.readers()).sum(),
            lingering: self.registry.lingering(),
            bytes: self.registry.bytes(),
        }
    }

    /// Sends all clients away, for them to resume elsewhere or later.
    ///
    /// Responses to `GET` end now, after a reconnection time with jitter; new ones end at once. Those to other methods,
    /// which cannot be asked for again, run on until they end or `deadline` has passed. Returns once no client is
    /// left. Needs a Tokio runtime with time.
    ///
    /// # Cancel safety
    /// If the future is dropped, clients go on being sent away, but those that run on are not cut off.
    pub async fn drain(&self, deadline: Duration) {
        self.registry.begin_drain();
        self.close_all(|stream| stream.origin.repeatable);
        if tokio::time::timeout(deadline, self.registry.all_left()).await.is_err() {
            self.close_all(|_| true);
        }
    }

    fn close_all(&self, mut which: impl FnMut(&Stream) -> bool) {
        for stream in self.registry.all().into_iter().filter(|stream| which(stream)) {
            stream.close_all(|| stream.drained());
        }
    }

    /// Forgets one stream: its responses end with an error, and its inner body is dropped. Returns whether there was
    /// one.
    pub fn purge_stream(&self, id: StreamId) -> bool {
        self.purge(|stream| StreamId::of(stream) == id) > 0
    }

    /// Forgets all streams of a session, by the name that its header or cookie has. Returns how many.
    pub fn purge_session(&self, name: impl AsRef<[u8]>) -> usize {
        let session = binding::session_named(name.as_ref(), &self.registry.keys);
        self.purge(|stream| stream.origin.binding.session == Some(session))
    }

    /// Forgets all streams of an owner, by what names it: the whole `Authorization` header, the cookie's value, or
    /// what the configured closure returned. Returns how many.
    pub fn purge_owner(&self, name: impl AsRef<[u8]>) -> usize {
        let owner = binding::owner_named(name.as_ref(), &self.registry.keys);
        self.purge(|stream| stream.origin.binding.owner == Some(owner))
    }

    /// Forgets all streams. Returns how many.
    pub fn purge_all(&self) -> usize {
        self.purge(|_| true)
    }

    fn purge(&self, mut which: impl FnMut(&Stream) -> bool) -> usize {
        let purged: Vec<_> =
            self.registry.all().into_iter().filter(|stream| which(stream)).collect();
        for stream in &purged {
            self.registry.remove(stream);
            stream.purge();
        }
        purged.len()
    }
}

impl fmt::Debug for LayerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerHandle").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
