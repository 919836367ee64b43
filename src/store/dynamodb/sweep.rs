//! Removes what is past its limits.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::Failure;
use super::head::{self, Head};
use super::item::{Change, Place, SORT, number};
use super::server::Range;
use super::steps::{Step, before, steps_from};
use super::streams::{AT_ONCE, Streams};
use crate::store::codes::{millis, unsigned};
use crate::store::hex::named;
use crate::store::{Error, Key, Swept};

/// How many steps are looked at in one request.
const STEPS: usize = 32;
/// How often a trim gives way to another one before the next sweep goes on.
const TRIES: usize = 8;

/// What was found of one stream.
#[derive(Default)]
struct Looked {
    swept: Swept,
    /// Who produces it, if it is live.
    producer: Option<Key>,
}

/// Until when each instance has its lease, or had it.
type Leases = HashMap<Key, u64>;

impl Streams {
    pub(super) async fn sweep(&self) -> Result<Swept, Error> {
        self.note_queue().await?;
        self.remove_queues().await?;
        let leases = self.all_leases().await?;
        let streams = self.names(&self.list()).await?;
        let places: Vec<Place> = streams.iter().map(|stream| self.place(stream)).collect();
        let mut heads = self.server.get_all(&places).await?;
        let mut looking = Vec::new();
        for (stream, place) in streams.iter().zip(&places) {
            let head = heads.remove(place).map(Head::decode).transpose()?;
            looking.push(self.look(stream, head, &leases));
        }
        let looked: Vec<Looked> = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
        let mut swept = Swept::default();
        let mut producers = HashSet::new();
        for one in looked {
            swept.pieces += one.swept.pieces;
            swept.streams += one.swept.streams;
            producers.extend(one.producer);
        }
        let now = self.server.clock.earliest();
        for (instance, until) in leases {
            if until <= now && !producers.contains(&instance) {
                self.remove_lease(&instance, until).await?;
            }
        }
        Ok(swept)
    }

    async fn all_leases(&self) -> Result<Leases, Error> {
        let items = self.server.all(&Range::all(self.leases())).await?;
        items.iter().map(|item| Ok((named(item.text(SORT)?)?, item.number("until")?))).collect()
    }

