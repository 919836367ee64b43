//! Streams and leases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::{Failure, malformed};
use super::head::{self, Head};
use super::inbox::Queue;
use super::item::{Change, Place, SORT, binary, number, text};
use super::server::{Range, Server};
use super::steps::{self, Common, Layout, of_life, origin_key};
use super::topic::Topic;
use crate::store::codes::{millis, unsigned};
use crate::store::hex::{hex, named, unique};
use crate::store::wakeup::Wakeups;
use crate::store::{
    Append, Claim, Error, ErrorKind, Extent, Generation, Key, NewStream, Purge, Record, State,
};

/// How many streams are worked on at the same time.
pub(super) const AT_ONCE: usize = 16;
/// Of how many streams it is remembered which life they have, for who appends.
const MOST_KNOWN: usize = 4096;
/// DynamoDB removes by itself what is so much past its time, in milliseconds: a day.
pub(super) const SLACK: u64 = 86_400_000;

/// All streams of a table.
pub(super) struct Streams {
    pub(super) server: Server,
    /// Who in this process waits.
    pub(super) wakeups: Arc<Wakeups>,
    topic: Option<Topic>,
    lives: Mutex<HashMap<Key, Life>>,
}

/// What who appends has to know of a stream that it produces.
#[derive(Clone)]
struct Life {
    life: String,
    /// How long events are kept, in milliseconds.
    age: u64,
}

impl Life {
    fn of(head: &Head) -> Self {
        Self { life: head.life.clone(), age: unsigned(millis(head.keep.age)) }
    }
}

impl Streams {
    pub(super) fn new(server: Server, wakeups: Arc<Wakeups>, topic: Option<Topic>) -> Self {
        Self { server, wakeups, topic, lives: Mutex::default() }
    }

    /// Whether news comes without being looked for.
    pub(super) fn is_told(&self) -> bool {
        self.topic.as_ref().is_some_and(Topic::is_listening)
    }

    /// The queue in which it is told.
    pub(super) fn queue(&self) -> Option<Queue> {
        self.topic.as_ref().map(Topic::queue)
    }

    /// Removes a queue that may be another one.
    pub(super) async fn remove_queue(&self, queue: &Queue) -> Result<(), Error> {
        match &self.topic {
            Some(topic) => topic.remove_queue(queue).await,
            None => Err(ErrorKind::Unreachable.into()),
        }
    }

    /// The partition with all items of a stream.
    pub(super) fn partition(&self, stream: &Key) -> String {
        self.server.partition(&format!("stream#{}", hex(stream)))
    }

    pub(super) fn place(&self, stream: &Key) -> Place {
        Place::new(self.partition(stream), "head")
    }

    fn origin(&self, stream: &Key, life: &str) -> Place {
        Place::new(self.partition(stream), origin_key(life))
    }

    /// The partition with the names of all streams.
    pub(super) fn list(&self) -> String {
        self.server.partition("streams")
    }

    pub(super) fn listed(&self, stream: &Key) -> Place {
        Place::new(self.list(), hex(stream))
    }

    fn of_session(&self, session: &Key) -> String {
        self.server.partition(&format!("of-session#{}", hex(session)))
    }

    fn of_owner(&self, owner: &Key) -> String {
        self.server.partition(&format!("of-owner#{}", hex(owner)))
    }

    /// Where else than in the list of all it says that there is this stream.
    fn memberships(&self, stream: &Key, session: Option<&Key>, owner: Option<&Key>) -> Vec<Place> {
        let session = session.map(|session| self.of_session(session));
        let owner = owner.map(|owner| self.of_owner(owner));
        session.into_iter().chain(owner).map(|of| Place::new(of, hex(stream))).collect()
    }

    pub(super) fn leases(&self) -> String {
        self.server.partition("leases")
    }

    pub(super) fn lease_of(&self, instance: &Key) -> Place {
        Place::new(self.leases(), hex(instance))
    }

