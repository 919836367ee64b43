//! Streams and leases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::bytes::{Bytes, BytesMut};
use async_nats::jetstream::stream::{Config, Republish};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::bytes::{Reader, Writer, malformed};
use super::error::Unstored;
use super::server::{Log, Message, Server, Stored};
use super::step::{Data, Step};
use super::subjects::{Subjects, part};
use crate::store::codes::{columns, millis, unsigned};
use crate::store::{
    Append, Claim, Content, Error, ErrorKind, Extent, Key, NewStream, Piece, Purge, Record, State,
};

/// What the streams of the server say of themselves, so that no others are taken for them.
pub(super) const SCHEMA: &str = "tower-sse-resume, schema 1";
/// How many bytes of events go with a step; more go into messages of their own, so that a look at a stream stays cheap.
const INLINE: u64 = 32 << 10;
/// How many bytes such a message has.
const CHUNK: usize = 128 << 10;
/// How many such messages a step has at most; a batch has up to a thousand messages.
const MOST_CHUNKS: u64 = 900;
/// How many streams are worked on at the same time.
pub(super) const AT_ONCE: usize = 16;
/// Of how many streams the last step is remembered, for who appends the next.
const MOST_KNOWN: usize = 4096;

/// All streams of a store.
pub(super) struct Streams {
    pub(super) log: Log,
    pub(super) subjects: Subjects,
    known: Mutex<HashMap<Key, Arc<Step>>>,
}

/// A lease, by the server's clock in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) sequence: u64,
    pub(super) until: u64,
}

impl Streams {
    pub(super) async fn open(
        server: &Arc<Server>,
        prefix: &str,
        replicas: usize,
    ) -> Result<Self, Error> {
        let subjects = Subjects(prefix.to_owned());
        let news = Republish {
            source: subjects.all_steps(),
            destination: format!("{prefix}.n.{{{{wildcard(1)}}}}"),
            headers_only: true,
        };
        let config = Config {
            name: prefix.to_owned(),
            description: Some(SCHEMA.to_owned()),
            subjects: subjects.stored(),
            num_replicas: replicas,
            allow_rollup: true,
            allow_direct: true,
            allow_message_ttl: true,
            allow_atomic_publish: true,
            republish: Some(news),
            ..Config::default()
        };
        let log = server.open(config).await?;
        Ok(Self { log, subjects, known: Mutex::default() })
    }

    pub(super) async fn now(&self) -> Result<u64, Error> {
        self.log.now(&self.subjects.clock()).await
    }

    /// A stream's last step; also that of a tombstone.
    pub(super) async fn find(&self, stream: &Key) -> Result<Option<Step>, Error> {
        let last = self.log.last(&self.subjects.steps(stream)).await?;
        last.map(Step::decode).transpose()
    }

    /// The last step of a stream that is there.
    pub(super) async fn last(&self, stream: &Key) -> Result<Step, Error> {
        let step = self.find(stream).await?.ok_or(ErrorKind::NotFound)?;
        step.state().map(|_| step)
    }

