//! What has really happened: what the inner service said, what the store took, and from whom.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use tower_sse_resume::store::{Key, MemoryStore};

use super::plan::Plan;
use support::faulty_store::Taken;

/// One call of the inner service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) topic: usize,
    pub(crate) instance: usize,
    pub(crate) request: u64,
    /// The number of the inner service's event that it was called with.
    pub(crate) given: Option<u64>,
    /// The number of the first event that it says.
    pub(crate) start: u64,
    /// The stream that its answer became a part of.
    pub(crate) key: Option<String>,
    /// How many events it has said.
    pub(crate) said: u64,
    pub(crate) ended: bool,
    /// How many claims there had been.
    pub(crate) claims: usize,
}

#[derive(Clone, Debug)]
struct Claimed {
    key: String,
    generation: u32,
    first: u64,
    instance: usize,
}

/// A generation of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    pub(crate) first: u64,
    pub(crate) call: Option<usize>,
}

#[derive(Default)]
struct Facts {
    calls: Vec<Call>,
    claims: Vec<Claimed>,
    /// Which instance has written in a generation.
    writers: HashMap<(String, u32), usize>,
    /// The request that was the first to be answered with each token.
    tokens: HashMap<String, u64>,
    violations: Vec<String>,
    trace: String,
}

impl Facts {
    fn key(&self, token: &str) -> Option<String> {
        let request = self.tokens.get(token)?;
        self.calls.iter().rev().find(|call| call.request == *request)?.key.clone()
    }
}

/// Shared by all who take part.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) store: MemoryStore,
    pub(crate) began: Instant,
    tells: bool,
    facts: Mutex<Facts>,
}

impl World {
    pub(crate) fn new(plan: Plan, tells: bool) -> Arc<Self> {
        let (store, began) = (MemoryStore::new(), Instant::now());
        Arc::new(Self { plan, store, began, tells, facts: Mutex::default() })
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.now() >= self.plan.calm_at
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            let now = self.now();
            let _ = writeln!(self.facts().trace, "{now:>12.3?} {}", what());
        }
    }

    pub(crate) fn violated(&self, what: impl std::fmt::Display) {
        self.tell(|| format!("VIOLATED: {what}"));
        let now = self.now();
        self.facts().violations.push(format!("at {now:.3?}: {what}"));
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.facts().violations.first().cloned()
    }

    pub(crate) fn trace(&self) -> String {
        self.facts().trace.clone()
    }

    // The inner service

    pub(crate) fn called(&self, mut call: Call) -> usize {
        let mut facts = self.facts();
        call.claims = facts.claims.len();
        facts.calls.push(call);
        facts.calls.len() - 1
    }

    pub(crate) fn call<T>(&self, number: usize, change: impl FnOnce(&mut Call) -> T) -> T {
        change(&mut self.facts().calls[number])
    }

    // The store

    pub(crate) fn took(&self, instance: usize, taken: Taken<'_>) {
        match taken {
            Taken::Append(append) => {
                let key = (name(&append.stream), append.generation);
                let (first, next, end) = (append.first, append.next(), append.end);
                self.tell(|| format!("store: {instance} wrote {first}..{next} {end:?} in {key:?}"));
                let writer = *self.facts().writers.entry(key.clone()).or_insert(instance);
                if writer != instance {
                    self.violated(format!("{writer} and {instance} wrote in {key:?}"));
                }
            }
            Taken::Claim(key, _, record) => {
                let (generation, first) = (record.extent.generation, record.extent.next);
                let key = name(key);
                self.tell(|| format!("store: {instance} has {generation} of {key} from {first}"));
                self.facts().claims.push(Claimed { key, generation, first, instance });
            }
            Taken::Purge(what) => {
                self.tell(|| format!("store: {instance} purged {what:?}"));
            }
        }
    }

    // Streams

    /// A client has the token of a new stream, by the answer to its request.
    pub(crate) fn began_stream(&self, token: &str, request: u64) {
        self.facts().tokens.entry(token.to_owned()).or_insert(request);
    }

    pub(crate) fn knows(&self, token: &str) -> bool {
        self.facts().tokens.contains_key(token)
    }

    /// What the store knows a stream by.
    pub(crate) fn key(&self, token: &str) -> Option<String> {
        self.facts().key(token)
    }

    /// What it knows all by, in the order of their first requests.
    pub(crate) fn keys(&self) -> Vec<String> {
        let facts = self.facts();
        let mut tokens: Vec<_> =
            facts.tokens.iter().map(|(token, request)| (request, token)).collect();
        tokens.sort_unstable();
        tokens.into_iter().filter_map(|(_, token)| facts.key(token)).collect()
    }

    /// The generations of a stream, as far as they have begun.
    pub(crate) fn generations(&self, token: &str) -> BTreeMap<u32, Generation> {
        let facts = self.facts();
        let Some(key) = facts.key(token) else { return BTreeMap::new() };
        let calls = facts.calls.iter().enumerate();
        let mut bound = calls.filter(|(_, call)| call.key.as_ref() == Some(&key));
        let first = bound.next().map(|(number, _)| number);
        let mut all = BTreeMap::from([(1, Generation { first: 1, call: first })]);
        for claim in facts.claims.iter().filter(|claim| claim.key == key) {
            all.insert(claim.generation, Generation { first: claim.first, call: None });
        }
        for (number, call) in bound {
            let claim = facts.claims[..call.claims]
                .iter()
                .rev()
                .find(|claim| claim.key == key && claim.instance == call.instance);
            if let Some(claim) = claim {
                if let Some(generation) = all.get_mut(&claim.generation) {
                    generation.call = Some(number);
                }
            }
        }
        all
    }

    pub(crate) fn call_of(&self, number: usize) -> Call {
        self.facts().calls[number].clone()
    }

    pub(crate) fn calls_of(&self, request: u64) -> Option<Call> {
        self.facts().calls.iter().rev().find(|call| call.request == request).cloned()
    }
}

fn name(key: &Key) -> String {
    String::from_utf8_lossy(key.as_bytes()).into_owned()
}
