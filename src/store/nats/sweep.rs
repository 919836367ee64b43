//! Removes what is past its limits.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::Unstored;
use super::step::{Data, Step};
use super::streams::{AT_ONCE, Lease, Streams, lease};
use super::subjects::part;
use crate::store::codes::{millis, unsigned};
use crate::store::{Error, Key, State, Swept};

/// Whose stream is not there after so long was never created: ten minutes.
const STRAY: u64 = 600_000;
/// How often a trim gives way to appends before the next sweep goes on.
const TRIES: usize = 8;

/// What was found of one stream.
#[derive(Default)]
struct Looked {
    swept: Swept,
    /// Who produces it, if it is live.
    producer: Option<Key>,
}

impl Streams {
    pub(super) async fn sweep(&self) -> Result<Swept, Error> {
        let now = self.now().await?;
        // What is stored from here on is left alone.
        let (_, end) = self.log.count().await?;
        let leases = self.leases().await?;
        let steps = self.log.subjects(&self.subjects.all_steps()).await?;
        let streams: Vec<Key> =
            steps.keys().map(|subject| part(subject, 2)).collect::<Result<_, _>>()?;
        let looking: Vec<_> = streams.iter().map(|stream| self.look(stream, now)).collect();
        let looked: Vec<Looked> = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
        let mut swept = Swept::default();
        let mut producers = HashSet::new();
        for one in looked {
            swept.pieces += one.swept.pieces;
            swept.streams += one.swept.streams;
            producers.extend(one.producer);
        }
        for (instance, lease) in leases {
            if lease.until <= now && !producers.contains(&instance) {
                self.log.remove(lease.sequence).await?;
            }
        }
        self.remove_strays(&streams.into_iter().collect(), now, end).await?;
        Ok(swept)
    }

    async fn leases(&self) -> Result<HashMap<Key, Lease>, Error> {
        let mut leases = HashMap::new();
        for subject in self.log.subjects(&self.subjects.all_leases()).await?.keys() {
            if let Some(stored) = self.log.last(subject).await? {
                leases.insert(part(subject, 2)?, lease(stored)?);
            }
        }
        Ok(leases)
    }

    async fn look(&self, stream: &Key, now: u64) -> Result<Looked, Error> {
        let Some(last) = self.find(stream).await? else { return Ok(Looked::default()) };
        if last.is_gone() || self.has_expired(&last, now).await? {
            let swept = Swept { streams: self.expire(stream, &last).await?, pieces: 0 };
            return Ok(Looked { swept, producer: None });
        }
        let is_live = last.state().is_ok_and(|state| state == State::Live);
        let producer = Some(last.producer.clone()).filter(|_| is_live);
        let pieces = if last.is_there() { self.trim(stream, last, now).await? } else { 0 };
        Ok(Looked { swept: Swept { pieces, streams: 0 }, producer })
    }

    async fn has_expired(&self, last: &Step, now: u64) -> Result<bool, Error> {
        let age = unsigned(millis(last.keep.age));
        if last.changed.saturating_add(age) > now {
            return Ok(false);
        }
        let is_live = last.state().is_ok_and(|state| state == State::Live);
        // Looked at only now, so that a lease that was renewed in the meantime counts.
        let held = if is_live { self.lease(&last.producer).await? } else { None };
        Ok(held.is_none_or(|lease| lease.until.saturating_add(age) <= now))
    }

    /// Removes a stream or a tombstone, if nobody does something with it meanwhile; what is begun, the next sweep ends.
    async fn expire(&self, stream: &Key, last: &Step) -> Result<u64, Error> {
        let gone = if last.is_gone() {
            last.sequence
        } else {
            match self.put_alone(stream, last, &last.gone()).await {
                Err(Unstored::Overtaken) => return Ok(0),
                other => other?,
            }
        };
        self.clear(stream, last.origin, gone).await?;
        Ok(u64::from(self.log.remove(gone).await?))
    }