    /// A stream, or its tombstone.
    pub(super) async fn find(&self, stream: &Key) -> Result<Option<Head>, Error> {
        self.server.get(&self.place(stream)).await?.map(Head::decode).transpose()
    }

    /// A stream that is there.
    pub(super) async fn last(&self, stream: &Key) -> Result<Head, Error> {
        let head = self.find(stream).await?.ok_or(ErrorKind::NotFound)?;
        head.state().map(|_| head)
    }

    pub(super) async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        loop {
            let life = unique()?;
            let now = self.server.clock.latest();
            let origin = Change::put(self.origin(stream, &life), [("origin", binary(&new.origin))]);
            let mut changes = vec![
                Head::create(self.place(stream), new, &life, now),
                origin,
                Change::put(self.listed(stream), []),
            ];
            let places = self.memberships(stream, new.session.as_ref(), new.owner.as_ref());
            changes.extend(places.into_iter().map(|place| Change::put(place, [])));
            match self.server.write(changes).await {
                Ok(()) => {
                    let age = unsigned(millis(new.keep.age));
                    self.remember(stream, Life { life, age });
                    return Ok(());
                }
                Err(Failure::Condition(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
            match self.find(stream).await? {
                Some(head) if head.is_gone() => drop(self.clear(stream, &head).await?),
                Some(head) => return Err(head.state().err().unwrap_or(ErrorKind::Refused.into())),
                None => {}
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
        let layout = Layout::of(append)?;
        // Where a gap is to be noted, the generations have to be known.
        let mut known = self.life(&append.stream).filter(|_| append.gap.is_none());
        loop {
            let (life, head) = if let Some(life) = known.take() {
                (life, None)
            } else {
                let head = self.last(&append.stream).await?;
                if !head.fits(append) {
                    return Err(ErrorKind::Refused.into());
                }
                (Life::of(&head), Some(head))
            };
            // Until it is stored, nothing is known.
            self.forget(&append.stream);
            match self.put(append, &layout, &life, head.as_ref()).await {
                Err(Failure::Condition(_)) => {}
                Err(failure) => return Err(failure.into()),
                Ok(()) => {
                    if append.end.is_none() {
                        self.remember(&append.stream, life);
                    }
                    self.tell(&append.stream);
                    return Ok(());
                }
            }
        }
    }

    /// Stores an entry, if it comes next.
    async fn put(
        &self,
        append: &Append,
        layout: &Layout<'_>,
        life: &Life,
        head: Option<&Head>,
    ) -> Result<(), Failure> {
        let attempt = unique().map_err(Failure::Other)?;
        let partition = self.partition(&append.stream);
        let Life { life, age } = life;
        let now = self.server.clock.latest();
        let common = Common { partition: &partition, life, attempt: &attempt, now, age: *age };
        if !layout.is_inline() {
            let storing =
                layout.chunks(&common).into_iter().map(|chunk| self.server.write(vec![chunk]));
            let storing: Vec<_> = storing.collect();
            stream::iter(storing).buffered(AT_ONCE).try_collect::<()>().await?;
        }
        let mut changes = vec![self.appended(append, life, head, now)];
        changes.extend(layout.steps(&common));
        self.server.write(changes).await
    }

    /// How an entry changes the head.
    fn appended(&self, append: &Append, life: &str, head: Option<&Head>, now: u64) -> Change {
        let mut change = Change::update(
            self.place(&append.stream),
            "SET #revision = #revision + :one, #changed = :now",
        )
        .with(":one", number(1))
        .with(":now", number(now))
        .with(":life", text(life))
        .with(":live", head::code(State::Live))
        .with(":generation", number(append.generation.into()))
        .with(":first", number(append.first));
        let mut condition =
            "#life = :life AND #state = :live AND #generation = :generation AND #next = :first"
                .to_owned();
        if !append.pieces.is_empty() {
            change = change
                .set("#next = :next, #total = #total + :bytes")
                .set("#oldest = if_not_exists(#oldest, :now)")
                .with(":next", number(append.next()))
                .with(":bytes", number(append.bytes()));
        }
        if let Some(progress) = &append.progress {
            change = change.set("#progress = :progress").with(":progress", binary(progress));
        }
        if let Some(end) = append.end {
            change = change.set("#state = :end").with(":end", head::code(end.into()));
        }
        if let (Some(gap), Some(head)) = (append.gap, head) {
            let mut generations = head.generations.clone();
            if let Some(running) = generations.last_mut() {
                running.gap = Some(gap);
            }
            condition += " AND #revision = :revision";
            change = change
                .set("#generations = :generations")
                .with(":generations", head::generations(&generations))
                .with(":revision", number(head.revision));
        }
        change.only_if(condition)
    }

    /// Wakes who waits, here and elsewhere.
    pub(super) fn tell(&self, stream: &Key) {
        self.wakeups.wake(stream);
        if let Some(topic) = &self.topic {
            topic.tell(stream);
        }
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<Key, Life>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self, stream: &Key) -> Option<Life> {
        self.lives().get(stream).cloned()
    }

    fn remember(&self, stream: &Key, life: Life) {
        let mut lives = self.lives();
        if lives.len() >= MOST_KNOWN {
            lives.clear();
        }
        lives.insert(stream.clone(), life);
    }

    pub(super) fn forget(&self, stream: &Key) {
        self.lives().remove(stream);
    }

    pub(super) async fn extent(&self, stream: &Key) -> Result<Extent, Error> {
        let head = self.last(stream).await?;
        self.extent_of(&head).await
    }

    pub(super) async fn extent_of(&self, head: &Head) -> Result<Extent, Error> {
        head.extent(self.lapsed(&head.producer).await?)
    }

    pub(super) async fn record(&self, stream: &Key) -> Result<Record, Error> {
        let mut seen = None;
        loop {
            let head = self.last(stream).await?;
            let origin = self.origin(stream, &head.life);
            let both = try_join(self.server.get(&origin), self.lapsed(&head.producer));
            if let (Some(mut origin), lapsed) = both.await? {
                return head.record(lapsed, origin.bytes("origin")?);
            }
            // It was removed meanwhile, as the next look has to say.
            if seen == Some(head.revision) {
                return Err(malformed());
            }
            seen = Some(head.revision);
        }
    }

    pub(super) async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        loop {
            let head = self.last(stream).await?;
            if head.state()? == State::Finished || head.generation() != claim.after {
                return Err(ErrorKind::Refused.into());
            }
            let mut changes = vec![self.claimed(stream, &head, claim)];
            if head.is_live() {
                let lapsed = Change::check(self.lease_of(&head.producer))
                    .only_if("attribute_not_exists(#pk) OR #until <= :now")
                    .with(":now", number(self.server.clock.earliest()));
                changes.push(lapsed);
            }
            match self.server.write(changes).await {
                // The lease holds.
                Err(Failure::Condition(failed)) if failed.contains(&1) => {
                    return Err(ErrorKind::Refused.into());
                }
                Err(Failure::Condition(_)) => {}
                other => {
                    other?;
                    self.remember(stream, Life::of(&head));
                    self.tell(stream);
                    return self.record(stream).await;
                }
            }
        }
    }

    /// How a claim changes the head.
    fn claimed(&self, stream: &Key, head: &Head, claim: &Claim) -> Change {
        let mut generations = head.generations.clone();
        if generations.len() == Record::MOST_GENERATIONS {
            generations.remove(0);
        }
        let number_of = claim.after + 1;
        generations.push(Generation { number: number_of, first: head.next, gap: claim.gap });
        let steps = "#producer = :producer, #state = :live, #generation = :generation, \
                     #generations = :generations, #changed = :now";
        head.update_unchanged(self.place(stream), steps)
            .with(":producer", binary(claim.producer.as_bytes()))
            .with(":live", head::code(State::Live))
            .with(":generation", number(number_of.into()))
            .with(":generations", head::generations(&generations))
            .with(":now", number(self.server.clock.latest()))
    }

    pub(super) async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        // A lease that is given up has lapsed, whatever the clock says.
        let until = match unsigned(millis(lease)) {
            0 => 0,
            lease => self.server.clock.latest() + lease,
        };
        let put = Change::put(self.lease_of(instance), [("until", number(until))]);
        Ok(self.server.write(vec![put]).await?)
    }

    async fn lapsed(&self, instance: &Key) -> Result<bool, Error> {
        match self.server.get(&self.lease_of(instance)).await? {
            Some(lease) => Ok(lease.number::<u64>("until")? <= self.server.clock.earliest()),
            None => Ok(true),
        }
    }

    pub(super) async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let partition = match what {
            Purge::Stream(stream) => return Ok(u64::from(self.purge_one(stream).await?)),
            Purge::Session(session) => self.of_session(session),
            Purge::Owner(owner) => self.of_owner(owner),
            Purge::All => self.list(),
        };
        let streams = self.names(&partition).await?;
        let purging: Vec<_> = streams.iter().map(|stream| self.purge_one(stream)).collect();
        let purged: Vec<bool> = stream::iter(purging).buffered(AT_ONCE).try_collect().await?;
        Ok(purged.into_iter().filter(|purged| *purged).count() as u64)
    }

    /// The streams that a partition names.
    pub(super) async fn names(&self, partition: &str) -> Result<Vec<Key>, Error> {
        let items = self.server.all(&Range::all(partition)).await?;
        items.iter().map(|item| named(item.text(SORT)?)).collect()
    }

    /// Leaves a tombstone instead of a stream, if it is there.
    async fn purge_one(&self, stream: &Key) -> Result<bool, Error> {
        loop {
            let Some(head) = self.find(stream).await? else { return Ok(false) };
            if !head.is_there() {
                // Whoever purged it may not have come to its end.
                self.server.remove(&of_life(&self.partition(stream), &head.life)).await?;
                return Ok(false);
            }
            let (now, age) = (self.server.clock.latest(), unsigned(millis(head.keep.age)));
            let steps = "#state = :purged, #changed = :now, #ttl = :ttl \
                         REMOVE #progress, #session, #owner, #oldest";
            let tombstone = head
                .update(self.place(stream), steps)
                .only_if("#life = :life AND #state < :purged")
                .with(":purged", head::purged())
                .with(":now", number(now))
                .with(":ttl", steps::ttl(now, age));
            match self.server.write(self.without_memberships(stream, &head, tombstone)).await {
                Err(Failure::Condition(_)) => {}
                other => {
                    other?;
                    self.forget(stream);
                    self.tell(stream);
                    self.server.remove(&of_life(&self.partition(stream), &head.life)).await?;
                    return Ok(true);
                }
            }
        }
    }

    /// A change of the head, with which a stream leaves its session and owner.
    fn without_memberships(&self, stream: &Key, head: &Head, change: Change) -> Vec<Change> {
        let places = self.memberships(stream, head.session.as_ref(), head.owner.as_ref());
        [change].into_iter().chain(places.into_iter().map(Change::delete)).collect()
    }

    /// Removes all items of a stream that has expired. Says whether nobody else has done it.
    pub(super) async fn clear(&self, stream: &Key, head: &Head) -> Result<bool, Error> {
        self.server.remove(&of_life(&self.partition(stream), &head.life)).await?;
        let last = Change::delete(self.place(stream))
            .only_if("#life = :life AND #state = :gone")
            .with(":life", text(&head.life))
            .with(":gone", head::gone());
        let mut changes = self.without_memberships(stream, head, last);
        changes.push(Change::delete(self.listed(stream)));
        match self.server.write(changes).await {
            Err(Failure::Condition(_)) => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }
}
