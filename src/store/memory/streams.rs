//! Streams, their tombstones, and the leases of their producers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::store::{
    Append, Claim, Error, ErrorKind, Extent, Generation, Key, NewStream, Piece, Purge, Record,
    State, Swept,
};

/// All streams, and what is left of those that were purged.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<Key, Entry>);

#[derive(Debug)]
enum Entry {
    Stream(Box<Stream>),
    Tombstone { purged: Instant, age: Duration },
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    new: NewStream,
    state: State,
    producer: Key,
    generations: Vec<Generation>,
    progress: Bytes,
    pieces: VecDeque<Stored>,
    next: u64,
    /// Bytes of all events that it ever had.
    total: u64,
    changed: Instant,
}

#[derive(Debug)]
struct Stored {
    piece: Piece,
    /// The stream's total with this piece.
    total: u64,
    appended: Instant,
}

/// Until when each instance may produce.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<Key, Instant>);

impl Leases {
    pub(super) fn renew(&mut self, instance: &Key, lease: Duration, now: Instant) {
        self.0.insert(instance.clone(), now + lease);
    }

    fn lapsed(&self, instance: &Key, now: Instant) -> bool {
        self.0.get(instance).is_none_or(|until| *until <= now)
    }

    /// Forgets those that have lapsed and that no stream's expiry depends on.
    pub(super) fn sweep(&mut self, streams: &Streams, now: Instant) {
        let depends = |instance: &Key| streams.all().any(|stream| stream.producer == *instance);
        self.0.retain(|instance, until| *until > now || depends(instance));
    }
}

