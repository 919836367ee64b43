//! Sessions in a bucket, and their values in another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use async_nats::jetstream::stream::Config;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::bytes::{Reader, Writer, malformed};
use super::error::Unstored;
use super::server::{Log, Message, Server, Stored};
use super::streams::{AT_ONCE, SCHEMA, Streams};
use crate::store::codes::{duration, millis, signed, unsigned};
use crate::store::hex::{hex, named, unique};
use crate::store::{Error, ErrorKind, Key, NewSession, Session};

/// All sessions of a store.
pub(super) struct Sessions {
    /// One message a session, which is stored again when it is touched: its time says when.
    bucket: Log,
    /// One message a value, its subject `session.life.name`.
    values: Log,
    names: [String; 2],
    /// Whose clock counts.
    streams: Arc<Streams>,
}

/// A session as it is stored; times are milliseconds by the server's clock.
struct Held {
    sequence: u64,
    touched: u64,
    created: u64,
    /// Tells sessions of the same name apart, so that one has no values of the other.
    life: String,
    owner: Option<Key>,
    metadata: Bytes,
    idle: u64,
}

impl Held {
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.number(self.created);
        to.bytes(self.life.as_bytes());
        to.optional(self.owner.as_ref().map(Key::as_bytes));
        to.bytes(&self.metadata);
        to.number(self.idle);
        to.0
    }

    fn decode(Stored { sequence, time, payload }: Stored) -> Result<Self, Error> {
        let mut from = Reader(payload);
        let created = match from.number()? {
            0 => time,
            created => created,
        };
        let (life, owner) = (from.text()?, from.bytes()?);
        let owner = if owner.is_empty() { None } else { Some(Key::new(owner)?) };
        let (metadata, idle) = (from.bytes()?, from.number()?);
        Ok(Self { sequence, touched: time, created, life, owner, metadata, idle })
    }

    fn has_expired(&self, now: u64) -> bool {
        self.touched.saturating_add(self.idle) <= now
    }

    fn seen(self, id: Key, now: u64) -> Session {
        let since = |time: u64| Duration::from_millis(now.saturating_sub(time));
        let (age, idle_for) = (since(self.created), since(self.touched));
        let idle = duration(signed(self.idle));
        Session { id, owner: self.owner, metadata: self.metadata, idle, age, idle_for }
    }
}

impl Sessions {
    pub(super) async fn open(
        server: &Arc<Server>,
        prefix: &str,
        replicas: usize,
        streams: Arc<Streams>,
    ) -> Result<Self, Error> {
        let names = [format!("{prefix}-sessions"), format!("{prefix}-values")];
        let config = |name: &str, parts: &str| Config {
            name: name.to_owned(),
            description: Some(SCHEMA.to_owned()),
            subjects: vec![format!("{name}{parts}")],
            max_messages_per_subject: 1,
            num_replicas: replicas,
            allow_direct: true,
            ..Config::default()
        };
        let bucket = server.open(config(&names[0], ".*")).await?;
        let values = server.open(config(&names[1], ".*.*.*")).await?;
        Ok(Self { bucket, values, names, streams })
    }

    fn subject(&self, id: &Key) -> String {
        format!("{}.{}", self.names[0], hex(id))
    }

    fn value_subject(&self, id: &Key, life: &str, name: &Key) -> String {
        format!("{}.{}.{life}.{}", self.names[1], hex(id), hex(name))
    }

    async fn find(&self, id: &Key) -> Result<Option<Held>, Error> {
        self.bucket.last(&self.subject(id)).await?.map(Held::decode).transpose()
    }

    /// A session that is there and has not expired, and the time.
    async fn held(&self, id: &Key) -> Result<(Held, u64), Error> {
        let held = self.find(id).await?.ok_or(ErrorKind::NotFound)?;
        let now = self.streams.now().await?;
        if held.has_expired(now) { Err(ErrorKind::NotFound.into()) } else { Ok((held, now)) }
    }

    pub(super) async fn create(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        loop {
            let before = self.find(id).await?;
            if let Some(held) = &before {
                if !held.has_expired(self.streams.now().await?) {
                    return Err(ErrorKind::Refused.into());
                }
            }
            if self.count().await? - u64::from(before.is_some()) >= most {
                return Err(ErrorKind::LimitReached.into());
            }
            let held = Held {
                sequence: 0,
                touched: 0,
                created: 0,
                life: unique()?,
                owner: new.owner.clone(),
                metadata: new.metadata.clone(),
                idle: unsigned(millis(new.idle)),
            };
            let sequence = before.as_ref().map_or(0, |held| held.sequence);
            let message = Message::new(self.subject(id), held.encode()).after(sequence);
            match self.bucket.store(message).await {
                Err(Unstored::Overtaken) => continue,
                other => other?,
            };
            return match before {
                Some(expired) => self.remove_values(id, &expired.life).await,
                None => Ok(()),
            };
        }
    }

    pub(super) async fn get(&self, id: &Key) -> Result<Session, Error> {
        let (held, now) = self.held(id).await?;
        Ok(held.seen(id.clone(), now))
    }

    pub(super) async fn touch(&self, id: &Key) -> Result<(), Error> {
        loop {
            let (held, _) = self.held(id).await?;
            let message = Message::new(self.subject(id), held.encode()).after(held.sequence);
            match self.bucket.store(message).await {
                Err(Unstored::Overtaken) => {}
                other => return Ok(other.map(drop)?),
            }
        }
    }