    pub(super) async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        let origin = self.subjects.origin(stream, new.session.as_ref(), new.owner.as_ref());
        let origin = Message::new(origin, new.origin.clone());
        loop {
            let before = match self.find(stream).await? {
                Some(step) if step.is_gone() => step.sequence,
                Some(step) => return Err(step.state().err().unwrap_or(ErrorKind::Refused.into())),
                None => 0,
            };
            let first = |origin| {
                let step = Step::first(new, origin).encode();
                Message::new(self.subjects.steps(stream), step).after(before)
            };
            let created = if self.log.features().batches {
                self.log.store_all(vec![origin.clone(), first(0)]).await
            } else {
                let origin = self.log.store(origin.clone()).await?;
                let created = self.log.store(first(origin)).await;
                if let Err(Unstored::Overtaken) = created {
                    self.log.remove(origin).await?;
                }
                created
            };
            match created {
                Err(Unstored::Overtaken) => {}
                other => return Ok(other.map(drop)?),
            }
        }
    }

    pub(super) async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        let appending: Vec<_> = batch.iter().map(|append| self.append_entry(append)).collect();
        // All of them come to an end, also when one fails.
        let results: Vec<_> = stream::iter(appending).buffered(AT_ONCE).collect().await;
        results.into_iter().collect()
    }

    /// The result of an entry, or the error of the whole batch.
    async fn append_entry(&self, append: &Append) -> Result<Result<(), Error>, Error> {
        use ErrorKind::{LimitReached, NotFound, Purged, Refused};
        match self.append_one(append).await {
            Ok(()) => Ok(Ok(())),
            Err(error) if [LimitReached, NotFound, Purged, Refused].contains(&error.kind()) => {
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn append_one(&self, append: &Append) -> Result<(), Error> {
        if append.bytes() > MOST_CHUNKS * self.chunk() as u64 {
            return Err(ErrorKind::LimitReached.into());
        }
        if let Some(known) = self.known(&append.stream) {
            if let Ok(step) = known.appended(append) {
                match self.put(known.sequence, step, append).await {
                    Err(Unstored::Overtaken) => {}
                    other => return Ok(other?),
                }
            }
        }
        loop {
            let last = self.last(&append.stream).await?;
            match self.put(last.sequence, last.appended(append)?, append).await {
                Err(Unstored::Overtaken) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Stores a step with its bytes after the one that has this sequence.
    async fn put(&self, before: u64, mut step: Step, append: &Append) -> Result<(), Unstored> {
        // Until it is stored, nothing is known.
        self.forget(&append.stream);
        let mut messages = Vec::new();
        let bytes = joined(append);
        if append.bytes() <= INLINE {
            step.data = Data::Inline(bytes);
        } else {
            let size = self.chunk();
            messages = self.chunks(&append.stream, &step, bytes);
            let mut sequences = vec![0; messages.len()];
            if !self.log.features().batches {
                for (sequence, message) in sequences.iter_mut().zip(messages.drain(..)) {
                    *sequence = self.log.store(message).await?;
                }
            }
            step.data = Data::Chunks { size: size as u64, sequences };
        }
        let subject = self.subjects.steps(&append.stream);
        messages.push(Message::new(subject, step.encode()).after(before));
        step.sequence = self.log.store_all(messages).await?;
        step.data = Data::Inline(Bytes::new());
        self.remember(&append.stream, step);
        Ok(())
    }

    /// How many bytes of events a message of its own has.
    fn chunk(&self) -> usize {
        CHUNK.min(self.log.most_bytes() / 2).max(1)
    }

    fn chunks(&self, stream: &Key, step: &Step, mut bytes: Bytes) -> Vec<Message> {
        let subject = self.subjects.chunks(stream);
        // So late that who still reads it is far behind.
        let age = step.keep.age.saturating_mul(2).saturating_add(Duration::from_secs(60));
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let chunk = bytes.split_to(self.chunk().min(bytes.len()));
            chunks.push(self.log.aged(Message::new(&subject, chunk), age));
        }
        chunks
    }

    fn known(&self, stream: &Key) -> Option<Arc<Step>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    /// Remembers the last step of a stream that is appended to, if all of it is known: not, when only the server knows
    /// when its first event was stored.
    fn remember(&self, stream: &Key, step: Step) {
        if step.oldest != 0 && step.state().is_ok_and(|state| state == State::Live) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(stream.clone(), Arc::new(step));
        }
    }

    pub(super) fn forget(&self, stream: &Key) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
    }

    pub(super) async fn extent(&self, stream: &Key) -> Result<Extent, Error> {
        let step = self.last(stream).await?;
        self.extent_of(&step).await
    }

    pub(super) async fn extent_of(&self, step: &Step) -> Result<Extent, Error> {
        step.extent(self.lapsed(&step.producer).await?)
    }

    pub(super) async fn record(&self, stream: &Key) -> Result<Record, Error> {
        let mut seen = 0;
        loop {
            let step = self.last(stream).await?;
            if let Some(record) = self.record_of(&step).await? {
                return Ok(record);
            }
            // It was removed meanwhile, as the next step has to say.
            if seen == step.sequence {
                return Err(malformed());
            }
            seen = step.sequence;
        }
    }

    async fn record_of(&self, step: &Step) -> Result<Option<Record>, Error> {
        let Some(origin) = self.log.at(step.origin).await? else { return Ok(None) };
        Ok(Some(Record {
            extent: self.extent_of(step).await?,
            origin: origin.payload,
            progress: step.progress.clone(),
            generations: step.generations.clone(),
        }))
    }

    pub(super) async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        loop {
            let last = self.last(stream).await?;
            let step = last.claimed(claim)?;
            if last.state()? == State::Live && !self.lapsed(&last.producer).await? {
                return Err(ErrorKind::Refused.into());
            }
            let message = Message::new(self.subjects.steps(stream), step.encode());
            match self.log.store(message.after(last.sequence)).await {
                Err(Unstored::Overtaken) => {}
                other => {
                    other?;
                    return self.record_of(&step).await?.ok_or_else(malformed);
                }
            }
        }
    }

    pub(super) async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        let mut length = Writer::default();
        length.number(unsigned(millis(lease)));
        let message = Message::new(self.subjects.lease(instance), length.0);
        Ok(self.log.store(message.alone()).await.map(drop)?)
    }

    pub(super) async fn lease(&self, instance: &Key) -> Result<Option<Lease>, Error> {
        self.log.last(&self.subjects.lease(instance)).await?.map(lease).transpose()
    }

    async fn lapsed(&self, instance: &Key) -> Result<bool, Error> {
        match self.lease(instance).await? {
            Some(lease) if lease.until > 0 => Ok(lease.until <= self.now().await?),
            _ => Ok(true),
        }
    }

    pub(super) async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let (like, at) = match what {
            Purge::Stream(stream) => return Ok(u64::from(self.purge_one(stream, what).await?)),
            Purge::Session(session) => (self.subjects.origins_of_session(session), 4),
            Purge::Owner(owner) => (self.subjects.origins_of_owner(owner), 4),
            Purge::All => (self.subjects.all_steps(), 2),
        };
        let subjects = self.log.subjects(&like).await?;
        let streams: Vec<Key> =
            subjects.keys().map(|subject| part(subject, at)).collect::<Result<_, _>>()?;
        let purging: Vec<_> = streams.iter().map(|stream| self.purge_one(stream, what)).collect();
        let purged: Vec<bool> = stream::iter(purging).buffered(AT_ONCE).try_collect().await?;
        Ok(purged.into_iter().filter(|purged| *purged).count() as u64)
    }

    /// Leaves a tombstone instead of a stream, if it is there and meant.
    async fn purge_one(&self, stream: &Key, what: &Purge) -> Result<bool, Error> {
        loop {
            let Some(last) = self.find(stream).await?.filter(Step::is_there) else {
                return Ok(false);
            };
            let is_meant = match what {
                Purge::Session(session) => last.session.as_ref() == Some(session),
                Purge::Owner(owner) => last.owner.as_ref() == Some(owner),
                Purge::Stream(_) | Purge::All => true,
            };
            if !is_meant {
                return Ok(false);
            }
            match self.put_alone(stream, &last, &last.purged()).await {
                Err(Unstored::Overtaken) => {}
                other => {
                    let tombstone = other?;
                    self.clear(stream, last.origin, tombstone).await?;
                    return Ok(true);
                }
            }
        }
    }

    /// Stores a stream's last message in the place of all others on its subject.
    pub(super) async fn put_alone(
        &self,
        stream: &Key,
        last: &Step,
        step: &Step,
    ) -> Result<u64, Unstored> {
        self.forget(stream);
        let message = Message::new(self.subjects.steps(stream), step.encode());
        let message = self.log.aged(message.after(last.sequence).alone(), last.keep.age);
        self.log.store(message).await
    }

    /// Removes what lies beside the steps of a stream that is gone by the message of this sequence.
    pub(super) async fn clear(&self, stream: &Key, origin: u64, last: u64) -> Result<(), Error> {
        self.log.remove(origin).await?;
        self.log.remove_before(&self.subjects.chunks(stream), last).await.map(drop)
    }
}

pub(super) fn lease(stored: Stored) -> Result<Lease, Error> {
    let Stored { sequence, time, payload } = stored;
    let length = Reader(payload).number()?;
    // A lease that was given up has lapsed, whatever the clock says.
    Ok(Lease { sequence, until: if length == 0 { 0 } else { time + length } })
}

/// The bytes of all pieces, one after the other.
fn joined(append: &Append) -> Bytes {
    if let [Piece { content: Content::Events(only), .. }] = &append.pieces[..] {
        return only.clone();
    }
    let bytes = append.pieces.iter().map(|piece| columns(&piece.content).1);
    bytes
        .fold(BytesMut::with_capacity(append.bytes() as usize), |mut all, bytes| {
            all.extend_from_slice(bytes);
            all
        })
        .freeze()
}
