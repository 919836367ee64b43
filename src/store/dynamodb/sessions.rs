//! Sessions, and their values in items of their own.

use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;

use super::error::Failure;
use super::item::{Attributes, Change, Item, Place, SORT, binary, number, text};
use super::server::{HIGHEST, LOWEST, Range};
use super::streams::Streams;
use crate::store::codes::{duration, millis, signed, unsigned};
use crate::store::hex::{hex, named, unique};
use crate::store::{Error, ErrorKind, Key, NewSession, Session};

/// How many bytes a value has at most; an item has 400 KB.
const LARGEST: usize = 256 << 10;

/// All sessions of a table.
pub(super) struct Sessions(pub(super) Arc<Streams>);

/// A session as it is stored; times are milliseconds.
struct Held {
    /// Tells sessions of the same name apart, so that one has no values of the other.
    life: String,
    owner: Option<Key>,
    metadata: Bytes,
    idle: u64,
    created: u64,
    touched: u64,
    /// When it expires; 0, if it was removed and its values were not yet.
    until: u64,
}

impl Held {
    fn decode(mut item: Item) -> Result<Self, Error> {
        Ok(Self {
            life: item.text("life")?.to_owned(),
            owner: item.optional_key("owner")?,
            metadata: item.bytes("metadata")?,
            idle: item.number("idle")?,
            created: item.number("created")?,
            touched: item.number("touched")?,
            until: item.number("until")?,
        })
    }

    fn is_removed(&self) -> bool {
        self.until == 0
    }

    fn seen(self, id: Key, now: u64) -> Session {
        let since = |time: u64| Duration::from_millis(now.saturating_sub(time));
        let age = since(self.created);
        let idle = duration(signed(self.idle));
        let idle_for = since(self.touched).min(age);
        Session { id, owner: self.owner, metadata: self.metadata, idle, age, idle_for }
    }
}

impl Sessions {
    fn list_of_all(&self) -> String {
        self.0.server.partition("sessions")
    }

    fn place(&self, id: &Key) -> Place {
        Place::new(self.list_of_all(), hex(id))
    }

    fn values(&self, id: &Key) -> String {
        self.0.server.partition(&format!("values#{}", hex(id)))
    }

    fn value_place(&self, id: &Key, life: &str, name: &Key) -> Place {
        Place::new(self.values(id), format!("{life}#{}", hex(name)))
    }

    /// The item that says how many sessions there are.
    fn counter(&self) -> Place {
        Place::new(self.0.server.partition("counts"), "sessions")
    }

    async fn find(&self, id: &Key) -> Result<Option<Held>, Error> {
        self.0.server.get(&self.place(id)).await?.map(Held::decode).transpose()
    }

    fn now(&self) -> u64 {
        self.0.server.clock.earliest()
    }

    /// A session that is there and has not expired.
    async fn held(&self, id: &Key) -> Result<Held, Error> {
        let held = self.find(id).await?.ok_or(ErrorKind::NotFound)?;
        if held.until > self.now() { Ok(held) } else { Err(ErrorKind::NotFound.into()) }
    }

