//! What all services of a layer share of its store: who this instance is there, what is to be written, and whether the
//! store answers.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, sleep};

use super::codec::{self, StoredOrigin};
use super::lease::{self, Contact};
use super::{Durability, Options, Persistence, secret_of};
use super::{possible, writer};
use crate::config::Config;
use crate::handle::StreamId;
use crate::jitter::jitter;
use crate::log::{LaterGeneration, Progress, Restored};
use crate::observer::Observation;
use crate::random;
use crate::registry::Registry;
use crate::resume::event_id::Token;
use crate::store::{
    AnyStore, Append, Claim, End, Error, ErrorKind, Extent, Keep, Key, NewStream, Page, Purge,
    Record, State, Store,
};
use crate::stream::Stream;
use crate::time;

/// How long a request waits for the store.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after an error, before a claim is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// See the [module](self).
pub(crate) struct Storage {
    pub(crate) store: AnyStore,
    pub(crate) options: Options,
    secret: [u8; 32],
    /// This layer, in this process.
    instance: Key,
    queue: Mutex<Queue>,
    /// There is something in the queue.
    pub(super) news: Notify,
    /// Somebody waits for what is in the queue.
    pub(super) hurry: Notify,
    /// Something was written.
    pub(super) progress: Notify,
    contact: Mutex<Contact>,
    claims: Mutex<Claims>,
    is_away: AtomicBool,
    stored: AtomicU64,
    not_stored: AtomicU64,
}

/// What is to be written.
#[derive(Default)]
struct Queue {
    streams: Vec<Arc<Stream>>,
    purges: Vec<Purge>,
    /// The tasks that write and that keep the lease.
    tasks: Vec<AbortHandle>,
}

impl Queue {
    /// What the last writer had taken is lost with it: it is to be taken again.
    fn recover(&mut self, registry: &Registry) {
        let mut known = HashSet::new();
        let streams = std::mem::take(&mut self.streams).into_iter();
        let streams = streams.chain(registry.all().collect::<Vec<_>>());
        let each_once = streams.filter(|stream| known.insert(Arc::as_ptr(stream)));
        self.streams = each_once.filter(|stream| stream.take_all_again()).collect();
    }
}

/// Who of this instance claims what.
#[derive(Default)]
struct Claims {
    /// Streams that a request is about to claim.
    running: HashSet<Token>,
    /// Streams that are produced here, or were, as long as something of them is to be written.
    producing: HashMap<Token, Weak<Stream>>,
    /// How many of those there may be before the dead ones are looked for.
    most_producing: usize,
}

/// The right to claim a stream: no other request of this instance has it meanwhile.
pub(crate) struct Claiming {
    storage: Arc<Storage>,
    token: Token,
}

impl Drop for Claiming {
    fn drop(&mut self) {
        self.storage.claims().running.remove(&self.token);
        self.storage.progress.notify_waiters();
    }
}

/// A stream as the store has it.
pub(crate) struct StoredStream {
    pub(crate) record: Record,
    pub(crate) origin: StoredOrigin,
    pub(crate) progress: Progress,
}

impl StoredStream {
    fn new(record: Record) -> Result<Self, Error> {
        let malformed = |_| Error::new(ErrorKind::InvalidData, "it is of another version");
        let record = possible::record(record)?;
        let origin = StoredOrigin::decode(&record.origin).map_err(malformed)?;
        let mut progress = codec::decode_progress(&record.progress).map_err(malformed)?;
        // Until the inner service gives an ID, its last one is that which it was called with.
        let called_with = origin.inner_id.as_ref().filter(|id| !id.is_empty());
        progress.inner_id = progress.inner_id.or_else(|| called_with.cloned());
        Ok(Self { record, origin, progress })
    }

    /// The generations before the running one, but for the first.
    pub(crate) fn generations_before(&self) -> Vec<LaterGeneration> {
        let running = self.record.extent.generation;
        let all = generations(&self.record).into_iter();
        all.filter(|(number, ..)| *number < running).collect()
    }

    /// What a log is made of that begins before the event `next`.
    pub(crate) fn restored(&self, next: u64) -> Restored {
        Restored { next, generations: generations(&self.record), progress: self.progress.clone() }
    }
}

/// All generations but the first.
pub(super) fn generations(record: &Record) -> Vec<LaterGeneration> {
    let later = record.generations.iter().filter(|generation| generation.number > 1);
    later.map(|generation| (generation.number, generation.first, generation.gap)).collect()
}

/// What the store knows a stream by.
pub(crate) fn key_of(token: &Token, registry: &Registry) -> Key {
    key_of_stream(StreamId::named(token, &registry.keys))
}

/// The same, by what operators know it by.
pub(crate) fn key_of_stream(id: StreamId) -> Key {
    key(id.to_string())
}

