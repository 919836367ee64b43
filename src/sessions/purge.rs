//! Purges the streams of sessions that are gone: here, and in the store of streams if there is one.

use std::collections::HashSet;
use std::sync::Arc;

use crate::handle::StreamId;
use crate::persistence::{key_of_fingerprint, key_of_stream};
use crate::registry::Registry;
use crate::store::Purge;
use crate::stream::Stream;

/// Purges those streams of a session that are bound to one of these owners. Of those that are only in the store, nobody
/// here knows the owner: they stay there for the rest of their age.
pub(super) fn purge_owned(
    registry: &Arc<Registry>,
    session: u128,
    is_owner: impl Fn(Option<u128>) -> bool,
) {
    let is_its = |stream: &Stream| is_owner(stream.origin.binding.owner);
    let purged = registry.purge_session(session, is_its);
    if let Some(storage) = &registry.storage {
        for stream in purged {
            storage.purge(Purge::Stream(key_of_stream(StreamId::of(&stream))), registry);
        }
    }
}

/// Purges all streams of these sessions, whoever owns them.
pub(super) fn purge_all(registry: &Arc<Registry>, sessions: &HashSet<u128>) {
    for session in sessions {
        registry.purge_session(*session, |_| true);
    }
    if let Some(storage) = &registry.storage {
        for session in sessions {
            storage.purge(Purge::Session(key_of_fingerprint(*session)), registry);
        }
    }
}
