//! What has really happened: what the inner service said, what the store took, and from whom.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;
use tower_sse_resume::store::{Keep, Key, MemoryStore, NewStream, Store};

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

    /// The generation that was claimed last for a call that goes on with a stream.
    fn claimed(&self, key: &str, call: &Call) -> Option<u32> {
        let mut claims = self.claims[..call.claims].iter();
        let claim = claims.rfind(|claim| claim.key == key && claim.instance == call.instance);
        claim.map(|claim| claim.generation)
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

    /// The answer to a call is a part of a stream.
    pub(crate) fn binds(&self, number: usize, key: &str) {
        let mut facts = self.facts();
        let is_of_it = |call: &&Call| call.key.as_deref() == Some(key);
        let is_begun = facts.calls.iter().any(|call| is_of_it(&call));
        let before = facts.calls[..number].iter().filter(is_of_it);
        let before = before.filter_map(|call| facts.claimed(key, call)).max();
        let is_claimed = facts.claimed(key, &facts.calls[number]) > before;
        facts.calls[number].key = Some(key.to_owned());
        drop(facts);
        // Where the store has forgotten a stream, its last producer goes on with it alone.
        if is_begun && !is_claimed && self.has(key) {
            self.violated(format!("call {number} goes on with {key}, which nobody has claimed"));
        }
    }

    /// Whether the store has a stream.
    fn has(&self, key: &str) -> bool {
        let key = Key::new(key.to_owned()).unwrap();
        self.store.record(&key).now_or_never().expect("it is in memory").is_ok()
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
        facts.key(token).map(|key| self.generations_of(&facts, &key)).unwrap_or_default()
    }

    fn generations_of(&self, facts: &Facts, key: &str) -> BTreeMap<u32, Generation> {
        let calls = facts.calls.iter().enumerate();
        let mut bound = calls.filter(|(_, call)| call.key.as_deref() == Some(key));
        let first = bound.next().map(|(number, _)| number);
        let mut all = BTreeMap::from([(1, Generation { first: 1, call: first })]);
        for claim in facts.claims.iter().filter(|claim| claim.key == key) {
            all.insert(claim.generation, Generation { first: claim.first, call: None });
        }
        let mut last = 1;
        for (number, call) in bound {
            let claimed = facts.claimed(key, call).filter(|claimed| *claimed > last);
            last = claimed.unwrap_or_else(|| {
                let first = self.end_of(facts, &all, last) + 1;
                all.insert(last + 1, Generation { first, call: None });
                last + 1
            });
            if let Some(generation) = all.get_mut(&last) {
                generation.call = Some(number);
            }
        }
        all
    }

    /// The offset of the last event of a generation, as far as it was said.
    fn end_of(&self, facts: &Facts, all: &BTreeMap<u32, Generation>, number: u32) -> u64 {
        let call = |number| all.get(&number)?.call.map(|call| &facts.calls[call]);
        let before = all.get(&number).map_or(0, |generation| generation.first - 1);
        let (Some(begun), Some(call)) = (call(1), call(number)) else { return before };
        if self.plan.topics[call.topic].has_ids {
            // What it said once more has no offset.
            (call.start + call.said).saturating_sub(begun.start).max(before)
        } else {
            before + call.said
        }
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

/// Two calls whose answers are one stream: the second one goes on after five events.
fn goes_on(world: &World) {
    for (request, start) in [(1, 1), (2, 6)] {
        let call = world.called(Call {
            topic: 0,
            instance: 1,
            request,
            given: Some(start - 1),
            start,
            key: None,
            said: 0,
            ended: false,
            claims: 0,
        });
        world.began_stream("token", request);
        world.binds(call, "key");
        world.call(call, |call| call.said = 5);
    }
}

#[test]
fn what_the_store_has_forgotten_its_producer_goes_on_with_alone() {
    for has_ids in [true, false] {
        let mut plan = Plan::of(0);
        plan.topics[0].has_ids = has_ids;
        let world = World::new(plan, false);
        goes_on(&world);
        assert_eq!(world.violation(), None);
        let generations = world.generations("token");
        let generations = generations.iter().map(|(number, it)| (*number, it.first, it.call));
        assert_eq!(generations.collect::<Vec<_>>(), [(1, 1, Some(0)), (2, 6, Some(1))]);
    }
}

#[tokio::test]
async fn what_the_store_has_nobody_goes_on_with_unless_it_was_claimed() {
    let world = World::new(Plan::of(0), false);
    let keep = Keep { events: 1, bytes: 1, age: Duration::from_secs(1) };
    let producer = Key::new("one").unwrap();
    let origin = Bytes::new();
    let new = NewStream { producer, session: None, owner: None, origin, keep };
    world.store.create(&Key::new("key").unwrap(), &new).await.unwrap();
    goes_on(&world);
    assert!(world.violation().unwrap().contains("nobody has claimed"));
}
