//! What a handler can do about its own stream.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::resume::event_id::Token;
use crate::resume::keys::Keys;
use crate::stream::{Close, Stream};

/// Names a stream, for logs and look-ups of operators. It is no event ID: nobody can resume with it, and no event ID can
/// be made of it. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u128);

impl StreamId {
    pub(crate) fn of(stream: &Stream) -> Self {
        Self::named(&stream.token, &stream.registry.keys)
    }

    pub(crate) fn named(token: &Token, keys: &Keys) -> Self {
        Self(keys.fingerprint(STREAM, [&token.as_bytes()[..]]))
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

    /// Lets the response pass as without the layer: nothing of it is recorded. Where its client has to be told of a gap,
    /// the signal goes before it.
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