/// What the store knows a session or an owner by.
pub(crate) fn key_of_fingerprint(fingerprint: u128) -> Key {
    key(format!("{fingerprint:032x}"))
}

fn key(text: String) -> Key {
    // 32 digits are one.
    Key::new(text).unwrap_or_else(|_| Key::of_static("unnamed"))
}

/// Whether an error says something of the stream, and not of the store.
pub(crate) fn is_about_the_stream(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::Purged | ErrorKind::InvalidData
    )
}

impl Storage {
    pub(crate) fn new(persistence: Persistence) -> Self {
        let Persistence { store, secret, options } = persistence;
        let mut random = [0; 16];
        // Without random bytes nothing can be named, and so nothing is produced.
        let _ = random::fill(&mut random);
        Self {
            store,
            options,
            secret,
            instance: key_of_fingerprint(u128::from_be_bytes(random)),
            queue: Mutex::default(),
            news: Notify::new(),
            hurry: Notify::new(),
            progress: Notify::new(),
            contact: Mutex::default(),
            claims: Mutex::default(),
            is_away: AtomicBool::new(false),
            stored: AtomicU64::new(0),
            not_stored: AtomicU64::new(0),
        }
    }

    /// The same with another secret, for a layer that was given one.
    pub(crate) fn with_secret(&self, secret: [u8; 32]) -> Persistence {
        let (store, options) = (self.store.clone(), self.options);
        Persistence { store, secret, options }
    }

    pub(crate) fn commits_first(&self) -> bool {
        self.options.durability == Durability::CommitFirst
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contact(&self) -> MutexGuard<'_, Contact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Claims

    /// Notes that a stream is produced here.
    pub(crate) fn produces(&self, stream: &Arc<Stream>) {
        let mut claims = self.claims();
        claims.producing.insert(stream.token, Arc::downgrade(stream));
        if claims.producing.len() > claims.most_producing {
            claims.producing.retain(|_, stream| stream.strong_count() > 0);
            claims.most_producing = 2 * claims.producing.len() + 64;
        }
    }

    /// Waits for the right to claim a stream: until no other request has it, and all is written that was said of it here.
    pub(crate) async fn claiming(self: &Arc<Self>, token: &Token) -> Result<Claiming, Error> {
        let is_unwritten = || {
            let stream = self.claims().producing.get(token).and_then(Weak::upgrade);
            stream.is_some_and(|stream| !stream.is_all_stored())
        };
        let is_free = || !is_unwritten() && self.claims().running.insert(*token);
        self.until(is_free).await?;
        Ok(Claiming { storage: Arc::clone(self), token: *token })
    }

    /// Whether this instance is the producer of a live stream, by the store.
    pub(crate) fn is_produced_here(&self, stored: &StoredStream) -> bool {
        stored.record.extent.state == State::Live && self.is_producer(&stored.record)
    }

    /// Gives up a stream that nobody here produces, though the store says so: the answer to a claim was lost.
    pub(crate) async fn give_up(&self, key: &Key, record: &Record) -> Result<(), Error> {
        let Extent { generation, next: first, .. } = record.extent;
        let (stream, end) = (key.clone(), Some(End::Aborted));
        let append = Append {
            stream,
            generation,
            first,
            pieces: Vec::new(),
            progress: None,
            gap: None,
            end,
        };
        // Whether it is refused or not, how it stands is looked up again.
        self.ask(self.store.append(&[append])).await.map(|_| ())
    }

    // The queue

    /// There is something to write of a stream.
    pub(crate) fn queue(self: &Arc<Self>, stream: &Arc<Stream>) {
        self.lock().streams.push(Arc::clone(stream));
        self.news.notify_one();
        self.ensure_tasks(&stream.registry, &stream.config);
    }

    /// Removes what the store has. It is tried until it succeeds, as long as there is the layer.
    pub(crate) fn purge(self: &Arc<Self>, what: Purge, registry: &Arc<Registry>) {
        self.lock().purges.push(what);
        self.news.notify_one();
        self.ensure_tasks(registry, &Config::default());
    }

    /// Starts the tasks that write and that keep the lease, if there are none: the last ones may have gone with their
    /// runtime.
    pub(crate) fn ensure_tasks(self: &Arc<Self>, registry: &Arc<Registry>, config: &Config) {
        let mut queue = self.lock();
        if !queue.tasks.is_empty() && !queue.tasks.iter().any(AbortHandle::is_finished) {
            return;
        }
        let Some(runtime) = time::runtime() else { return };
        if !queue.tasks.is_empty() {
            queue.tasks.drain(..).for_each(|task| task.abort());
            queue.recover(registry);
        }
        let (registry, age) = (Arc::downgrade(registry), config.rules.retention.age);
        let keep = lease::keep(Arc::clone(self), registry.clone(), age);
        let write = writer::write(Arc::clone(self), registry);
        queue.tasks = vec![runtime.spawn(keep).abort_handle(), runtime.spawn(write).abort_handle()];
    }

    /// What there is to write now.
    pub(super) fn take_streams(&self, most: usize) -> Vec<Arc<Stream>> {
        let mut queue = self.lock();
        let count = queue.streams.len().min(most);
        queue.streams.drain(..count).collect()
    }

    /// Puts streams back that were taken and not looked at.
    pub(super) fn put_back(&self, streams: impl Iterator<Item = Arc<Stream>>) {
        self.lock().streams.extend(streams);
    }

    /// There is more to write of a stream.
    pub(super) fn requeue(&self, stream: &Arc<Stream>) {
        self.put_back(std::iter::once(Arc::clone(stream)));
    }

    pub(super) fn take_purges(&self) -> Vec<Purge> {
        std::mem::take(&mut self.lock().purges)
    }

    pub(super) fn put_back_purges(&self, mut purges: Vec<Purge>) {
        let mut queue = self.lock();
        purges.append(&mut queue.purges);
        queue.purges = purges;
    }

    pub(super) fn is_idle(&self) -> bool {
        let queue = self.lock();
        queue.streams.is_empty() && queue.purges.is_empty()
    }

    /// Has the writer look whether the layer is still there.
    pub(crate) fn close(&self) {
        self.news.notify_one();
    }

    // The store

    /// Asks the store, but not for ever.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.call_within(self.options.lease.max(PATIENCE), call).await
    }

