//! What this instance knows of sessions without asking the store: when they were used, and which there are.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::persistence::key_of_fingerprint;
use crate::store::{Key, Session};

/// How many uses are remembered. Beyond that all are forgotten: then uses are noted again that were noted already.
const MOST: usize = 65_536;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Seen(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    /// When it was last noted that a session was used by an owner.
    used: HashMap<(u128, Option<u128>), Instant>,
    /// The sessions that were in the store when it was last asked, with their owners.
    known: HashMap<u128, Whose>,
}

/// Whose a session is: an owner's, or nobody's.
pub(super) struct Whose(Option<Key>);

impl Whose {
    pub(super) fn new(owner: Option<u128>) -> Self {
        Self(owner.map(key_of_fingerprint))
    }

    pub(super) fn of(session: &Session) -> Self {
        Self(session.owner.clone())
    }

    /// Whether requests of this owner may have it: an owner's is for nobody else, nobody's is for all.
    pub(super) fn is_for(&self, owner: Option<u128>) -> bool {
        self.0.is_none() || self.0 == owner.map(key_of_fingerprint)
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a use is to be noted: the last one was at least `part` ago. If so, this one counts as noted.
    pub(super) fn is_due(&self, session: u128, owner: Option<u128>, part: Duration) -> bool {
        let now = Instant::now();
        let Inside { used, .. } = &mut *self.lock();
        let last = used.get(&(session, owner));
        if last.is_some_and(|last| now.saturating_duration_since(*last) < part) {
            return false;
        }
        if used.len() >= MOST {
            used.clear();
        }
        used.insert((session, owner), now);
        true
    }

    /// The session is in the store.
    pub(super) fn know(&self, session: u128, whose: Whose) {
        self.lock().known.insert(session, whose);
    }

    /// The session is not in the store any more. Returns whose it was, if it was known to be there.
    pub(super) fn forget(&self, session: u128) -> Option<Whose> {
        self.lock().known.remove(&session)
    }

    /// Forgets uses that are `part` old, and sessions that have neither of these nor streams here.
    pub(super) fn prune(&self, part: Duration, has_streams: impl Fn(u128) -> bool) {
        let now = Instant::now();
        let Inside { used, known } = &mut *self.lock();
        used.retain(|_, last| now.saturating_duration_since(*last) < part);
        let used: HashSet<u128> = used.keys().map(|(session, _)| *session).collect();
        known.retain(|session, _| used.contains(session) || has_streams(*session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_use_is_noted_once_for_each_part_of_the_idle_time_and_each_owner() {
        let seen = Seen::default();
        assert!(seen.is_due(1, None, PART));
        assert!(!seen.is_due(1, None, PART));
        assert!(seen.is_due(1, Some(7), PART) && seen.is_due(2, None, PART));
        tokio::time::advance(PART).await;
        assert!(seen.is_due(1, None, PART));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_neither_used_nor_has_streams_is_forgotten() {
        let seen = Seen::default();
        for session in [1, 2, 3] {
            seen.know(session, Whose(None));
        }
        assert!(seen.is_due(1, Some(7), PART));
        seen.prune(PART, |session| session == 2);
        assert!(seen.forget(1).is_some() && seen.forget(2).is_some());
        assert!(seen.forget(3).is_none());
    }

    #[test]
    fn no_more_uses_are_remembered_than_there_is_room_for() {
        let seen = Seen::default();
        for session in 0..=MOST as u128 {
            assert!(seen.is_due(session, None, PART));
        }
        assert_eq!(seen.lock().used.len(), 1);
    }
}