    pub(super) async fn create(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        loop {
            let before = self.find(id).await?;
            if before.as_ref().is_some_and(|held| held.until > self.now()) {
                return Err(ErrorKind::Refused.into());
            }
            let changes =
                vec![self.created(id, new, before.as_ref())?, self.counted(before.as_ref(), most)];
            match self.0.server.write(changes).await {
                Ok(()) => {
                    return match before {
                        Some(before) => self.remove_values(id, &before.life).await,
                        None => Ok(()),
                    };
                }
                Err(Failure::Condition(failed)) if failed.contains(&0) => {}
                Err(Failure::Condition(_)) => return Err(ErrorKind::LimitReached.into()),
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Puts a new session in the place of none, or of one that has expired.
    fn created(&self, id: &Key, new: &NewSession, before: Option<&Held>) -> Result<Change, Error> {
        let (now, idle) = (self.0.server.clock.latest(), unsigned(millis(new.idle)));
        let attributes = [
            ("life", text(unique()?)),
            ("idle", number(idle)),
            ("created", number(now)),
            ("touched", number(now)),
            ("until", number(now.saturating_add(idle))),
        ];
        let put = Change::put(self.place(id), attributes)
            .and("owner", new.owner.as_ref().map(|owner| binary(owner.as_bytes())))
            .and(
                "metadata",
                Some(&new.metadata).filter(|data| !data.is_empty()).map(|data| binary(data)),
            );
        Ok(match before {
            Some(before) => put
                .only_if("#life = :life AND #until = :until")
                .with(":life", text(&before.life))
                .with(":until", number(before.until)),
            None => put.only_if("attribute_not_exists(#pk)"),
        })
    }

    /// Counts one more, if there is room. One that has expired counts until it is removed.
    fn counted(&self, before: Option<&Held>, most: u64) -> Change {
        if before.is_some_and(|before| !before.is_removed()) {
            let check = Change::check(self.counter()).only_if("#count <= :most");
            return check.with(":most", number(most));
        }
        let count = Change::update(self.counter(), "ADD #count :one").with(":one", number(1));
        // Where nothing was counted yet, there is room for one.
        if most == 0 {
            return count.only_if("#count < :most").with(":most", number(0));
        }
        let room = "attribute_not_exists(#count) OR #count < :most";
        count.only_if(room).with(":most", number(most))
    }

    pub(super) async fn get(&self, id: &Key) -> Result<Session, Error> {
        let held = self.held(id).await?;
        Ok(held.seen(id.clone(), self.now()))
    }

    pub(super) async fn touch(&self, id: &Key) -> Result<(), Error> {
        loop {
            let held = self.held(id).await?;
            let now = self.0.server.clock.latest();
            let touch = Change::update(self.place(id), "SET #touched = :now, #until = :until")
                .only_if("#life = :life AND #until > :zero")
                .with(":now", number(now))
                .with(":until", number(now.saturating_add(held.idle)))
                .with(":life", text(&held.life))
                .with(":zero", number(0));
            match self.0.server.write(vec![touch]).await {
                Err(Failure::Condition(_)) => {}
                other => return Ok(other?),
            }
        }
    }

    pub(super) async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        let held = self.held(id).await?;
        let value = self.0.server.get(&self.value_place(id, &held.life, name)).await?;
        value.map(|mut value| value.bytes("value")).transpose()
    }

    pub(super) async fn set(
        &self,
        id: &Key,
        name: &Key,
        value: Option<Bytes>,
    ) -> Result<(), Error> {
        check_size(value.as_ref())?;
        loop {
            let held = self.held(id).await?;
            let place = self.value_place(id, &held.life, name);
            let changes = vec![self.still_there(id, &held), set_to(place, value.as_ref())];
            match self.0.server.write(changes).await {
                Err(Failure::Condition(_)) => {}
                other => return Ok(other?),
            }
        }
    }

    pub(super) async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        check_size(value.as_ref())?;
        loop {
            let held = self.held(id).await?;
            let place = self.value_place(id, &held.life, name);
            let change = if expected.is_none() && value.is_none() {
                Change::check(place)
            } else {
                set_to(place, value.as_ref())
            };
            let change = match &expected {
                None => change.only_if("attribute_not_exists(#pk)"),
                Some(bytes) if bytes.is_empty() => {
                    change.only_if("attribute_exists(#pk) AND attribute_not_exists(#value)")
                }
                Some(bytes) => {
                    change.only_if("#value = :expected").with(":expected", binary(bytes))
                }
            };
            match self.0.server.write(vec![self.still_there(id, &held), change]).await {
                Ok(()) => return Ok(true),
                Err(Failure::Condition(failed)) if failed.contains(&0) => {}
                Err(Failure::Condition(_)) => return Ok(false),
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// The session was not removed.
    fn still_there(&self, id: &Key, held: &Held) -> Change {
        Change::check(self.place(id))
            .only_if("#life = :life AND #until > :zero")
            .with(":life", text(&held.life))
            .with(":zero", number(0))
    }

    pub(super) async fn list(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Session>, Error> {
        let from = after.map_or_else(|| LOWEST.to_owned(), |after| hex(after) + LOWEST);
        let range = Range::new(self.list_of_all(), from, HIGHEST);
        let mut page = Vec::new();
        let mut rest: Option<Attributes> = None;
        while page.len() < limit {
            let part = self.0.server.some(&range, Some(limit - page.len()), rest).await?;
            let now = self.now();
            for item in part.items {
                let id = named(item.text(SORT)?)?;
                let held = Held::decode(item)?;
                if !held.is_removed() {
                    page.push(held.seen(id, now));
                }
            }
            rest = part.rest;
            if rest.is_none() {
                break;
            }
        }
        Ok(page)
    }

    pub(super) async fn count(&self) -> Result<u64, Error> {
        let counter = self.0.server.get(&self.counter()).await?;
        counter.map_or(Ok(0), |counter| counter.number("count"))
    }

    pub(super) async fn expire(&self) -> Result<Vec<Key>, Error> {
        let mut expired = Vec::new();
        for item in self.0.server.all(&Range::all(self.list_of_all())).await? {
            let id = named(item.text(SORT)?)?;
            let held = Held::decode(item)?;
            if held.is_removed() {
                self.clear(&id, &held).await?;
            } else if held.until <= self.now() && self.remove(&id, &held).await? {
                expired.push(id);
            }
        }
        Ok(expired)
    }

    pub(super) async fn delete(&self, id: &Key) -> Result<bool, Error> {
        loop {
            let Some(held) = self.find(id).await? else { return Ok(false) };
            if held.is_removed() {
                self.clear(id, &held).await?;
                return Ok(false);
            }
            let was_there = held.until > self.now();
            if self.remove(id, &held).await? {
                return Ok(was_there);
            }
        }
    }

    /// Removes a session, if it was not touched meanwhile.
    async fn remove(&self, id: &Key, held: &Held) -> Result<bool, Error> {
        let removed = Change::update(self.place(id), "SET #until = :zero")
            .only_if("#life = :life AND #until = :until")
            .with(":zero", number(0))
            .with(":life", text(&held.life))
            .with(":until", number(held.until));
        let fewer = Change::update(self.counter(), "SET #count = #count - :one");
        match self.0.server.write(vec![removed, fewer.with(":one", number(1))]).await {
            Err(Failure::Condition(_)) => Ok(false),
            other => {
                other?;
                self.clear(id, held).await?;
                Ok(true)
            }
        }
    }

    /// Removes what is left of a session.
    async fn clear(&self, id: &Key, held: &Held) -> Result<(), Error> {
        self.remove_values(id, &held.life).await?;
        let last = Change::delete(self.place(id))
            .only_if("#life = :life AND #until = :zero")
            .with(":life", text(&held.life))
            .with(":zero", number(0));
        match self.0.server.write(vec![last]).await {
            // Another one of its name is there already.
            Err(Failure::Condition(_)) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn remove_values(&self, id: &Key, life: &str) -> Result<(), Error> {
        let all = Range::new(self.values(id), format!("{life}#"), format!("{life}~"));
        self.0.server.remove(&all).await.map(drop)
    }
}

fn set_to(place: Place, value: Option<&Bytes>) -> Change {
    match value {
        // The empty value is none.
        Some(value) => {
            let value = Some(value).filter(|value| !value.is_empty());
            Change::put(place, []).and("value", value.map(|value| binary(value)))
        }
        None => Change::delete(place),
    }
}

fn check_size(value: Option<&Bytes>) -> Result<(), Error> {
    let is_too_large = value.is_some_and(|value| value.len() > LARGEST);
    if is_too_large { Err(ErrorKind::LimitReached.into()) } else { Ok(()) }
}
