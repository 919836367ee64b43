//! What a layer keeps its sessions with: it asks the store, notes uses, and purges the streams of what is gone.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::access::SessionAccess;
use super::purge::{purge_all, purge_owned};
use super::record::fingerprint_of;
use super::seen::{Seen, Whose};
use crate::binding;
use crate::config::Config;
use crate::persistence::key_of_fingerprint;
use crate::registry::{Registry, Shared};
use crate::store::{AnySessionStore, Error, ErrorKind, NewSession, Session, SessionStore};
use crate::time;

/// Into how many parts the idle time is cut: a use is noted once in each.
const PARTS: u32 = 8;
/// How many uses are noted at the same time. Where the store is slower, they are noted by later requests.
const MOST_AT_ONCE: usize = 64;
/// How long the store may take for what nobody waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest value, and the largest metadata, that every store can hold.
const LARGEST: usize = 64 * 1024;

/// See the [module](self).
pub(crate) struct Keeper {
    pub(super) store: AnySessionStore,
    idle: Duration,
    most: u64,
    pub(super) seen: Seen,
    noting: Arc<Semaphore>,
    pub(super) sweeper: Mutex<Option<AbortHandle>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop_sweeper();
    }
}

impl Keeper {
    pub(super) fn new(store: AnySessionStore, idle: Duration, most: u64) -> Self {
        let noting = Arc::new(Semaphore::new(MOST_AT_ONCE));
        Self { store, idle, most, seen: Seen::default(), noting, sweeper: Mutex::default() }
    }

    /// How often a use is noted at the most.
    pub(super) fn part(&self) -> Duration {
        self.idle / PARTS
    }

    /// Gives a request what handlers need, and notes that the session which it names is used.
    pub(crate) fn introduce<B>(
        self: &Arc<Self>,
        request: Request<B>,
        config: &Config,
        layer: &Arc<Shared>,
    ) -> Request<B> {
        let (mut parts, body) = request.into_parts();
        let registry = &layer.registry;
        let owner = binding::owner(&parts, config, &registry.keys);
        let access = SessionAccess::new(self, registry, owner);
        let name = binding::session_name(&parts.headers, config);
        if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) {
            let session = access.open(name);
            self.note_use(session.id().0, owner);
            parts.extensions.insert(session);
        }
        parts.extensions.insert(access);
        self.ensure_sweeper(layer);
        Request::from_parts(parts, body)
    }

    /// Notes in the background that a session is used by an owner.
    fn note_use(self: &Arc<Self>, session: u128, owner: Option<u128>) {
        let Some(runtime) = time::runtime() else { return };
        let Ok(permit) = Arc::clone(&self.noting).try_acquire_owned() else { return };
        if !self.seen.is_due(session, owner, self.part()) {
            return;
        }
        let keeper = Arc::clone(self);
        runtime.spawn(async move {
            let _permit = permit;
            // If it cannot be noted now, a later use is.
            let _ = within(keeper.touch(session, owner)).await;
        });
    }

    async fn touch(&self, session: u128, owner: Option<u128>) -> Result<(), Error> {
        self.find(session, owner).await?;
        self.store.touch(&key_of_fingerprint(session)).await
    }

    /// A session, if it is there for requests of this owner: nobody else's is.
    pub(super) async fn find(&self, id: u128, owner: Option<u128>) -> Result<Session, Error> {
        // One error for both, so that nobody can tell them apart.
        let not_found = || Error::from(ErrorKind::NotFound);
        let session = match self.store.session(&key_of_fingerprint(id)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(not_found()),
            session => session?,
        };
        let whose = Whose::of(&session);
        let is_its = whose.is_for(owner);
        self.seen.know(id, whose);
        if is_its { Ok(session) } else { Err(not_found()) }
    }

    /// Makes a session. At the cap, expired ones make room.
    pub(super) async fn create(
        &self,
        id: u128,
        owner: Option<u128>,
        metadata: Bytes,
        registry: &Arc<Registry>,
    ) -> Result<(), Error> {
        check_size(&metadata)?;
        let key = key_of_fingerprint(id);
        // What was used just before it is noted again is kept for the whole time all the same.
        let idle = self.idle + self.part();
        let new = NewSession { owner: owner.map(key_of_fingerprint), metadata, idle };
        let create = || self.store.create_session(&key, &new, self.most);
        match create().await {
            Err(error) if error.kind() == ErrorKind::LimitReached => {
                if self.expire(registry).await? == 0 {
                    return Err(error);
                }
                create().await?;
            }
            created => created?,
        }
        self.seen.know(id, Whose::new(owner));
        Ok(())
    }

    /// Ends a session that is there for this owner; its streams of this owner are purged in any case. Returns whether
    /// there was one.
    pub(crate) async fn end(
        &self,
        id: u128,
        owner: Option<u128>,
        registry: &Arc<Registry>,
    ) -> Result<bool, Error> {
        let ended = match self.find(id, owner).await {
            Ok(_) => self.delete(id).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        purge_owned(registry, id, |other| other == owner);
        ended
    }

    /// The same in the background.
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "only presets want it"))]
    pub(crate) fn end_later(
        self: &Arc<Self>,
        id: u128,
        owner: Option<u128>,
        registry: &Arc<Registry>,
    ) {
        let Some(runtime) = time::runtime() else { return };
        let (keeper, registry) = (Arc::clone(self), Arc::clone(registry));
        runtime.spawn(async move { within(keeper.end(id, owner, &registry)).await });
    }

    /// Removes a session from the store. Its streams are left to the caller.
    pub(super) async fn delete(&self, id: u128) -> Result<bool, Error> {
        let deleted = self.store.delete(&key_of_fingerprint(id)).await?;
        self.seen.forget(id);
        Ok(deleted)
    }

    /// Removes expired sessions, and purges their streams here. Returns how many were removed.
    pub(super) async fn expire(&self, registry: &Arc<Registry>) -> Result<usize, Error> {
        let expired = self.store.expire().await?;
        let ids: HashSet<u128> = expired.iter().filter_map(fingerprint_of).collect();
        purge_all(registry, &ids);
        Ok(expired.len())
    }
}

/// Lets the store take no longer than somebody may wait who is not there.
pub(super) async fn within<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    time::timeout(PATIENCE, asked).await.unwrap_or(Err(ErrorKind::Unreachable.into()))
}

/// Whether every store can hold this.
pub(super) fn check_size(value: &Bytes) -> Result<(), Error> {
    if value.len() <= LARGEST {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::LimitReached, "a value has at most 64 KiB"))
    }
}
