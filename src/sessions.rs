//! Sessions in a store: for handlers those of the request's owner, for operators all.

mod access;
mod handle;
mod keeper;
mod purge;
mod record;
mod seen;
mod stored;
mod sweeper;
mod uuid;

use std::fmt;
use std::time::Duration;

use crate::jitter::FOR_EVER;
use crate::store::{AnySessionStore, SessionStore};

pub use access::SessionAccess;
pub use handle::SessionHandle;
pub(crate) use keeper::Keeper;
pub use record::{OwnerId, SessionRecord};
pub use stored::StoredSessions;

/// Sessions that are kept in a store, with a small state of named values each; for
/// [`SseResumeLayer::sessions`](crate::SseResumeLayer::sessions).
///
/// Each request then has a [`SessionAccess`] in its extensions, which makes sessions, and if it names one, a
/// [`SessionHandle`]. Operators get [`LayerHandle::stored_sessions`](crate::LayerHandle::stored_sessions). The streams of
/// a session that ends or expires are purged.
///
/// The store is told neither names of sessions nor of owners, only keyed hashes of them. **For a store that outlives the
/// process, or that several share, set [`secret`](crate::SseResumeLayer::secret)**, or keep streams in
/// [a store](crate::SseResumeLayer::store), which has one: with another key no session is known again.
///
/// A session is used by each request that names it, and by each client that reads one of its streams. That is noted in
/// the background, which needs a Tokio runtime with time. No answer waits for the store, and none fails with it, unless
/// a handler asks for something; but while the store cannot be reached for longer than [`idle`](Self::idle), sessions
/// expire.
///
/// ```
/// use std::time::Duration;
/// use tower_sse_resume::store::MemoryStore;
/// use tower_sse_resume::{Sessions, SseResumeLayer};
///
/// let sessions = Sessions::new(MemoryStore::new()).idle(Duration::from_secs(3600)).most(10_000);
/// let layer = SseResumeLayer::new().session_cookie("sid").sessions(sessions);
/// ```
#[derive(Clone)]
pub struct Sessions {
    store: AnySessionStore,
    idle: Duration,
    most: u64,
}

impl Sessions {
    /// Sessions in this store, with the defaults that each method names.
    pub fn new(store: impl SessionStore + 'static) -> Self {
        let idle = Duration::from_secs(30 * 60);
        Self { store: AnySessionStore::new(store), idle, most: 65_536 }
    }

    /// After how long a session that nobody uses expires, and up to an eighth of that later. Default: 30 minutes.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: idle.min(FOR_EVER), ..self }
    }

    /// How many sessions there may be in the store. Default: 65,536. At the cap, no session can be made.
    #[must_use]
    pub fn most(self, sessions: u64) -> Self {
        Self { most: sessions, ..self }
    }

    /// What a layer keeps them with.
    pub(crate) fn keeper(self) -> Keeper {
        Keeper::new(self.store, self.idle, self.most)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("idle", &self.idle)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
