//! One session, for handlers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::SessionRecord;
use super::keeper::{Keeper, check_size};
use crate::binding;
use crate::operator::SessionId;
use crate::persistence::key_of_fingerprint;
use crate::registry::Registry;
use crate::store::{Error, ErrorKind, Key, SessionStore};

/// A session and its state of small named values. The layer puts the one that a request names into its extensions, if
/// it [keeps sessions](crate::SseResumeLayer::sessions).
///
/// Whether there is such a session, the methods say: a name is only what a client sent. One that belongs to another
/// owner is not there. Names of values have 1 to 128 bytes, values at most 64 KiB; a session holds 64 of them at least.
///
/// ```
/// use axum::Extension;
/// use tower_sse_resume::SessionHandle;
/// use tower_sse_resume::store::Error;
///
/// /// Counts by one, whoever else does at the same time.
/// async fn count(session: SessionHandle) -> Result<u64, Error> {
///     loop {
///         let before = session.get("visits").await?;
///         let text = before.as_deref().map(String::from_utf8_lossy);
///         let visits = text.and_then(|text| text.parse().ok()).unwrap_or(0_u64) + 1;
///         if session.compare_and_set("visits", before, Some(visits.to_string().into())).await? {
///             return Ok(visits);
///         }
///     }
/// }
///
/// async fn visit(Extension(session): Extension<SessionHandle>) -> String {
///     match count(session).await {
///         Ok(visits) => format!("visit {visits}"),
///         Err(error) => error.to_string(),
///     }
/// }
/// # let _ = visit;
/// ```
///
/// # Errors
/// Of all methods: [`NotFound`](ErrorKind::NotFound), if there is no such session, or it has another owner;
/// [`InvalidData`](ErrorKind::InvalidData) for a name of a value that is none; those of the store.
///
/// # Cancel safety
/// A future that is dropped may have changed something, or not. Those that only read leave nothing behind.
#[derive(Clone)]
pub struct SessionHandle {
    keeper: Arc<Keeper>,
    registry: Arc<Registry>,
    name: Arc<str>,
    id: u128,
    owner: Option<u128>,
    /// Whether it is known that the session is there for this owner: it is asked once.
    is_its: Arc<AtomicBool>,
}

impl SessionHandle {
    pub(super) fn new(
        keeper: &Arc<Keeper>,
        registry: &Arc<Registry>,
        name: &str,
        owner: Option<u128>,
    ) -> Self {
        Self {
            keeper: Arc::clone(keeper),
            registry: Arc::clone(registry),
            name: name.into(),
            id: binding::session_named(name.as_bytes(), &registry.keys),
            owner,
            is_its: Arc::default(),
        }
    }

    /// Names the session for operators and in logs: nobody can use it with that.
    pub fn id(&self) -> SessionId {
        SessionId(self.id)
    }

    /// Its name, as the client says it. Mostly a secret: who knows it may use the session, or its owner may.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session's key, if it is there for this owner.
    async fn key(&self) -> Result<Key, Error> {
        if !self.is_its.load(Ordering::Relaxed) {
            self.keeper.find(self.id, self.owner).await?;
            self.is_its.store(true, Ordering::Relaxed);
        }
        Ok(key_of_fingerprint(self.id))
    }

    /// When it was made and last used, its owner and metadata, and how many streams it has here.
    ///
    /// # Errors
    /// As all methods.
    pub async fn info(&self) -> Result<SessionRecord, Error> {
        let session = self.keeper.find(self.id, self.owner).await?;
        let record = SessionRecord::new(session, |id| self.registry.streams_of(id));
        record.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// A value; `None` if there is none of this name.
    ///
    /// # Errors
    /// As all methods.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let name = value_name(name)?;
        self.keeper.store.value(&self.key().await?, &name).await
    }

    /// Sets a value.
    ///
    /// # Errors
    /// As all methods; [`LimitReached`](ErrorKind::LimitReached), if it is too large, or one too many for the store.
    pub async fn set(&self, name: &str, value: impl Into<Bytes>) -> Result<(), Error> {
        let value = value.into();
        self.put(name, Some(value)).await
    }

    /// Removes a value, if there is one of this name.
    ///
    /// # Errors
    /// As all methods.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        self.put(name, None).await
    }

    async fn put(&self, name: &str, value: Option<Bytes>) -> Result<(), Error> {
        let name = value_name(name)?;
        value.as_ref().map_or(Ok(()), check_size)?;
        self.keeper.store.set_value(&self.key().await?, &name, value).await
    }

    /// Sets or removes a value, if it is `expected` (`None`: not there). Returns whether it was. Of several that expect
    /// the same and set something else, one succeeds.
    ///
    /// # Errors
    /// As those of [`set`](Self::set). If the store [cannot be reached](ErrorKind::Unreachable), it may have happened.
    pub async fn compare_and_set(
        &self,
        name: &str,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let name = value_name(name)?;
        value.as_ref().map_or(Ok(()), check_size)?;
        self.keeper.store.compare_and_set(&self.key().await?, &name, expected, value).await
    }

    /// Ends the session: removes it with its state, and purges its streams of this owner. Their responses end with an
    /// error, and their inner bodies are dropped; here at once, whatever the store says, at other instances when they
    /// next look after their sessions, at the latest after an eighth of [`idle`](crate::Sessions::idle) or 5 minutes.
    /// Those that only a [store](crate::SseResumeLayer::store) has stay there for the rest of their age, for this owner.
    ///
    /// Returns whether there was a session.
    ///
    /// # Errors
    /// Those of the store. One that is not there, or has another owner, is none.
    ///
    /// # Cancel safety
    /// If the future is dropped, the session may be there or not, and its streams may go on.
    pub async fn end(&self) -> Result<bool, Error> {
        self.is_its.store(false, Ordering::Relaxed);
        self.keeper.end(self.id, self.owner, &self.registry).await
    }
}

fn value_name(name: &str) -> Result<Key, Error> {
    Key::new(Bytes::copy_from_slice(name.as_bytes()))
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionHandle").field(&self.id()).finish()
    }
}