    /// Removes a lease that was not renewed.
    async fn remove_lease(&self, instance: &Key, until: u64) -> Result<(), Error> {
        let delete = Change::delete(self.lease_of(instance))
            .only_if("#until = :until")
            .with(":until", number(until));
        match self.server.write(vec![delete]).await {
            Err(Failure::Condition(_)) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn look(
        &self,
        stream: &Key,
        head: Option<Head>,
        leases: &Leases,
    ) -> Result<Looked, Error> {
        let Some(head) = head else {
            self.unlist(stream).await?;
            return Ok(Looked::default());
        };
        let now = self.server.clock.earliest();
        let until = leases.get(&head.producer).copied();
        if head.is_gone() || has_expired(&head, until, now) {
            let swept = Swept { streams: self.expire(stream, &head, until).await?, pieces: 0 };
            return Ok(Looked { swept, producer: None });
        }
        let producer = Some(head.producer.clone()).filter(|_| head.is_live());
        let pieces = if head.is_there() { self.trim(stream, head, now).await? } else { 0 };
        Ok(Looked { swept: Swept { pieces, streams: 0 }, producer })
    }

    /// Takes off the list what DynamoDB has removed by itself.
    async fn unlist(&self, stream: &Key) -> Result<(), Error> {
        let none = Change::check(self.place(stream)).only_if("attribute_not_exists(#pk)");
        let changes = vec![none, Change::delete(self.listed(stream))];
        match self.server.write(changes).await {
            Err(Failure::Condition(_)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Removes a stream or a tombstone, if nobody does something with it meanwhile; what is begun, the next sweep ends.
    async fn expire(&self, stream: &Key, head: &Head, until: Option<u64>) -> Result<u64, Error> {
        if !head.is_gone() {
            let gone = head.update_unchanged(self.place(stream), "#state = :gone");
            let mut changes = vec![gone.with(":gone", head::gone())];
            if head.is_live() {
                let lease = Change::check(self.lease_of(&head.producer));
                changes.push(match until {
                    Some(until) => lease
                        .only_if("attribute_not_exists(#pk) OR #until = :until")
                        .with(":until", number(until)),
                    None => lease.only_if("attribute_not_exists(#pk)"),
                });
            }
            match self.server.write(changes).await {
                Err(Failure::Condition(_)) => return Ok(0),
                other => other?,
            }
            self.forget(stream);
            self.tell(stream);
        }
        Ok(u64::from(self.clear(stream, head).await?))
    }

    /// Removes a stream's pieces that those after them, or their age, make needless. Returns how many.
    async fn trim(&self, stream: &Key, mut head: Head, now: u64) -> Result<u64, Error> {
        for _ in 0..TRIES {
            if !may_have_too_much(&head, now) {
                return Ok(0);
            }
            let kept = self.kept(stream, &head, now).await?;
            if kept.pieces == 0 {
                return Ok(0);
            }
            let steps = "#first = :first, #trimmed = :trimmed, #oldest = :oldest";
            let trimmed = head
                .update(self.place(stream), steps)
                .only_if("#life = :life AND #first = :seen")
                .with(":first", number(kept.first))
                .with(":trimmed", number(kept.trimmed))
                .with(":oldest", number(kept.oldest))
                .with(":seen", number(head.first));
            match self.server.write(vec![trimmed]).await {
                Ok(()) => {
                    for range in before(&self.partition(stream), &head.life, kept.first, kept.base)
                    {
                        self.server.remove(&range).await?;
                    }
                    return Ok(kept.pieces);
                }
                Err(Failure::Condition(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
            head = match self.find(stream).await? {
                Some(head) if head.is_there() => head,
                _ => return Ok(0),
            };
        }
        Ok(0)
    }

    /// What stays of a stream.
    async fn kept(&self, stream: &Key, head: &Head, now: u64) -> Result<Kept, Error> {
        let Head { first, trimmed, .. } = *head;
        // If nothing stays, what comes is not older than now.
        let mut kept = Kept { first, trimmed, oldest: now, pieces: 0, base: head.next };
        let range = steps_from(&self.partition(stream), &head.life, first, head.next);
        let mut after = None;
        loop {
            let part = self.server.some(&range, Some(STEPS), after).await?;
            for item in part.items {
                if kept.is_all_of(head, &Step::decode(item)?, now) {
                    return Ok(kept);
                }
            }
            after = part.rest;
            if after.is_none() {
                return Ok(kept);
            }
        }
    }
}

/// What stays of a stream's events.
struct Kept {
    first: u64,
    trimmed: u64,
    oldest: u64,
    /// How many pieces go.
    pieces: u64,
    /// From which append on chunks stay.
    base: u64,
}

impl Kept {
    /// Goes through a step's pieces; says whether one of them stays, and so all after it.
    fn is_all_of(&mut self, head: &Head, step: &Step, now: u64) -> bool {
        let is_old = step.time.saturating_add(unsigned(millis(head.keep.age))) <= now;
        let first = self.first;
        for piece in step.pieces.iter().filter(|piece| piece.next() > first) {
            let total = self.trimmed + piece.bytes();
            let goes = head.next - piece.next() >= head.keep.events
                || head.total - total >= head.keep.bytes
                || is_old;
            if !goes {
                (self.oldest, self.base) = (step.time, step.base());
                return true;
            }
            (self.first, self.trimmed) = (piece.next(), total);
            self.pieces += 1;
        }
        false
    }
}

/// Whether nobody needs a stream or a tombstone any more, where its producer's lease holds, or held, until then.
fn has_expired(head: &Head, until: Option<u64>, now: u64) -> bool {
    let age = unsigned(millis(head.keep.age));
    let held = until.filter(|_| head.is_live()).unwrap_or(0);
    head.changed.max(held).saturating_add(age) <= now
}

/// Whether some pieces may have to go.
fn may_have_too_much(head: &Head, now: u64) -> bool {
    let age = unsigned(millis(head.keep.age));
    let is_old = head.oldest.is_some_and(|oldest| oldest.saturating_add(age) <= now);
    head.first < head.next
        && (head.next - head.first > head.keep.events
            || head.total - head.trimmed >= head.keep.bytes
            || is_old)
}
