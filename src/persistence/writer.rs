//! The one writer of a layer: it keeps a cursor into each log, and writes what is new of all of them in batches.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::codec::{Encoder, encode_progress};
use super::losses::{forget, go_without, supersede};
use super::storage::{Storage, key_of};
use crate::log::StoredPiece;
use crate::observer::Observation;
use crate::registry::Registry;
use crate::resume::GapReason;
use crate::resume::event_id::Token;
use crate::store::backoff::Backoff;
use crate::store::{Append, Content, Error, ErrorKind, Piece, Purge, State, Store};
use crate::stream::{ForStore, Stream};

/// Streams in one batch.
const MOST_STREAMS: usize = 256;
/// Streams that are created at the same time.
const MOST_CREATED: usize = 32;
/// Streams that were purged while it was not known whether the store has them: how many of them are remembered while it
/// does not answer. What it has of others is there until this instance is gone, and their age over.
const MOST_DOUBTFUL: usize = 1024;
/// About how large a piece gets that is made of several events.
const PIECE: usize = 32 * 1024;

/// How long a stream waits that the store does not take, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long new streams wait for the lease before others are written.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// What is new of one stream, and was not acknowledged yet.
type Pending = (Arc<Stream>, Append);

/// A stream that is to be created.
#[derive(Clone)]
struct New {
    stream: Arc<Stream>,
    /// It was tried, and no answer came: the store may have it. Then it is created even if it was purged since, so that
    /// it is known what to remove.
    is_doubtful: bool,
}

/// What the writer has taken from the queue, and the store does not have yet.
struct Writer {
    storage: Arc<Storage>,
    encoder: Encoder,
    pending: Vec<Pending>,
    /// Streams that are to be created.
    new: Vec<New>,
    /// Streams that the store does not take, though it takes others: they wait by themselves, and are in nobody's way.
    failing: HashMap<Token, Failing>,
    /// Whether there was more in the queue than a batch has room for.
    leaves_some: bool,
    /// Since when the store has not taken anything.
    failing_since: Option<Instant>,
    backoff: Backoff,
}

/// A stream that the store does not take.
struct Failing {
    of: Weak<Stream>,
    since: Instant,
    pause: Duration,
    /// When it is tried again; `None`: it is being tried.
    due: Option<(Instant, Arc<Stream>)>,
}

/// Writes as long as the layer, or one of its streams, is there.
pub(super) async fn write(storage: Arc<Storage>, registry: Weak<Registry>) {
    let mut writer = Writer::new(storage);
    loop {
        let storage = &writer.storage;
        if writer.is_empty() && storage.is_idle() {
            if registry.strong_count() == 0 {
                return;
            }
            match writer.next_try() {
                Some(due) => drop(timeout_at(due, storage.news.notified()).await),
                None => storage.news.notified().await,
            }
        }
        let delay = storage.options.batch_delay;
        // A timer would take a millisecond even where there is no delay.
        if !writer.leaves_some && !delay.is_zero() {
            // What comes now is written with it.
            let _ = timeout(delay, storage.hurry.notified()).await;
        }
        writer.round().await;
    }
}

impl Writer {
    fn new(storage: Arc<Storage>) -> Self {
        let (pending, new) = (Vec::new(), Vec::new());
        let encoder = Encoder::new(storage.options.encoding);
        let (leaves_some, failing_since) = (false, None);
        let backoff = Backoff::new();
        let failing = HashMap::new();
        Self { storage, encoder, pending, new, failing, leaves_some, failing_since, backoff }
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.new.is_empty()
    }