    pub(super) async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        let (held, _) = self.held(id).await?;
        let value = self.values.last(&self.value_subject(id, &held.life, name)).await?;
        Ok(value.map(|stored| stored.payload))
    }

    pub(super) async fn set(
        &self,
        id: &Key,
        name: &Key,
        value: Option<Bytes>,
    ) -> Result<(), Error> {
        let (held, _) = self.held(id).await?;
        let subject = self.value_subject(id, &held.life, name);
        match value {
            Some(value) => {
                let stored = self.values.store(Message::new(subject, value)).await?;
                self.check_still_there(id, &held, stored).await
            }
            None => match self.values.last(&subject).await? {
                // If another one is set meanwhile, this one was removed before it.
                Some(stored) => self.values.remove(stored.sequence).await.map(drop),
                None => Ok(()),
            },
        }
    }

    pub(super) async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let (held, _) = self.held(id).await?;
        let subject = self.value_subject(id, &held.life, name);
        loop {
            let before = self.values.last(&subject).await?;
            let sequence = before.as_ref().map_or(0, |stored| stored.sequence);
            if before.map(|stored| stored.payload) != expected {
                return Ok(false);
            }
            match &value {
                Some(value) => {
                    let message = Message::new(&subject, value.clone()).after(sequence);
                    match self.values.store(message).await {
                        Err(Unstored::Overtaken) => {}
                        other => {
                            self.check_still_there(id, &held, other?).await?;
                            return Ok(true);
                        }
                    }
                }
                None if sequence == 0 => return Ok(true),
                // There is one message a value: this one is there only as long as it is the last.
                None if self.values.remove(sequence).await? => return Ok(true),
                None => {}
            }
        }
    }

    /// Takes back a value of a session that was removed while it was set.
    async fn check_still_there(&self, id: &Key, held: &Held, stored: u64) -> Result<(), Error> {
        if self.find(id).await?.is_some_and(|now| now.life == held.life) {
            return Ok(());
        }
        self.values.remove(stored).await?;
        Err(ErrorKind::NotFound.into())
    }

    pub(super) async fn list(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Session>, Error> {
        let mut ids = self.ids().await?;
        ids.retain(|id| after.is_none_or(|after| id > after));
        ids.sort_unstable();
        let now = self.streams.now().await?;
        let mut page = Vec::new();
        // A few at once, since some may be gone.
        for some in ids.chunks(AT_ONCE) {
            let finding: Vec<_> = some.iter().map(|id| self.find(id)).collect();
            let found: Vec<_> = stream::iter(finding).buffered(AT_ONCE).try_collect().await?;
            for (id, held) in some.iter().zip(found) {
                page.extend(held.map(|held| held.seen(id.clone(), now)));
            }
            if page.len() >= limit {
                break;
            }
        }
        page.truncate(limit);
        Ok(page)
    }

    async fn ids(&self) -> Result<Vec<Key>, Error> {
        let subjects = self.bucket.subjects(&format!("{}.*", self.names[0])).await?;
        subjects.keys().map(|subject| super::subjects::part(subject, 1)).collect()
    }

    pub(super) async fn count(&self) -> Result<u64, Error> {
        Ok(self.bucket.count().await?.0)
    }

    pub(super) async fn expire(&self) -> Result<Vec<Key>, Error> {
        // Listed before the sessions, so that those of a session that is created meanwhile are not taken for strays.
        let values = self.lives().await?;
        let now = self.streams.now().await?;
        let mut expired = Vec::new();
        let mut lives = HashMap::new();
        for id in self.ids().await? {
            match self.find(&id).await? {
                Some(held) if !held.has_expired(now) => drop(lives.insert(id, held.life)),
                Some(held) if self.remove(&id, &held).await? => expired.push(id),
                Some(_) | None => {}
            }
        }
        for (id, life) in values {
            if lives.get(&id) != Some(&life) {
                self.remove_values(&id, &life).await?;
            }
        }
        Ok(expired)
    }

    /// The sessions that have values.
    async fn lives(&self) -> Result<HashMap<Key, String>, Error> {
        let subjects = self.values.subjects(&format!("{}.*.*.*", self.names[1])).await?;
        let life = |subject: &String| {
            let mut parts = subject.split('.').skip(1);
            let (id, life) = (parts.next()?, parts.next()?);
            Some((named(id).ok()?, life.to_owned()))
        };
        subjects.keys().map(|subject| life(subject).ok_or_else(malformed)).collect()
    }

    pub(super) async fn delete(&self, id: &Key) -> Result<bool, Error> {
        loop {
            let Some(held) = self.find(id).await? else { return Ok(false) };
            let was_there = !held.has_expired(self.streams.now().await?);
            if self.remove(id, &held).await? {
                return Ok(was_there);
            }
        }
    }

    /// Removes a session, if it was not touched meanwhile, and then its values, which nobody can see any more.
    async fn remove(&self, id: &Key, held: &Held) -> Result<bool, Error> {
        let removed = self.bucket.remove(held.sequence).await?;
        if removed {
            self.remove_values(id, &held.life).await?;
        }
        Ok(removed)
    }

    async fn remove_values(&self, id: &Key, life: &str) -> Result<(), Error> {
        let all = format!("{}.{}.{life}.*", self.names[1], hex(id));
        self.values.remove_before(&all, u64::MAX).await.map(drop)
    }
}
