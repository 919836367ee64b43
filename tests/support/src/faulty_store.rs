//! A store between which and its caller things go wrong.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tower_sse_resume::store::{
    Append, Claim, Content, Error, ErrorKind, Extent, Key, MemoryStore, NewStream, Page, Piece,
    Purge, Record, Store, Swept,
};

use crate::random::Random;

/// One instance's way to a store. Clones share it.
#[derive(Clone)]
pub struct FaultyStore {
    door: Door,
    way: Arc<Mutex<Way>>,
    condition: Arc<Signal>,
}

/// What gets through now. Those who wait for it to change are woken in the order in which they came; `watch` has a
/// random one.
struct Signal {
    condition: Mutex<Condition>,
    changed: Notify,
}

impl Signal {
    fn get(&self) -> Condition {
        *self.condition.lock().unwrap()
    }

    fn set(&self, condition: Condition) {
        let mut now = self.condition.lock().unwrap();
        if *now != Condition::Dead && *now != condition {
            *now = condition;
            self.changed.notify_waiters();
        }
    }

    async fn until(&self, holds: impl Fn(Condition) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self.get()) {
                return;
            }
            changed.await;
        }
    }
}

struct Way {
    faults: Faults,
    random: Random,
    calls: u64,
    appends: u64,
    dies_in: Option<u64>,
    freezes_at_claim: bool,
}

/// What gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    All,
    /// Each call fails.
    Cut,
    /// What is on its way goes on later.
    Frozen,
    /// Nothing ever again; nobody is told.
    Dead,
}

/// How often something goes wrong, in 1,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The call does not arrive.
    pub lost_calls: u64,
    /// The call arrives, its answer does not.
    pub lost_answers: u64,
    /// The call arrives twice.
    pub repeated: u64,
    /// The call fails, and arrives later.
    pub late: u64,
    /// How much later at most, in milliseconds.
    pub latest: u64,
    /// The longest that a call and its answer take, each, in milliseconds.
    pub delay: u64,
}

/// What becomes of one call.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
struct Fate {
    is_lost: bool,
    is_repeated: bool,
    loses_answer: bool,
    late: Option<Duration>,
    there: Duration,
    back: Duration,
    dies_before: bool,
    dies_after: bool,
}

