//! A store between which and its caller things go wrong.

// Each test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_sse_resume::store::{
    Append, Claim, Error, ErrorKind, Extent, Key, MemoryStore, NewStream, Page, Purge, Record,
    Store, Swept,
};

use super::random::Random;

/// One instance's way to a store. Clones share it.
#[derive(Clone)]
pub struct FaultyStore {
    store: MemoryStore,
    way: Arc<Mutex<Way>>,
}

struct Way {
    is_cut: bool,
    faults: Faults,
    random: Random,
    calls: u64,
    appends: u64,
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
    /// The longest that a call and its answer take, each, in milliseconds.
    pub delay: u64,
}

/// What becomes of one call.
struct Fate {
    is_lost: bool,
    is_repeated: bool,
    loses_answer: bool,
    there: Duration,
    back: Duration,
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
        let way = Way { is_cut: false, faults, random, calls: 0, appends: 0 };
        Self { store: store.clone(), way: Arc::new(Mutex::new(way)) }
    }

    /// Nothing gets through any more.
    pub fn cut(&self) {
        self.way.lock().unwrap().is_cut = true;
    }

    pub fn mend(&self) {
        self.way.lock().unwrap().is_cut = false;
    }

    /// Nothing goes wrong from now on, but for a cut.
    pub fn calm(&self) {
        self.way.lock().unwrap().faults = Faults::default();
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.way.lock().unwrap().calls
    }

    /// How many of them were appends.
    pub fn appends(&self) -> u64 {
        self.way.lock().unwrap().appends
    }

    fn is_cut(&self) -> bool {
        self.way.lock().unwrap().is_cut
    }

    fn fate(&self) -> Fate {
        let mut way = self.way.lock().unwrap();
        way.calls += 1;
        let Faults { lost_calls, lost_answers, repeated, delay } = way.faults;
        let mut happens = |often| often > 0 && way.random.within(0..1000) < often;
        let (is_lost, loses_answer, is_repeated) =
            (happens(lost_calls), happens(lost_answers), happens(repeated));
        let mut takes = || match delay {
            0 => Duration::ZERO,
            most => Duration::from_micros(way.random.within(0..most * 1000)),
        };
        Fate { is_lost, is_repeated, loses_answer, there: takes(), back: takes() }
    }

    async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let fate = self.fate();
        pass(fate.there).await;
        if fate.is_lost || self.is_cut() {
            // Whoever waits for an answer does not know at once that there is none.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(away());
        }
        let mut result = call().await;
        if fate.is_repeated {
            pass(fate.there).await;
            if result.is_err() {
                result = call().await;
            } else {
                let _ = call().await;
            }
        }
        pass(fate.back).await;
        if fate.loses_answer || self.is_cut() { Err(away()) } else { result }
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Store for FaultyStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.call(|| self.store.create(stream, new)).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        self.way.lock().unwrap().appends += 1;
        self.call(|| self.store.append(batch)).await
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        self.call(|| self.store.record(stream)).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        self.call(|| self.store.read(stream, after, bytes)).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        self.call(|| self.store.wait(stream, seen)).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        self.call(|| self.store.claim(stream, claim)).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.call(|| self.store.renew(instance, lease)).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        self.call(|| self.store.sweep()).await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        self.call(|| self.store.purge(what)).await
    }
}
