//! What is known of a session.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::operator::SessionId;
use crate::persistence::key_of_fingerprint;
use crate::store::{self, Key};

/// Names an owner of sessions, without what it is named by: a fingerprint. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub(super) u128);

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({self})")
    }
}

/// A session that is kept in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRecord {
    /// Its ID.
    pub id: SessionId,
    /// Its owner, if it has one.
    pub owner: Option<OwnerId>,
    /// What was given when it was made.
    pub metadata: Bytes,
    /// When it was made, by this machine's clock.
    pub created: SystemTime,
    /// When it was last used, by this machine's clock; it may be up to an eighth of [`idle`](crate::Sessions::idle)
    /// later than this says.
    pub last_active: SystemTime,
    /// How many streams it has here.
    pub streams: usize,
}

impl SessionRecord {
    /// `None` for one that this layer cannot have made.
    pub(super) fn new(
        session: store::Session,
        streams: impl FnOnce(u128) -> usize,
    ) -> Option<Self> {
        let id = fingerprint_of(&session.id)?;
        let owner = match session.owner {
            None => None,
            Some(owner) => Some(OwnerId(fingerprint_of(&owner)?)),
        };
        let now = SystemTime::now();
        let ago = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Self {
            id: SessionId(id),
            owner,
            metadata: session.metadata,
            created: ago(session.age),
            last_active: ago(session.idle_for),
            streams: streams(id),
        })
    }
}

/// The fingerprint that a key is, if a layer has made it.
pub(super) fn fingerprint_of(key: &Key) -> Option<u128> {
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    let fingerprint = u128::from_str_radix(text, 16).ok()?;
    (key_of_fingerprint(fingerprint) == *key).then_some(fingerprint)
}
