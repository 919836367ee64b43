//! All sessions of a store, for operators.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::purge::purge_all;
use super::{Keeper, SessionRecord};
use crate::binding;
use crate::operator::SessionId;
use crate::persistence::key_of_fingerprint;
use crate::registry::Registry;
use crate::store::{Error, ErrorKind, SessionStore};

/// An operator's view of the sessions that a layer keeps in a store, whoever owns them; see
/// [`LayerHandle::stored_sessions`](crate::LayerHandle::stored_sessions).
///
/// ```
/// use tower_sse_resume::store::{Error, MemoryStore};
/// use tower_sse_resume::{Sessions, SseResumeLayer};
///
/// # async fn operate() -> Result<(), Error> {
/// let layer = SseResumeLayer::new().sessions(Sessions::new(MemoryStore::new()));
/// let sessions = layer.handle().stored_sessions().expect("they were configured");
/// println!("{} sessions", sessions.count().await?);
/// for session in sessions.page(None, 100).await? {
///     println!("{} since {:?}", session.id, session.created);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Of all methods: those of the store.
#[derive(Clone)]
pub struct StoredSessions {
    keeper: Arc<Keeper>,
    registry: Arc<Registry>,
}

impl StoredSessions {
    pub(crate) fn new(keeper: &Arc<Keeper>, registry: &Arc<Registry>) -> Self {
        Self { keeper: Arc::clone(keeper), registry: Arc::clone(registry) }
    }

    /// The ID of the session that has this name, if there is one.
    pub fn id_of(&self, name: &str) -> SessionId {
        SessionId(binding::session_named(name.as_bytes(), &self.registry.keys))
    }

    /// A session, if there is one of this ID.
    ///
    /// # Errors
    /// As all methods.
    pub async fn get(&self, id: SessionId) -> Result<Option<SessionRecord>, Error> {
        match self.keeper.store.session(&key_of_fingerprint(id.0)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            session => Ok(self.record(session?)),
        }
    }

    /// A page of sessions, in the order of their IDs: at most `limit` of those after `after`. There are no more if it has
    /// fewer. Expired ones are in it until they are removed.
    ///
    /// # Errors
    /// As all methods.
    pub async fn page(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, Error> {
        let mut page = Vec::new();
        let mut after = after.map(|id| key_of_fingerprint(id.0));
        while page.len() < limit {
            let sessions = self.keeper.store.list(after.as_ref(), limit - page.len()).await?;
            let Some(last) = sessions.last() else { break };
            after = Some(last.id.clone());
            // What others keep in the same store is skipped.
            page.extend(sessions.into_iter().filter_map(|session| self.record(session)));
        }
        Ok(page)
    }

    fn record(&self, session: crate::store::Session) -> Option<SessionRecord> {
        SessionRecord::new(session, |id| self.registry.streams_of(id))
    }

    /// How many sessions there are. Expired ones count until they are removed.
    ///
    /// # Errors
    /// As all methods.
    pub async fn count(&self) -> Result<u64, Error> {
        self.keeper.store.count().await
    }

    /// Removes expired sessions, and purges their streams here. Returns how many were removed; stores that remove them
    /// by themselves may say 0. The layer does it by itself at least each 5 minutes once it had a request.
    ///
    /// # Errors
    /// As all methods.
    ///
    /// # Cancel safety
    /// If the future is dropped, streams of sessions that were removed may go on, at the longest until the layer next
    /// looks after its sessions.
    pub async fn expire(&self) -> Result<usize, Error> {
        self.keeper.expire(&self.registry).await
    }

    /// Removes a session, and purges its streams here, whoever owns them. Returns whether there was one.
    ///
    /// # Errors
    /// As all methods. The streams are purged all the same.
    ///
    /// # Cancel safety
    /// As that of [`expire`](Self::expire).
    pub async fn delete(&self, id: SessionId) -> Result<bool, Error> {
        let deleted = self.keeper.delete(id.0).await;
        purge_all(&self.registry, &HashSet::from([id.0]));
        deleted
    }
}

impl fmt::Debug for StoredSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSessions").finish_non_exhaustive()
    }
}
