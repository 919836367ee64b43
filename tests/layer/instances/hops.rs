//! Clients that come back to any of several instances, whatever each of them remembers: each event once and in order, and
//! each loss told once.

use tower_sse_resume::{Durability, Linger};

use support::app::TestClient;
use support::client::settle;
use support::random::Random;
use support::scripted::Feed;

use super::{Instance, Instances, a_moment};

const SEEDS: u64 = 100;
const STEPS: u64 = 30;

/// What happens to the one stream, in order.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    Event(String),
    /// The inner service was called again, and could not go on from an ID of its own.
    Anew,
    /// It was called again with its own last ID.
    GoesOn,
}

/// A client: what it comes back with, and how many facts it knows.
struct Reader {
    id: String,
    knows: usize,
}

/// One run.
struct Run {
    random: Random,
    has_ids: bool,
    instances: Vec<Instance>,
    calls: usize,
    /// The inner body that was the last one to begin, and whether it has failed.
    body: Feed,
    has_failed: bool,
    facts: Vec<Fact>,
    said: u64,
    readers: Vec<Reader>,
}

impl Run {
    async fn begin(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let durability = random.pick(&[Durability::WriteBehind, Durability::CommitFirst]);
        let mut all = Instances::new(durability);
        if random.one_in(2) {
            all.layer = |layer| layer.linger(Linger::none());
        }
        let mut instances: Vec<_> = (0..random.within(3..6)).map(|_| all.start()).collect();
        let has_ids = random.one_in(2);
        let mut first = instances[0].get("").await;
        first.settle().await;
        let id = first.header("sse-resume-from").unwrap().to_owned();
        let readers = (0..random.within(1..4)).map(|_| Reader { id: id.clone(), knows: 0 });
        let (body, readers) = (instances[0].body(), readers.collect());
        a_moment().await;
        drop(first);
        settle().await;
        let (facts, said, has_failed) = (Vec::new(), 0, false);
        Self { random, has_ids, instances, calls: 1, body, has_failed, facts, said, readers }
    }

    fn is_over(&self) -> bool {
        self.has_failed || self.body.is_dropped()
    }

    /// The inner service says some more.
    fn speak(&mut self) {
        if self.is_over() {
            return;
        }
        for _ in 0..self.random.within(0..4) {
            self.said += 1;
            let (number, id) = (self.said, self.inner_id());
            self.body.send(format!("{id}data: {number}\n\n"));
            self.facts.push(Fact::Event(number.to_string()));
        }
    }

    fn inner_id(&self) -> String {
        if self.has_ids { format!("id: {}\n", self.said) } else { String::new() }
    }

    async fn come(&mut self, at: usize, who: usize) -> TestClient {
        let client = self.instances[at].get(&self.readers[who].id).await;
        assert_eq!(client.status, 200);
        self.notice_call();
        client
    }

    /// Some client comes to some instance, and stays for a while.
    async fn visit(&mut self) {
        let who = self.random.within(0..self.readers.len() as u64) as usize;
        let at = self.random.within(0..self.instances.len() as u64) as usize;
        let mut client = self.come(at, who).await;
        for _ in 0..self.random.within(0..4) {
            self.speak();
            if self.random.one_in(8) && !self.is_over() {
                self.body.fail();
                self.has_failed = true;
            }
            if self.random.one_in(2) {
                a_moment().await;
            }
            client.settle().await;
        }
        self.check(who, &client);
        drop(client);
        // Nothing is said to a body that is about to be dropped.
        settle().await;
    }

    /// Only what is over is gone on with, by one call.
    fn notice_call(&mut self) {
        let calls = self.instances.iter().map(|one| one.inner.calls()).sum::<usize>();
        if calls == self.calls {
            return;
        }
        assert_eq!(calls, self.calls + 1);
        assert!(self.body.is_dropped(), "nobody is called while the stream goes on");
        let mut bodies = self.instances.iter().filter(|one| one.inner.calls() > 0);
        let newest = bodies.find(|one| !one.body().is_dropped()).expect("it is read");
        (self.body, self.has_failed) = (newest.body(), false);
        self.calls = calls;
        let goes_on = self.has_ids && self.said > 0;
        self.facts.push(if goes_on { Fact::GoesOn } else { Fact::Anew });
        if goes_on {
            let given = newest.inner.call(newest.inner.calls() - 1).last_event_id();
            assert_eq!(given, Some(self.said.to_string()));
            let (number, id) = (self.said, self.inner_id());
            // What it resends is skipped.
            self.body.send(format!("{id}data: {number}\n\n"));
        }
    }

    /// What the client was told is what happened next.
    fn check(&mut self, who: usize, client: &TestClient) {
        let Reader { id, knows } = &mut self.readers[who];
        for event in client.events() {
            let is_gap = event.event == "resume-gap";
            if is_gap {
                assert!(event.data.contains("producer-lost"), "{}", event.data);
            }
            let mut is_told = *knows > 0 && self.facts[*knows - 1] == Fact::Anew;
            // Of a call that said nothing, who was told of the loss before it knows enough.
            while let Some(Fact::Anew | Fact::GoesOn) = self.facts.get(*knows) {
                if self.facts[*knows] == Fact::Anew && (is_gap || !is_told) {
                    break;
                }
                is_told |= self.facts[*knows] == Fact::Anew;
                *knows += 1;
            }
            let expected = if is_gap { Fact::Anew } else { Fact::Event(event.data) };
            assert_eq!(self.facts.get(*knows), Some(&expected), "{:?}", self.facts);
            *knows += 1;
            id.clone_from(&event.id);
        }
    }

    /// All have everything at last, and then the end.
    async fn end(mut self) {
        let mut last = loop {
            let client = self.come(0, 0).await;
            if !self.is_over() {
                break client;
            }
            a_moment().await;
        };
        self.speak();
        self.body.end();
        last.read_to_end().await;
        a_moment().await;
        for who in 0..self.readers.len() {
            // Each of them is the first one there that asks for the end.
            let mut client = self.come(who, who).await;
            client.read_to_end().await;
            assert!(!client.is_broken());
            self.check(who, &client);
            let knows = self.readers[who].knows;
            assert!(!self.facts[knows..].iter().any(|fact| matches!(fact, Fact::Event(_))));
        }
    }
}

async fn run(seed: u64) {
    let mut run = Run::begin(seed).await;
    for _ in 0..STEPS {
        run.visit().await;
    }
    run.end().await;
}

/// Says how a failure is repeated.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = "instances::hops";
            eprintln!("to repeat: SSE_RESUME_SEED={} cargo test --test layer {name}", self.0);
        }
    }
}

#[test]
fn whatever_instance_a_client_comes_back_to_it_goes_on_where_it_was() {
    let given = std::env::var("SSE_RESUME_SEED").map(|seed| seed.parse().expect("a number"));
    let seeds = given.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let _told = Seed(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(seed));
    }
}