impl Streams {
    pub(super) fn get(&self, stream: &Key) -> Result<&Stream, Error> {
        match self.0.get(stream) {
            Some(Entry::Stream(stream)) => Ok(stream),
            Some(Entry::Tombstone { .. }) => Err(ErrorKind::Purged.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn get_mut(&mut self, stream: &Key) -> Result<&mut Stream, Error> {
        match self.0.get_mut(stream) {
            Some(Entry::Stream(stream)) => Ok(stream),
            Some(Entry::Tombstone { .. }) => Err(ErrorKind::Purged.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create(&mut self, key: &Key, new: &NewStream, now: Instant) -> Result<(), Error> {
        match self.get(key).map_err(|error| error.kind()) {
            Ok(_) => Err(ErrorKind::Refused.into()),
            Err(ErrorKind::NotFound) => {
                let stream = Box::new(Stream::new(new.clone(), now));
                self.0.insert(key.clone(), Entry::Stream(stream));
                Ok(())
            }
            Err(other) => Err(other.into()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Stream> {
        self.0.values().filter_map(|entry| match entry {
            Entry::Stream(stream) => Some(&**stream),
            Entry::Tombstone { .. } => None,
        })
    }

    /// Leaves tombstones, and gives their names.
    pub(super) fn purge(&mut self, what: &Purge, now: Instant) -> Vec<Key> {
        let mut purged = Vec::new();
        for (key, entry) in &mut self.0 {
            if let Entry::Stream(stream) = entry {
                if stream.is_of(key, what) {
                    *entry = Entry::Tombstone { purged: now, age: stream.new.keep.age };
                    purged.push(key.clone());
                }
            }
        }
        purged
    }

    pub(super) fn sweep(&mut self, leases: &Leases, now: Instant) -> Swept {
        let (before, mut pieces) = (self.0.len(), 0);
        self.0.retain(|_, entry| match entry {
            Entry::Stream(stream) => {
                let stays = !stream.has_expired(leases, now);
                pieces += if stays { stream.trim(now) } else { 0 };
                stays
            }
            Entry::Tombstone { purged, age } => now < *purged + *age,
        });
        Swept { pieces, streams: (before - self.0.len()) as u64 }
    }
}

impl Stream {
    fn new(new: NewStream, now: Instant) -> Self {
        Self {
            state: State::Live,
            producer: new.producer.clone(),
            generations: vec![Generation { number: 1, first: 1, gap: None }],
            progress: Bytes::new(),
            pieces: VecDeque::new(),
            next: 1,
            total: 0,
            changed: now,
            new,
        }
    }

    fn generation(&self) -> u32 {
        self.generations.last().map_or(1, |generation| generation.number)
    }

    pub(super) fn extent(&self, leases: &Leases, now: Instant) -> Extent {
        Extent {
            state: self.state,
            generation: self.generation(),
            producer: self.producer.clone(),
            lapsed: leases.lapsed(&self.producer, now),
            first: self.pieces.front().map_or(self.next, |stored| stored.piece.first),
            next: self.next,
        }
    }

    pub(super) fn record(&self, leases: &Leases, now: Instant) -> Record {
        Record {
            extent: self.extent(leases, now),
            origin: self.new.origin.clone(),
            progress: self.progress.clone(),
            generations: self.generations.clone(),
        }
    }

    pub(super) fn append(&mut self, append: &Append, now: Instant) -> Result<(), Error> {
        let expected = (State::Live, self.generation(), self.next);
        if expected != (self.state, append.generation, append.first) {
            return Err(ErrorKind::Refused.into());
        }
        for piece in &append.pieces {
            self.total += piece.bytes() as u64;
            self.pieces.push_back(Stored {
                piece: piece.clone(),
                total: self.total,
                appended: now,
            });
        }
        self.next = append.next();
        if let Some(progress) = &append.progress {
            self.progress = progress.clone();
        }
        if let (Some(gap), Some(running)) = (append.gap, self.generations.last_mut()) {
            running.gap = Some(gap);
        }
        if let Some(end) = append.end {
            self.state = end.into();
        }
        self.changed = now;
        Ok(())
    }

    pub(super) fn pieces_after(&self, after: u64, bytes: usize) -> Vec<Piece> {
        let from = self.pieces.partition_point(|stored| stored.piece.next() <= after + 1);
        let mut room = bytes;
        let fits = |(n, stored): &(usize, &Stored)| {
            let rest = room.checked_sub(stored.piece.bytes());
            room = rest.unwrap_or(0);
            *n == 0 || rest.is_some()
        };
        let page = self.pieces.range(from..).enumerate().take_while(fits);
        page.map(|(_, stored)| stored.piece.clone()).collect()
    }

    pub(super) fn claim(
        &mut self,
        claim: &Claim,
        leases: &Leases,
        now: Instant,
    ) -> Result<(), Error> {
        let is_due = match self.state {
            State::Live => leases.lapsed(&self.producer, now),
            State::Aborted => true,
            State::Finished => false,
        };
        if !is_due || claim.after != self.generation() {
            return Err(ErrorKind::Refused.into());
        }
        if self.generations.len() == Record::MOST_GENERATIONS {
            self.generations.remove(0);
        }
        let number = claim.after + 1;
        self.generations.push(Generation { number, first: self.next, gap: claim.gap });
        self.producer = claim.producer.clone();
        self.state = State::Live;
        self.changed = now;
        Ok(())
    }

    fn is_of(&self, key: &Key, what: &Purge) -> bool {
        match what {
            Purge::Stream(stream) => key == stream,
            Purge::Session(session) => self.new.session.as_ref() == Some(session),
            Purge::Owner(owner) => self.new.owner.as_ref() == Some(owner),
            Purge::All => true,
        }
    }

    fn has_expired(&self, leases: &Leases, now: Instant) -> bool {
        let held = leases.0.get(&self.producer).filter(|_| self.state == State::Live);
        let last = held.map_or(self.changed, |until| self.changed.max(*until));
        last + self.new.keep.age <= now
    }

    /// Removes pieces that those after them, or their age, make needless. Returns how many.
    fn trim(&mut self, now: Instant) -> u64 {
        let (keep, next, total) = (self.new.keep, self.next, self.total);
        let goes = |stored: &Stored| {
            next - stored.piece.next() >= keep.events
                || total - stored.total >= keep.bytes
                || stored.appended + keep.age <= now
        };
        let gone = self.pieces.iter().take_while(|stored| goes(stored)).count();
        self.pieces.drain(..gone);
        gone as u64
    }
}