    /// Writes what there is, once. If the store does not take it, it is for the next round, after a pause.
    async fn round(&mut self) {
        self.leaves_some = false;
        self.try_again();
        let is_purged = purge(&self.storage).await;
        let room = self.storage.options.batch_bytes.saturating_sub(self.bytes());
        if room > 0 {
            self.take(room);
        }
        let is_created = self.create().await;
        let is_written = self.append().await;
        self.storage.progress.notify_waiters();
        if is_purged && is_created && is_written {
            self.failing_since = None;
            self.backoff = Backoff::new();
            return;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.storage.options.outage_timeout {
            self.break_off();
        }
        self.backoff.wait().await;
    }

    /// When the next of those is due that the store does not take.
    fn next_try(&self) -> Option<Instant> {
        self.failing.values().filter_map(|failing| Some(failing.due.as_ref()?.0)).min()
    }

    /// Queues those that are due.
    fn try_again(&mut self) {
        let now = Instant::now();
        for failing in self.failing.values_mut() {
            if let Some((_, stream)) = failing.due.take_if(|(due, _)| *due <= now) {
                self.storage.requeue(&stream);
            }
        }
        self.failing.retain(|_, failing| failing.of.strong_count() > 0);
    }

    /// The store does not take this stream. It is tried again ever more rarely, with what it has by then.
    fn set_aside(&mut self, stream: Arc<Stream>) {
        let now = Instant::now();
        let failing = self.failing.entry(stream.token).or_insert_with(|| Failing {
            of: Arc::downgrade(&stream),
            since: now,
            pause: FIRST_PAUSE,
            due: None,
        });
        if now - failing.since >= self.storage.options.outage_timeout {
            stream.break_off_unstored();
        }
        stream.take_again_from(stream.stored_next());
        failing.due = Some((now + failing.pause, stream));
        failing.pause = (failing.pause * 2).min(LONGEST_PAUSE);
    }

    /// Bytes that wait for the store already.
    fn bytes(&self) -> usize {
        self.pending.iter().map(|(_, append)| append.bytes() as usize).sum()
    }

    /// Takes what is new, of about `room` bytes.
    fn take(&mut self, mut room: usize) {
        let mut streams = self.storage.take_streams(MOST_STREAMS).into_iter();
        self.leaves_some = streams.len() == MOST_STREAMS;
        for stream in streams.by_ref() {
            if stream.is_to_be_created() {
                self.new.push(New { stream, is_doubtful: false });
                continue;
            }
            let Some(taken) = stream.take_for_store(room, PIECE) else { continue };
            room = room.saturating_sub(taken.batch.bytes);
            self.add(stream, taken);
            if room == 0 {
                self.leaves_some = true;
                break;
            }
        }
        self.storage.put_back(streams);
    }

    fn add(&mut self, stream: Arc<Stream>, taken: ForStore) {
        if taken.is_empty() {
            self.acknowledge(&stream, taken.first, false);
            return;
        }
        let ForStore { generation, first, batch, progress, gap, end } = taken;
        let lost = batch.pieces.iter().map(not_stored).sum::<u64>();
        if lost > 0 {
            self.storage.count(0, lost);
            stream.observe(Observation::NotStored { events: lost });
        }
        let pieces = batch.pieces.into_iter().map(|piece| self.encoder.piece(piece)).collect();
        let progress = progress.as_ref().map(encode_progress);
        let key = key_of(&stream.token, &stream.registry);
        let append = Append { stream: key, generation, first, pieces, progress, gap, end };
        self.pending.push((stream, append));
    }

    /// Creates the new streams. Returns whether the store has taken them all.
    async fn create(&mut self) -> bool {
        if self.new.is_empty() {
            return true;
        }
        if timeout(LEASE_PATIENCE, self.storage.leased()).await.is_err() {
            return false;
        }
        let mut doubtful = 0;
        self.new.retain(|New { stream, is_doubtful }| {
            let is_purged = !stream.is_to_be_created();
            doubtful += usize::from(is_purged && *is_doubtful);
            !is_purged || *is_doubtful && doubtful <= MOST_DOUBTFUL
        });
        // What is dropped in the middle is still known here.
        let mut new = self.new.clone();
        let mut failed = Vec::new();
        while !new.is_empty() {
            let now = new.split_off(new.len().saturating_sub(MOST_CREATED));
            let mut creations = JoinSet::new();
            for New { stream, .. } in now {
                let storage = Arc::clone(&self.storage);
                creations.spawn(async move {
                    let created = storage.create(&stream).await;
                    (stream, created)
                });
            }
            while let Some(done) = creations.join_next().await {
                // It does not panic, but where the runtime ends.
                let Ok((stream, created)) = done else { continue };
                match created {
                    // It was purged here meanwhile.
                    Ok(()) if !stream.created() => {
                        let key = key_of(&stream.token, &stream.registry);
                        self.storage.put_back_purges(vec![Purge::Stream(key)]);
                    }
                    Ok(()) => {
                        let next = stream.stored_next();
                        self.acknowledge(&stream, next, false);
                    }
                    Err(error) => match error.kind() {
                        ErrorKind::Refused | ErrorKind::LimitReached => go_without(&stream),
                        ErrorKind::Purged => forget(&stream),
                        ErrorKind::Unreachable => failed.push(New { stream, is_doubtful: true }),
                        _ => self.set_aside(stream),
                    },
                }
            }
        }
        self.new = failed;
        self.new.is_empty()
    }

    /// Appends what is pending. Returns whether the store has taken it all.
    async fn append(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let batch: Vec<_> = self.pending.iter().map(|(_, append)| append.clone()).collect();
        let storage = Arc::clone(&self.storage);
        let results = append_all(&storage, &batch).await;
        // What is dropped before this is still known.
        let pending = std::mem::take(&mut self.pending);
        let is_reached = results.is_ok();
        if let Some(news) = storage.note(!is_reached) {
            pending.iter().take(1).for_each(|(stream, _)| stream.observe(news));
        }
        let written = results.unwrap_or_else(|_| {
            batch.iter().map(|_| Err(Error::from(ErrorKind::Unreachable))).collect()
        });
        let mut all = is_reached;
        for ((stream, append), result) in pending.into_iter().zip(written) {
            match result {
                Ok(()) => {
                    storage.count(events_of(&append), 0);
                    self.acknowledge(&stream, append.next(), append.end.is_some());
                }
                Err(error) => match error.kind() {
                    ErrorKind::Refused => all &= self.reconcile(stream, append).await,
                    ErrorKind::Purged => forget(&stream),
                    ErrorKind::NotFound => go_without(&stream),
                    ErrorKind::LimitReached | ErrorKind::InvalidData if has_events(&append) => {
                        all = false;
                        self.pending.push((stream, without_events(&storage, append)));
                    }
                    ErrorKind::Unreachable => {
                        all = false;
                        self.pending.push((stream, append));
                    }
                    _ => self.set_aside(stream),
                },
            }
        }
        all
    }

    fn acknowledge(&mut self, stream: &Arc<Stream>, next: u64, end: bool) {
        if !self.failing.is_empty() {
            self.failing.remove(&stream.token);
        }
        if stream.acknowledged(next, end) {
            self.storage.requeue(stream);
        }
    }

    /// An append does not fit what the store has: it was written before, or somebody else produces the stream now, or
    /// the store has fallen back. Returns whether that is clear.
    async fn reconcile(&mut self, stream: Arc<Stream>, append: Append) -> bool {
        let storage = Arc::clone(&self.storage);
        let record = match storage.record(&append.stream).await {
            Ok(record) => record,
            Err(error) => {
                match error.kind() {
                    ErrorKind::Purged => forget(&stream),
                    ErrorKind::NotFound => go_without(&stream),
                    _ => {
                        self.pending.push((stream, append));
                        return false;
                    }
                }
                return true;
            }
        };
        let extent = &record.extent;
        let is_ours = storage.is_producer(&record) && extent.generation == append.generation;
        let is_written = match append.end {
            Some(end) => extent.state == State::from(end) && extent.next == append.next(),
            None => extent.state == State::Live && extent.next >= append.next(),
        };
        if is_ours && is_written {
            storage.count(events_of(&append), 0);
            self.acknowledge(&stream, append.next(), append.end.is_some());
        } else if is_ours && extent.state == State::Live {
            // It has lost what it had acknowledged, as some do when they fail over: it gets that again.
            stream.take_again_from(extent.next);
            storage.requeue(&stream);
        } else {
            supersede(&stream);
        }
        true
    }

    /// Breaks off the responses that have waited too long.
    fn break_off(&self) {
        let new = self.new.iter().map(|new| &new.stream);
        let waiting = self.pending.iter().map(|(stream, _)| stream).chain(new);
        waiting.for_each(Stream::break_off_unstored);
    }
}

impl Drop for Writer {
    /// Its runtime has ended: the next event of each stream starts another writer.
    fn drop(&mut self) {
        let pending = self.pending.drain(..).map(|(stream, _)| stream);
        let queued = self.storage.take_streams(usize::MAX);
        let failing = self.failing.drain().filter_map(|(_, failing)| Some(failing.due?.1));
        let all =
            pending.chain(self.new.drain(..).map(|new| new.stream)).chain(failing).chain(queued);
        all.for_each(|stream| stream.leave_queue());
    }
}

/// Appends a batch. If the store does not take it as a whole, though it answers, one by one: what it takes is not to wait
/// for what it never will.
async fn append_all(storage: &Storage, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
    let results = storage.call(storage.store.append(batch)).await;
    match results {
        Err(error) if error.kind() != ErrorKind::Unreachable => {
            if batch.len() == 1 {
                return Ok(vec![Err(error)]);
            }
            let mut results = Vec::with_capacity(batch.len());
            for append in batch {
                let result = storage.call(storage.store.append(std::slice::from_ref(append))).await;
                results.push(result.and_then(|mut results| results.pop().unwrap_or(Ok(()))));
            }
            Ok(results)
        }
        results => results,
    }
}

/// Whether all is purged that was asked for.
async fn purge(storage: &Storage) -> bool {
    let mut purges = storage.take_purges();
    while let Some(what) = purges.first() {
        if storage.store_purge(what).await.is_err() {
            storage.put_back_purges(purges);
            return false;
        }
        purges.remove(0);
    }
    true
}

/// How many events of a piece the store came too late for.
fn not_stored(piece: &StoredPiece) -> u64 {
    match piece {
        StoredPiece::Hole { count, reason: GapReason::NotStored, .. } => *count,
        _ => 0,
    }
}

fn has_events(append: &Append) -> bool {
    append.pieces.iter().any(|piece| matches!(piece.content, Content::Events(_)))
}

/// How many events are written; those of holes are not.
fn events_of(append: &Append) -> u64 {
    let events = |piece: &Piece| match piece.content {
        Content::Events(_) => piece.count,
        Content::Hole(_) => 0,
    };
    append.pieces.iter().map(events).sum()
}

/// The same with holes in place of events: one of them is larger than the store can hold.
fn without_events(storage: &Storage, append: Append) -> Append {
    let hole = |piece: Piece| match piece.content {
        Content::Hole(_) => piece,
        Content::Events(_) => {
            storage.count(0, piece.count);
            Piece::hole(piece.first, piece.count, GapReason::NotStored)
        }
    };
    Append { pieces: append.pieces.into_iter().map(hole).collect(), ..append }
}
