//! What a store of sessions has to do.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::{Error, Key};

/// A session to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Whose it is.
    pub owner: Option<Key>,
    /// What the caller wants to know of it, as it encoded it: at most 64 KiB.
    pub metadata: Bytes,
    /// It expires when it is not touched for so long.
    pub idle: Duration,
}

/// A session, as a store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: Key,
    /// Whose it is.
    pub owner: Option<Key>,
    /// As it was created with.
    pub metadata: Bytes,
    /// As it was created with.
    pub idle: Duration,
    /// How long ago it was created, by the store's clock.
    pub age: Duration,
    /// How long ago it was last touched, or created.
    pub idle_for: Duration,
}

/// Keeps sessions, each with a small state of named values. A second trait beside [`Store`](super::Store), and optional.
///
/// A session that was not touched for longer than it says is *expired*: from then on all methods but
/// [`expire`](Self::expire), [`count`](Self::count) and [`list`](Self::list) take it as one that is not there; these
/// three may see it until it is removed. Its streams are not the concern of this trait: a session is the name that
/// [`Purge::Session`](super::Purge) takes.
///
/// # Atomicity
/// Each method is atomic for one session. A crash in the middle leaves the session with or without it. What is said of
/// cancelled futures in [`Store`](super::Store) applies here, too.
pub trait SessionStore: Send + Sync {
    /// Creates a session without values, if there are fewer than `most` in the store.
    ///
    /// **Retry:** refused, if the first call has happened.
    ///
    /// # Errors
    /// `Refused` if there is one of this name; `LimitReached` if there are `most` or more already. Under concurrency,
    /// the cap holds exactly, if the store can count in the same step; otherwise it says by how much it may be passed.
    fn create_session(
        &self,
        id: &Key,
        new: &NewSession,
        most: u64,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// A session.
    ///
    /// # Errors
    /// `NotFound`.
    fn session(&self, id: &Key) -> impl Future<Output = Result<Session, Error>> + Send;

    /// Notes that a session is used now.
    ///
    /// **Retry:** does the same again.
    ///
    /// # Errors
    /// `NotFound`.
    fn touch(&self, id: &Key) -> impl Future<Output = Result<(), Error>> + Send;

    /// A value of a session's state.
    ///
    /// # Errors
    /// `NotFound`, if there is no such session. A value that is not there is `None`.
    fn value(
        &self,
        id: &Key,
        name: &Key,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Sets a value (at most 64 KiB), or removes it. A session holds 64 values at least.
    ///
    /// **Retry:** does the same again, and undoes what others did between.
    ///
    /// # Errors
    /// `NotFound`; `LimitReached`, if the store cannot hold this value.
    fn set_value(
        &self,
        id: &Key,
        name: &Key,
        value: Option<Bytes>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sets or removes a value, if it is `expected` (`None`: not there). Says whether it was. Of several that expect the
    /// same value and set others, one succeeds.
    ///
    /// **Retry:** `false`, if the first call has happened; then [`value`](Self::value) has the new value, unless it was
    /// changed again. Callers who must know put something of their own into the value.
    ///
    /// # Errors
    /// As of [`set_value`](Self::set_value).
    fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// A page of sessions, in the order of their names: at most `limit` of those after `after`. Sessions that come and go
    /// between two pages may be in them or not; all others are in one of them, once.
    fn list(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Session>, Error>> + Send;

    /// How many sessions there are.
    fn count(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Removes expired sessions with their state; returns their names, so that their streams can be purged. A store that
    /// removes them by itself may return none.
    ///
    /// **Retry:** removes and returns the rest. The names that a lost answer had are lost.
    fn expire(&self) -> impl Future<Output = Result<Vec<Key>, Error>> + Send;

    /// Removes a session with its state; says whether there was one.
    ///
    /// **Retry:** `false`, if the first call has happened.
    fn delete(&self, id: &Key) -> impl Future<Output = Result<bool, Error>> + Send;
}
