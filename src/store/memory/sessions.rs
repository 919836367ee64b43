//! Sessions and their state.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use tokio::time::Instant;

use crate::store::{Error, ErrorKind, Key, NewSession, Session};

/// All sessions, expired ones too until they are removed.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<Key, Held>);

/// A session with its state.
#[derive(Debug)]
pub(super) struct Held {
    new: NewSession,
    created: Instant,
    touched: Instant,
    pub(super) values: BTreeMap<Key, Bytes>,
}

impl Sessions {
    pub(super) fn create(
        &mut self,
        id: &Key,
        new: &NewSession,
        most: u64,
        now: Instant,
    ) -> Result<(), Error> {
        if self.get(id, now).is_ok() {
            return Err(ErrorKind::Refused.into());
        }
        self.0.remove(id);
        if self.len() >= most {
            return Err(ErrorKind::LimitReached.into());
        }
        let values = BTreeMap::new();
        self.0.insert(id.clone(), Held { new: new.clone(), created: now, touched: now, values });
        Ok(())
    }

    pub(super) fn get(&mut self, id: &Key, now: Instant) -> Result<&mut Held, Error> {
        let session = self.0.get_mut(id).filter(|session| !session.has_expired(now));
        session.ok_or(ErrorKind::NotFound.into())
    }

    pub(super) fn list(&self, after: Option<&Key>, limit: usize, now: Instant) -> Vec<Session> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.0.range::<Key, _>((from, Bound::Unbounded)).take(limit);
        page.map(|(id, session)| session.seen(id, now)).collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<Key> {
        let expired: Vec<Key> = self
            .0
            .iter()
            .filter(|(_, session)| session.has_expired(now))
            .map(|(id, _)| id.clone())
            .collect();
        self.0.retain(|_, session| !session.has_expired(now));
        expired
    }

    pub(super) fn remove(&mut self, id: &Key, now: Instant) -> bool {
        self.0.remove(id).is_some_and(|session| !session.has_expired(now))
    }
}

impl Held {
    fn has_expired(&self, now: Instant) -> bool {
        self.touched + self.new.idle <= now
    }

    pub(super) fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    pub(super) fn set(&mut self, name: &Key, value: Option<Bytes>) {
        match value {
            Some(value) => self.values.insert(name.clone(), value),
            None => self.values.remove(name),
        };
    }

    pub(super) fn seen(&self, id: &Key, now: Instant) -> Session {
        Session {
            id: id.clone(),
            owner: self.new.owner.clone(),
            metadata: self.new.metadata.clone(),
            idle: self.new.idle,
            age: now - self.created,
            idle_for: now - self.touched,
        }
    }
}
