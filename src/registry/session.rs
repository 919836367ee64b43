//! The sessions that have streams. One name is as many sessions as there are owners that use it.

use std::sync::Arc;

use super::account::Among;
use super::streams::{Place, SESSION_BYTES, Streams};
use crate::stream::{EvictionClass, Stream};

/// A session's name and its owner, as fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionKey {
    session: u128,
    owner: Option<u128>,
}

/// The streams of one session.
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) streams: usize,
    /// How many of them are read.
    read: usize,
    account: u64,
    /// Its place among those in which nobody reads.
    idle_since: Option<u64>,
}

impl SessionKey {
    pub(super) fn of(stream: &Stream) -> Option<Self> {
        let binding = &stream.origin.binding;
        binding.session.map(|session| Self { session, owner: binding.owner })
    }
}

impl Streams {
    /// The sessions of this name.
    pub(super) fn named(&self, session: u128) -> impl Iterator<Item = (Option<u128>, &Session)> {
        let first = SessionKey { session, owner: None };
        let of_name = self.sessions.range(first..);
        let of_name = of_name.take_while(move |(key, _)| key.session == session);
        of_name.map(|(key, session)| (key.owner, session))
    }

    /// All streams of a session.
    pub(super) fn of_session(&self, session: &Session) -> impl Iterator<Item = &Arc<Stream>> {
        let first = Place::first(session.number, EvictionClass::Finished);
        let end = Place::first(session.number + 1, EvictionClass::Finished);
        self.by_session.range(first..end).map(|(_, stream)| stream)
    }

    /// One more stream of a session. Returns what that takes if it is the first one.
    pub(super) fn begin_session(&mut self, key: SessionKey, account: u64) -> usize {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.streams += 1;
            return 0;
        }
        let is_new = self.named(key.session).next().is_none();
        self.session_names += usize::from(is_new);
        let number = self.number();
        let session = Session { number, streams: 1, read: 0, account, idle_since: None };
        self.sessions.insert(key, session);
        SESSION_BYTES
    }

    /// One stream less. Returns what is given back if it was the last one.
    pub(super) fn end_session(&mut self, key: SessionKey) -> usize {
        let Some(session) = self.sessions.get_mut(&key) else { return 0 };
        session.streams -= 1;
        if session.streams > 0 {
            return 0;
        }
        self.wake_session(key);
        self.sessions.remove(&key);
        let is_over = self.named(key.session).next().is_none();
        self.session_names -= usize::from(is_over);
        SESSION_BYTES
    }

    pub(super) fn link_session(
        &mut self,
        key: SessionKey,
        stream: &Arc<Stream>,
        class: EvictionClass,
        since: u64,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        self.by_session.insert(Place { group: session.number, class, since }, Arc::clone(stream));
        if class == EvictionClass::Read {
            session.read += 1;
            self.wake_session(key);
        } else {
            self.rest_session(key);
        }
    }

    pub(super) fn unlink_session(&mut self, key: SessionKey, class: EvictionClass, since: u64) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        self.by_session.remove(&Place { group: session.number, class, since });
        if class == EvictionClass::Read {
            session.read -= 1;
            self.rest_session(key);
        }
    }

    /// Somebody reads in a session, or it is over.
    fn wake_session(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let Some(since) = session.idle_since.take() else { return };
        self.idle_sessions.remove(&(session.account, since));
        if let Some(owner) = self.accounts.get_mut(&key.owner) {
            owner.idle_sessions -= 1;
            if owner.idle_sessions == 0 {
                self.ranking.remove(Among::Idle, &owner.account);
            }
        }
    }

    /// Perhaps nobody reads in a session any more.
    fn rest_session(&mut self, key: SessionKey) {
        let since = self.number();
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.read > 0 || session.idle_since.is_some() {
            return;
        }
        session.idle_since = Some(since);
        self.idle_sessions.insert((session.account, since), key);
        if let Some(owner) = self.accounts.get_mut(&key.owner) {
            owner.idle_sessions += 1;
            self.ranking.add(Among::Idle, &owner.account);
        }
    }
}
