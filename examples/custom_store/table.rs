//! The store: a table under a lock, and a counter of changes for those who wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tower_sse_resume::store::{
    Append, Claim, Error, ErrorKind, Extent, Generation, Key, NewStream, Page, Piece, Purge,
    Record, State, Store, Swept,
};

/// A store. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct TableStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    streams: HashMap<Key, Stream>,
    leases: HashMap<Key, Instant>,
}

struct Stream {
    new: NewStream,
    record: Record,
    pieces: Vec<(Instant, Piece)>,
    changed: Instant,
    is_tombstone: bool,
}

impl TableStore {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap()
    }

    /// Wakes all who wait: each looks whether it is its stream that changed.
    fn tell(&self) {
        self.0.changes.send_modify(|changes| *changes += 1);
    }
}

impl Table {
    fn stream(&mut self, key: &Key) -> Result<&mut Stream, Error> {
        let stream = self.streams.get_mut(key).ok_or(ErrorKind::NotFound)?;
        if stream.is_tombstone { Err(ErrorKind::Purged.into()) } else { Ok(stream) }
    }

    fn lease(&self, instance: &Key) -> Option<Instant> {
        self.leases.get(instance).copied()
    }

    fn record(&mut self, key: &Key) -> Result<Record, Error> {
        let mut record = self.stream(key)?.record.clone();
        let lease = self.lease(&record.extent.producer);
        record.extent.lapsed = lease.is_none_or(|until| until <= Instant::now());
        Ok(record)
    }
}

impl Stream {
    fn append(&mut self, entry: &Append) -> Result<(), Error> {
        let Record { extent, progress, generations, .. } = &mut self.record;
        let wanted = (State::Live, entry.generation, entry.first);
        if (extent.state, extent.generation, extent.next) != wanted {
            return Err(ErrorKind::Refused.into());
        }
        self.changed = Instant::now();
        self.pieces.extend(entry.pieces.iter().map(|piece| (self.changed, piece.clone())));
        extent.next = entry.next();
        extent.state = entry.end.map_or(State::Live, State::from);
        if let Some(new) = &entry.progress {
            progress.clone_from(new);
        }
        if let Some(last) = generations.last_mut().filter(|_| entry.gap.is_some()) {
            last.gap = entry.gap;
        }
        self.note_first();
        Ok(())
    }

    fn note_first(&mut self) {
        let extent = &mut self.record.extent;
        extent.first = self.pieces.first().map_or(extent.next, |(_, piece)| piece.first);
    }

    /// Keeps a piece as long as those after it do not reach a limit.
    fn trim(&mut self) -> u64 {
        let (before, keep) = (self.pieces.len(), self.new.keep);
        let (mut events, mut bytes, mut kept) = (0, 0, 0);
        for (appended, piece) in self.pieces.iter().rev() {
            if events >= keep.events || bytes >= keep.bytes || appended.elapsed() >= keep.age {
                break;
            }
            (events, bytes, kept) = (events + piece.count, bytes + piece.bytes() as u64, kept + 1);
        }
        self.pieces.drain(..before - kept);
        self.note_first();
        (before - kept) as u64
    }
}

impl Store for TableStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        let mut table = self.lock();
        match table.stream(stream).map_err(|error| error.kind()) {
            Ok(_) => return Err(ErrorKind::Refused.into()),
            Err(ErrorKind::NotFound) => {}
            Err(purged) => return Err(purged.into()),
        }
        let (state, producer) = (State::Live, new.producer.clone());
        let extent = Extent { state, generation: 1, producer, lapsed: false, first: 1, next: 1 };
        let generations = vec![Generation { number: 1, first: 1, gap: None }];
        let (origin, progress) = (new.origin.clone(), Bytes::new());
        let record = Record { extent, origin, progress, generations };
        let (pieces, changed, new) = (Vec::new(), Instant::now(), new.clone());
        let created = Stream { new, record, pieces, changed, is_tombstone: false };
        table.streams.insert(stream.clone(), created);
        Ok(())
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        let mut table = self.lock();
        let append = |entry: &Append| table.stream(&entry.stream)?.append(entry);
        let results = batch.iter().map(append).collect();
        self.tell();
        Ok(results)
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        self.lock().record(stream)
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        let mut table = self.lock();
        let extent = table.record(stream)?.extent;
        let (mut page, mut size) = (Vec::new(), 0);
        for (_, piece) in &table.stream(stream)?.pieces {
            size += if piece.next() > after + 1 { piece.bytes() } else { 0 };
            if size > bytes && !page.is_empty() {
                break;
            }
            page.extend(Some(piece.clone()).filter(|piece| piece.next() > after + 1));
        }
        Ok(Page { extent, pieces: page })
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let mut changes = self.0.changes.subscribe();
        loop {
            let extent = self.record(stream).await?.extent;
            if extent.is_news_after(seen) {
                return Ok(extent);
            }
            changes.changed().await.map_err(|gone| Error::new(ErrorKind::Failed, gone))?;
        }
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let mut table = self.lock();
        let extent = table.record(stream)?.extent;
        let is_due = extent.state == State::Aborted || extent.state == State::Live && extent.lapsed;
        if !is_due || extent.generation != claim.after {
            return Err(ErrorKind::Refused.into());
        }
        let claimed = table.stream(stream)?;
        let (number, gap) = (claim.after + 1, claim.gap);
        claimed.record.generations.push(Generation { number, first: extent.next, gap });
        let surplus = claimed.record.generations.len().saturating_sub(Record::MOST_GENERATIONS);
        claimed.record.generations.drain(..surplus);
        claimed.record.extent.generation = number;
        claimed.record.extent.producer = claim.producer.clone();
        claimed.record.extent.state = State::Live;
        claimed.changed = Instant::now();
        self.tell();
        table.record(stream)
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.lock().leases.insert(instance.clone(), Instant::now() + lease);
        Ok(())
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let mut table = self.lock();
        let Table { streams, leases } = &mut *table;
        let before = streams.len();
        streams.retain(|_, stream| {
            let extent = &stream.record.extent;
            let is_live = extent.state == State::Live && !stream.is_tombstone;
            let lease = leases.get(&extent.producer).filter(|_| is_live);
            let held = lease.map_or(stream.changed, |until| stream.changed.max(*until));
            held + stream.new.keep.age > Instant::now()
        });
        let pieces = streams.values_mut().map(Stream::trim).sum();
        let swept = Swept { pieces, streams: (before - streams.len()) as u64 };
        leases.retain(|instance, until| {
            let is_producer = |stream: &Stream| stream.record.extent.producer == *instance;
            *until > Instant::now() || streams.values().any(is_producer)
        });
        self.tell();
        Ok(swept)
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let mut purged = 0;
        for (key, stream) in &mut self.lock().streams {
            let is_meant = match what {
                Purge::Stream(name) => key == name,
                Purge::Session(name) => stream.new.session.as_ref() == Some(name),
                Purge::Owner(name) => stream.new.owner.as_ref() == Some(name),
                Purge::All => true,
            };
            if is_meant && !stream.is_tombstone {
                stream.is_tombstone = true;
                stream.pieces.clear();
                stream.changed = Instant::now();
                purged += 1;
            }
        }
        self.tell();
        Ok(purged)
    }
}