    /// What the store has of a stream, for who does not wait for it.
    pub(super) async fn record(&self, key: &Key) -> Result<Record, Error> {
        self.call(self.store.record(key)).await.and_then(possible::record)
    }

    /// Events of a stream after `after`.
    pub(super) async fn read(&self, key: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        self.call(self.store.read(key, after, bytes)).await.and_then(possible::page)
    }

    /// Asks the store for a request that waits.
    async fn ask<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.call_within(PATIENCE, call).await
    }

    async fn call_within<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = || Error::new(ErrorKind::Unreachable, "it did not answer in time");
        time::timeout(patience, call).await.unwrap_or_else(|| Err(late()))
    }

    /// Notes whether the store answers. Returns what is new about that.
    pub(super) fn note(&self, is_away: bool) -> Option<Observation> {
        let was_away = self.is_away.swap(is_away, Ordering::Relaxed);
        match (was_away, is_away) {
            (false, true) => Some(Observation::StoreAway),
            (true, false) => Some(Observation::StoreBack),
            _ => None,
        }
    }

    /// Whether the store did not answer when it was last asked to write.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Events that were written, and events that never will be.
    pub(super) fn count(&self, stored: u64, not_stored: u64) {
        self.stored.fetch_add(stored, Ordering::Relaxed);
        self.not_stored.fetch_add(not_stored, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.stored.load(Ordering::Relaxed), self.not_stored.load(Ordering::Relaxed))
    }

    /// A stream for the store, as it is to be created.
    pub(crate) fn new_stream(&self, stream: &Stream) -> NewStream {
        let (origin, config) = (&stream.origin, &stream.config);
        let retention = &config.rules.retention;
        let stored = StoredOrigin {
            binding: origin.binding,
            is_shared: origin.is_shared,
            repeatable: origin.repeatable,
            inner_id: origin.inner_id.as_deref().map(<[u8]>::to_vec),
            headers: http::HeaderMap::clone(&origin.headers),
            page: origin.page,
            exchange: origin.exchange.as_ref().map(|exchange| exchange.encode()),
        };
        NewStream {
            producer: self.instance.clone(),
            session: origin.binding.session.map(key_of_fingerprint),
            owner: origin.binding.owner.map(key_of_fingerprint),
            origin: stored.encode(),
            keep: Keep {
                events: retention.events.max(config.rules.dedupe_window as u64),
                bytes: retention.bytes as u64,
                age: retention.age,
            },
        }
    }

    /// Creates a stream, unless that has happened.
    pub(crate) async fn create(&self, stream: &Stream) -> Result<(), Error> {
        let key = key_of(&stream.token, &stream.registry);
        let created = self.call(self.store.create(&key, &self.new_stream(stream))).await;
        match created {
            Err(error) if error.kind() == ErrorKind::Refused => {
                let record = self.record(&key).await?;
                let is_ours = record.extent.producer == self.instance;
                if is_ours { Ok(()) } else { Err(error) }
            }
            created => created,
        }
    }

    /// The same for a request that waits.
    pub(crate) async fn create_now(&self, stream: &Stream) -> Result<(), Error> {
        self.ask(async {
            self.leased().await;
            self.create(stream).await
        })
        .await
    }

    /// What the store has of a stream.
    pub(crate) async fn look_up(&self, key: &Key) -> Result<StoredStream, Error> {
        StoredStream::new(self.ask(self.store.record(key)).await?)
    }

    /// Makes this instance the producer of the generation after `after`.
    pub(crate) async fn claim(&self, key: &Key, after: u32) -> Result<StoredStream, Error> {
        let producer = self.instance.clone();
        let claim = Claim { after, producer, gap: None };
        let claimed = self
            .ask(async {
                self.leased().await;
                self.store.claim(key, &claim).await
            })
            .await;
        let record = match claimed {
            Ok(record) => record,
            // The answer to an earlier one may have been lost.
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let record = self.ask(self.store.record(key)).await?;
                let extent = &record.extent;
                let is_ours = extent.producer == self.instance && extent.state == State::Live;
                if extent.generation <= after || !is_ours {
                    return Err(error);
                }
                record
            }
            Err(error) => return Err(error),
        };
        StoredStream::new(record)
    }

    /// The same, until it is known what came of it: what the store has given unnoticed would be nobody's, for as long as
    /// this instance lives.
    pub(crate) async fn claim_surely(&self, key: &Key, after: u32) -> Result<StoredStream, Error> {
        loop {
            match self.claim(key, after).await {
                Err(error) if !is_about_the_stream(error.kind()) => {
                    sleep(jitter(PAUSE, 1.0)).await;
                }
                known => return known,
            }
        }
    }

    /// Has a task do it, to its end in any case, and waits for that no longer than a request would.
    pub(crate) async fn in_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        // Where there is none to run it, nothing is claimed, since nothing keeps the lease.
        let Some(runtime) = time::runtime() else { return Err(ErrorKind::Unreachable.into()) };
        let task = runtime.spawn(work);
        let failed = |error| Error::new(ErrorKind::Failed, error);
        self.ask(async { task.await.map_err(failed)? }).await
    }

    pub(super) fn is_producer(&self, record: &Record) -> bool {
        record.extent.producer == self.instance
    }

    /// Purges, and keeps the secret.
    pub(super) async fn store_purge(&self, what: &Purge) -> Result<(), Error> {
        self.call(self.store.purge(what)).await?;
        if *what == Purge::All {
            self.call(async { secret_of(&self.store, &self.secret).await.map(|_| ()) }).await?;
        }
        Ok(())
    }

    // The lease

    /// Renews the lease; says whether the store has answered.
    pub(super) async fn renew(&self) -> bool {
        let (begun, lease) = (Instant::now(), self.options.lease);
        let patience = lease / 3;
        let renewed = self.call_within(patience, self.store.renew(&self.instance, lease)).await;
        {
            let mut contact = self.contact();
            match &renewed {
                Ok(()) => contact.renewed(begun, lease),
                Err(_) => contact.failed(),
            }
        }
        if renewed.is_ok() {
            self.progress.notify_waiters();
        }
        renewed.is_ok()
    }

    /// Ends the lease, if the store answers.
    pub(super) async fn give_up_lease(&self) {
        let _ = self.ask(self.store.renew(&self.instance, Duration::ZERO)).await;
    }

    /// Waits until this instance has a lease: what it produces without one is anybody's.
    pub(super) async fn leased(&self) {
        loop {
            let progress = self.progress.notified();
            if self.contact().holds(Instant::now()) {
                return;
            }
            progress.await;
        }
    }

    /// Whether this instance may go on with what another one's lapsed lease has left.
    pub(crate) fn may_claim_lapsed(&self) -> bool {
        self.contact().may_claim(Instant::now(), self.options.lease)
    }

    /// Waits until the store has the end of a stream that has ended.
    pub(crate) async fn end_stored(&self, stream: &Stream) -> Result<(), Error> {
        self.until(|| stream.is_ended_in_store()).await
    }

    /// Waits until the store has all that was said.
    async fn until(&self, done: impl Fn() -> bool) -> Result<(), Error> {
        self.ask(async {
            loop {
                let progress = self.progress.notified();
                if done() {
                    return Ok(());
                }
                self.hurry.notify_one();
                progress.await;
            }
        })
        .await
    }

    /// Hands all over to other instances: waits until what is there is written, no longer than requests wait.
    pub(crate) async fn hand_over(&self, registry: &Registry) -> Result<(), Error> {
        let streams: Vec<_> = registry.all().collect();
        self.until(|| streams.iter().all(|stream| stream.is_all_stored())).await?;
        self.until(|| self.is_idle()).await
    }
}
