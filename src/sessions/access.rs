//! The sessions of an owner, for handlers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::handle::SessionHandle;
use super::keeper::Keeper;
use super::{OwnerId, uuid};
use crate::binding;
use crate::registry::Registry;
use crate::store::Error;

/// Makes and opens sessions of a request's owner. The layer puts it into the extensions of each request, if it
/// [keeps sessions](crate::SseResumeLayer::sessions).
///
/// ```
/// use axum::Extension;
/// use axum::http::StatusCode;
/// use tower_sse_resume::SessionAccess;
///
/// async fn log_in(Extension(sessions): Extension<SessionAccess>) -> Result<String, StatusCode> {
///     // … finds out that it is Ada, then:
///     let session = sessions.owned_by("ada").create("from the login page").await;
///     let session = session.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
///     // For the header or the cookie that names the session from now on.
///     Ok(session.name().to_owned())
/// }
/// # let _ = log_in;
/// ```
#[derive(Clone)]
pub struct SessionAccess {
    keeper: Arc<Keeper>,
    registry: Arc<Registry>,
    owner: Option<u128>,
}

impl SessionAccess {
    pub(super) fn new(keeper: &Arc<Keeper>, registry: &Arc<Registry>, owner: Option<u128>) -> Self {
        Self { keeper: Arc::clone(keeper), registry: Arc::clone(registry), owner }
    }

    /// The same for another owner, by what it will be named by: the whole `Authorization` header, the cookie's value, or
    /// what the configured closure returns. For who was unknown until now.
    #[must_use]
    pub fn owned_by(&self, owner: impl AsRef<[u8]>) -> Self {
        let owner = binding::owner_named(owner.as_ref(), &self.registry.keys);
        Self { owner: Some(owner), ..self.clone() }
    }

    /// Makes a session under a new name, a UUID of version 7. It belongs to this owner; without one, to nobody, and
    /// whoever knows its name may use it. Metadata has at most 64 KiB.
    ///
    /// # Errors
    /// [`LimitReached`](crate::store::ErrorKind::LimitReached) at the [cap](crate::Sessions::most), or if the metadata
    /// are too large; those of the store.
    ///
    /// # Cancel safety
    /// If the future is dropped, there may be a session that nobody knows the name of, until it expires.
    pub async fn create(&self, metadata: impl Into<Bytes>) -> Result<SessionHandle, Error> {
        let metadata = metadata.into();
        self.create_named(&uuid::new()?, metadata).await
    }

    /// The same under the name that something else has given it. A name that can be guessed is no secret.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); [`Refused`](crate::store::ErrorKind::Refused), if there is one of this name,
    /// whoever owns it.
    ///
    /// # Cancel safety
    /// If the future is dropped, there may be the session, or not.
    pub async fn create_named(
        &self,
        name: &str,
        metadata: impl Into<Bytes>,
    ) -> Result<SessionHandle, Error> {
        let metadata = metadata.into();
        let session = self.open(name);
        self.keeper.create(session.id().0, self.owner, metadata, &self.registry).await?;
        Ok(session)
    }

    /// The session of this name. Whether there is one, its methods say.
    pub fn open(&self, name: &str) -> SessionHandle {
        SessionHandle::new(&self.keeper, &self.registry, name, self.owner)
    }

    /// Whose sessions these are.
    pub fn owner(&self) -> Option<OwnerId> {
        self.owner.map(OwnerId)
    }
}

impl fmt::Debug for SessionAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionAccess").field("owner", &self.owner()).finish_non_exhaustive()
    }
}