    /// Removes a stream's pieces that those after them, or their age, make needless. Returns how many.
    async fn trim(&self, stream: &Key, mut last: Step, now: u64) -> Result<u64, Error> {
        for _ in 0..TRIES {
            if !may_have_too_much(&last, now) {
                return Ok(0);
            }
            let kept = self.kept(stream, &last, now).await?;
            if kept.pieces == 0 {
                return Ok(0);
            }
            self.forget(stream);
            let step = last.trimmed(kept.first, kept.trimmed, kept.oldest);
            match self.put_trimmed(stream, &last, &step).await {
                Ok(sequence) => {
                    self.remove_steps(stream, &kept, sequence).await?;
                    return Ok(kept.pieces);
                }
                Err(Unstored::Overtaken) => {}
                Err(why) => return Err(why.into()),
            }
            last = match self.find(stream).await? {
                Some(step) if step.is_there() => step,
                _ => return Ok(0),
            };
        }
        Ok(0)
    }

    async fn put_trimmed(&self, stream: &Key, last: &Step, step: &Step) -> Result<u64, Unstored> {
        let subject = self.subjects.steps(stream);
        let message = super::server::Message::new(subject, step.encode());
        self.log.store(message.after(last.sequence)).await
    }

    /// What stays of a stream.
    async fn kept(&self, stream: &Key, last: &Step, now: u64) -> Result<Kept, Error> {
        let (first, trimmed, oldest) = (last.first, last.trimmed, last.oldest);
        let mut kept = Kept { first, trimmed, oldest, pieces: 0, from: None };
        let subject = self.subjects.steps(stream);
        let mut sequence = 0;
        while let Some(message) = self.log.next(&subject, sequence).await? {
            let step = Step::decode(message)?;
            sequence = step.sequence + 1;
            if kept.is_all_of(last, &step, now) || sequence > last.sequence {
                break;
            }
        }
        Ok(kept)
    }

    /// Removes the steps and bytes before what is kept.
    async fn remove_steps(&self, stream: &Key, kept: &Kept, last: u64) -> Result<(), Error> {
        let (steps, chunks) = kept.from.unwrap_or((last, last));
        self.log.remove_before(&self.subjects.steps(stream), steps).await?;
        self.log.remove_before(&self.subjects.chunks(stream), chunks).await.map(drop)
    }

    /// Removes what a crash has left of streams that are not there.
    async fn remove_strays(&self, there: &HashSet<Key>, now: u64, end: u64) -> Result<(), Error> {
        for subject in self.log.subjects(&self.subjects.all_chunks()).await?.keys() {
            if !there.contains(&part(subject, 2)?) {
                self.log.remove_before(subject, end + 1).await?;
            }
        }
        for subject in self.log.subjects(&self.subjects.all_origins()).await?.keys() {
            if there.contains(&part(subject, 4)?) {
                continue;
            }
            if let Some(origin) = self.log.last(subject).await? {
                if origin.time + STRAY <= now {
                    self.log.remove(origin.sequence).await?;
                }
            }
        }
        Ok(())
    }
}

/// What stays of a stream's events.
struct Kept {
    first: u64,
    trimmed: u64,
    oldest: u64,
    /// How many pieces go.
    pieces: u64,
    /// From which step, and from which message with bytes on; the last step, if nothing stays.
    from: Option<(u64, u64)>,
}

impl Kept {
    /// Goes through a step's pieces; says whether one of them stays, and so all after it.
    fn is_all_of(&mut self, last: &Step, step: &Step, now: u64) -> bool {
        let age = unsigned(millis(last.keep.age));
        let is_old = step.time.saturating_add(age) <= now;
        let mut next = step.begins();
        let mut total = step.total - step.shapes.iter().map(super::step::Shape::bytes).sum::<u64>();
        for shape in &step.shapes {
            (next, total) = (next + shape.count, total + shape.bytes());
            if next <= last.first {
                continue;
            }
            let goes = last.next - next >= last.keep.events
                || last.total - total >= last.keep.bytes
                || is_old;
            if !goes {
                self.oldest = step.time;
                let chunk = match &step.data {
                    Data::Chunks { sequences, .. } => sequences.first().copied(),
                    Data::Inline(_) => None,
                };
                self.from = Some((step.sequence, chunk.unwrap_or(step.sequence)));
                return true;
            }
            (self.first, self.trimmed) = (next, total);
            self.pieces += 1;
        }
        false
    }
}

/// Whether some pieces may have to go, by what the last step says.
fn may_have_too_much(last: &Step, now: u64) -> bool {
    let age = unsigned(millis(last.keep.age));
    last.first < last.next
        && (last.next - last.first > last.keep.events
            || last.total - last.trimmed >= last.keep.bytes
            || last.oldest.saturating_add(age) <= now)
}