/// What the store has taken, in the moment in which it has.
#[derive(Clone, Copy)]
pub enum Taken<'a> {
    Append(&'a Append),
    Claim(&'a Key, &'a Claim, &'a Record),
    Purge(&'a Purge),
}

/// Is told what the store takes from one instance.
pub type Witness = Arc<dyn Fn(Taken<'_>) + Send + Sync>;

/// How what has which bytes is refused.
type Refused = (ErrorKind, &'static [u8]);

/// The store, with a witness.
#[derive(Clone)]
struct Door {
    store: MemoryStore,
    witness: Option<Witness>,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Door {
    fn tell(&self, taken: Taken<'_>) {
        if let Some(witness) = &self.witness {
            witness(taken);
        }
    }

    /// What an append is refused with that has the refused bytes in it.
    fn refuses(&self, append: &Append) -> Option<ErrorKind> {
        let refused = self.refused.lock().unwrap();
        let (kind, bytes) = (*refused)?;
        let has = |piece: &Piece| match &piece.content {
            Content::Events(events) => events.windows(bytes.len()).any(|window| window == bytes),
            Content::Hole(_) => false,
        };
        append.pieces.iter().any(has).then_some(kind)
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        if let Some(kind) = batch.iter().find_map(|append| self.refuses(append)) {
            // Those that are taken are taken all the same, but where one spoils all.
            if kind == ErrorKind::Failed {
                return Err(kind.into());
            }
            let mut results = Vec::new();
            for append in batch {
                results.push(match self.refuses(append) {
                    Some(kind) => Err(kind.into()),
                    None => self.store.append(std::slice::from_ref(append)).await?.remove(0),
                });
            }
            return Ok(results);
        }
        let results = self.store.append(batch).await?;
        let taken = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        taken.for_each(|(append, _)| self.tell(Taken::Append(append)));
        Ok(results)
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let record = self.store.claim(stream, claim).await?;
        self.tell(Taken::Claim(stream, claim, &record));
        Ok(record)
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let count = self.store.purge(what).await?;
        self.tell(Taken::Purge(what));
        Ok(count)
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unreachable, "the way is cut")
}

impl FaultyStore {
    pub fn new(store: &MemoryStore) -> Self {
        Self::with_faults(store, Faults::default(), 0)
    }

    pub fn with_faults(store: &MemoryStore, faults: Faults, seed: u64) -> Self {
        let random = Random::new(seed);
        let way =
            Way { faults, random, calls: 0, appends: 0, dies_in: None, freezes_at_claim: false };
        Self {
            door: Door { store: store.clone(), witness: None, refused: Arc::default() },
            way: Arc::new(Mutex::new(way)),
            condition: Arc::new(Signal {
                condition: Mutex::new(Condition::All),
                changed: Notify::new(),
            }),
        }
    }

    /// The same with a witness of what the store takes.
    pub fn witnessed(mut self, witness: Witness) -> Self {
        self.door.witness = Some(witness);
        self
    }

    fn is(&self, condition: Condition) -> bool {
        self.condition.get() == condition
    }

    /// Refuses each append that has these bytes in an event: as [`ErrorKind::Failed`] the batch that it is in.
    pub fn refuse(&self, kind: ErrorKind, bytes: &'static [u8]) {
        *self.door.refused.lock().unwrap() = Some((kind, bytes));
    }

    /// Refuses none any more.
    pub fn accept(&self) {
        *self.door.refused.lock().unwrap() = None;
    }

    /// Nothing gets through any more.
    pub fn cut(&self) {
        self.condition.set(Condition::Cut);
    }

    /// What is on its way, and what comes, waits until it is mended.
    pub fn freeze(&self) {
        self.condition.set(Condition::Frozen);
    }

    pub fn mend(&self) {
        self.condition.set(Condition::All);
    }

    /// Its instance is dead: it gets no answer any more.
    pub fn die(&self) {
        self.condition.set(Condition::Dead);
    }

    /// The instance dies at the call after so many more: before it arrives, or after that.
    pub fn die_in(&self, calls: u64) {
        self.way.lock().unwrap().dies_in = Some(calls);
    }

    /// Waits until the instance is dead.
    pub async fn died(&self) {
        self.condition.until(|now| now == Condition::Dead).await;
    }

    pub fn is_dead(&self) -> bool {
        self.is(Condition::Dead)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.way.lock().unwrap().faults = faults;
    }

    /// What answers the next claim, and all after that, waits until it is mended.
    pub fn freeze_after_next_claim(&self) {
        self.way.lock().unwrap().freezes_at_claim = true;
    }

    /// Nothing goes wrong from now on, but for a cut.
    pub fn calm(&self) {
        let mut way = self.way.lock().unwrap();
        way.faults = Faults::default();
        way.dies_in = None;
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.way.lock().unwrap().calls
    }

    /// How many of them were appends.
    pub fn appends(&self) -> u64 {
        self.way.lock().unwrap().appends
    }

    fn fate(&self) -> Fate {
        let mut way = self.way.lock().unwrap();
        way.calls += 1;
        let dies = way.dies_in == Some(0);
        way.dies_in = way.dies_in.and_then(|calls| calls.checked_sub(1));
        let Faults { lost_calls, lost_answers, repeated, late, latest, delay } = way.faults;
        let mut happens = |often| often > 0 && way.random.within(0..1000) < often;
        let (is_lost, loses_answer, is_repeated, is_late) =
            (happens(lost_calls), happens(lost_answers), happens(repeated), happens(late));
        let dies_before = dies && happens(500);
        let mut takes = |most| match most {
            0 => Duration::ZERO,
            most => Duration::from_micros(way.random.within(0..most * 1000)),
        };
        let late = is_late.then(|| takes(latest));
        let (there, back) = (takes(delay), takes(delay));
        let dies_after = dies && !dies_before;
        Fate { is_lost, is_repeated, loses_answer, late, there, back, dies_before, dies_after }
    }

    /// Waits while the way is frozen. Whether there is one then.
    async fn passes(&self) -> bool {
        self.condition.until(|now| now != Condition::Frozen).await;
        if self.is_dead() {
            pending::<()>().await;
        }
        self.is(Condition::All)
    }

    async fn call<T, F>(&self, call: impl Fn() -> F + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let fate = self.fate();
        pass(fate.there).await;
        if fate.dies_before {
            self.die();
        }
        if !self.passes().await || fate.is_lost {
            // Whoever waits for an answer does not know at once that there is none.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(away());
        }
        if let Some(late) = fate.late {
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                let _ = call().await;
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(away());
        }
        let mut result = call().await;
        if fate.dies_after {
            self.die();
        }
        if fate.is_repeated {
            pass(fate.there).await;
            if result.is_err() {
                result = call().await;
            } else {
                let _ = call().await;
            }
        }
        pass(fate.back).await;
        if !self.passes().await || fate.loses_answer { Err(away()) } else { result }
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// A call with all it needs, so that it can arrive when its caller is gone.
macro_rules! call {
    ($self:ident, |$door:ident $(, $arg:ident)*| $call:expr) => {{
        let $door = $self.door.clone();
        $(let $arg = $arg.to_owned();)*
        $self
            .call(move || {
                let $door = $door.clone();
                $(let $arg = $arg.clone();)*
                async move { $call.await }
            })
            .await
    }};
}

impl Store for FaultyStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        call!(self, |door, stream, new| door.store.create(&stream, &new))
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        self.way.lock().unwrap().appends += 1;
        call!(self, |door, batch| door.append(&batch))
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        call!(self, |door, stream| door.store.record(&stream))
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        call!(self, |door, stream| door.store.read(&stream, after, bytes))
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        call!(self, |door, stream, seen| door.store.wait(&stream, &seen))
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let freezes = std::mem::take(&mut self.way.lock().unwrap().freezes_at_claim);
        let way = freezes.then(|| self.clone());
        let (door, stream, claim) = (self.door.clone(), stream.clone(), claim.clone());
        self.call(move || {
            let (door, stream, claim) = (door.clone(), stream.clone(), claim.clone());
            let way = way.clone();
            async move {
                let claimed = door.claim(&stream, &claim).await;
                way.iter().for_each(Self::freeze);
                claimed
            }
        })
        .await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        call!(self, |door, instance| door.store.renew(&instance, lease))
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        call!(self, |door| door.store.sweep())
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        call!(self, |door, what| door.purge(&what))
    }
}
