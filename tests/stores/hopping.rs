//! Real proxies with one store in a real server: clients hop between them while they are killed, and each client gets
//! every event once and in order, or is told.
//!
//! A failure prints the seed with which the same faults are chosen again.

mod engine;
mod faults;
mod fleet;
mod model;
mod reader;
mod upstream;

use std::env;
use std::time::Duration;

use engine::Engine;
use faults::faults;
use fleet::Fleet;
use model::Gaps;
use reader::{Progress, Reader, all};
use support::random::Random;
use upstream::{EVENTS, Kind, ROUND, Upstream};

const CLIENTS: usize = 100;
/// For each thing that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The seed of a test, told when the test fails.
struct Seed(u64);

impl Seed {
    fn new() -> Self {
        let given = env::var("SEED").map(|seed| seed.parse().expect("SEED is a number"));
        Self(given.unwrap_or_else(|_| any_number()))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let command = "cargo test --all-features --test stores";
            eprintln!("to repeat: SEED={} {command} {name}", self.0);
        }
    }
}

/// Another number in each run.
fn any_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}

/// What a client may be told of, by what the upstream can do and what is promised.
fn allowed(kind: Kind, durability: &str) -> Gaps {
    match (kind, durability) {
        (Kind::WithIds, _) => Gaps::None,
        (Kind::Live, "commit-first") => Gaps::Of(&["producer-lost"]),
        // What the store had not heard of when its producer died is unknown.
        (Kind::Live, _) => Gaps::Of(&["producer-lost", "unknown"]),
    }
}

/// Proxies are killed and drained, now and then both at once, while all clients hop and are cut at random bytes.
async fn hop(engine: Engine, durability: &str) {
    let seed = Seed::new();
    let upstream = Upstream::start().await;
    let options = ["--store", engine.option(), "--durability", durability, "--lease", "1500ms"];
    let mut fleet = Fleet::start(upstream.address, &options).await;
    let progress = Progress::default();
    let addresses = fleet.addresses();
    let readers = (0..CLIENTS).map(|client| {
        let kind = if client % 2 == 0 { Kind::WithIds } else { Kind::Live };
        let random = Random::new(seed.0 ^ client as u64);
        let gaps = allowed(kind, durability);
        Reader::new(kind, client, addresses.clone(), gaps, &progress)
            .cut_at_random(random)
            .read_whole()
    });
    let readers = all(readers);
    let faults = faults(Random::new(seed.0), &mut fleet, &upstream, &progress);
    let (readers, ()) = tokio::join!(readers, faults);
    for (client, reader) in readers.iter().enumerate().filter(|(client, _)| client % 2 == 1) {
        // Without a call there is no other producer, and nothing that can be lost.
        let (gaps, calls) = (reader.model.gaps, upstream.calls(Kind::Live, client));
        assert!(gaps < calls, "client {client}: {gaps} gaps, {calls} calls");
    }
    let gaps: usize = readers.iter().map(|reader| reader.model.gaps).sum();
    let responses: usize = readers.iter().map(|reader| reader.responses).sum();
    println!("{responses} responses and {gaps} gaps in {CLIENTS} streams");
}

/// A proxy that is stopped for longer than its lease has lost its streams when it goes on.
async fn pause(engine: Engine, durability: &str) {
    const READERS: usize = 20;
    let upstream = Upstream::start().await;
    let options = ["--store", engine.option(), "--durability", durability, "--lease", "1s"];
    let fleet = Fleet::start(upstream.address, &options).await;
    let progress = Progress::default();
    let reader =
        |client| Reader::new(Kind::WithIds, client, fleet.addresses(), Gaps::None, &progress);
    upstream.release(ROUND);
    let first = (0..READERS).map(|client| reader(client).at(0).read_up_to(ROUND));
    let first = all(first).await;
    let beginnings: Vec<_> = first.iter().map(|reader| reader.beginning.clone()).collect();
    let others = beginnings.iter().enumerate().map(|(client, beginning)| {
        let reader = reader(client).after(beginning.clone()).at(1);
        // Until the store has the stream, it is unknown there.
        async move {
            loop {
                let read = reader.another().read_up_to(ROUND).await;
                if read.answer == "replay" {
                    return read;
                }
            }
        }
    });
    let others = all(others).await;
    fleet.pause(0).await;
    // They stay at the first proxy, which says nothing until it goes on.
    let stuck = tokio::spawn(all(first.into_iter().map(Reader::read_out)));
    upstream.release(2 * ROUND);
    let others = all(others.into_iter().map(|reader| reader.read_up_to(2 * ROUND))).await;
    fleet.unpause(0).await;
    // It has lost their streams, though nothing more comes that it could write.
    let stuck = stuck.await.expect("no client fails");
    upstream.release(EVENTS + 1);
    all(stuck.into_iter().chain(others).map(Reader::read_whole)).await;
    let again = beginnings.into_iter().enumerate();
    let again = again.map(|(client, position)| reader(client).after(position).read_whole());
    all(again).await;
}

/// A proxy that is drained leaves its streams to others at once.
async fn drain(engine: Engine) {
    let upstream = Upstream::start().await;
    let options = ["--store", engine.option(), "--lease", "1h"];
    let mut fleet = Fleet::start(upstream.address, &options).await;
    let progress = Progress::default();
    upstream.release(ROUND);
    let reader = Reader::new(Kind::WithIds, 0, fleet.addresses(), Gaps::None, &progress);
    let reader = all([reader.at(0).read_up_to(ROUND)]).await.remove(0);
    let reading = tokio::spawn(all([reader.read_whole()]));
    fleet.terminate(0).await;
    upstream.release(EVENTS + 1);
    reading.await.expect("it comes to the end");
    assert_eq!(upstream.calls(Kind::WithIds, 0), 2);
}

macro_rules! tests_with {
    ($engine:ident) => {
        mod $engine {
            use super::{Engine, drain, hop, pause};

            fn engine() -> Engine {
                Engine::start(stringify!($engine))
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_client_gets_each_event_once_or_is_told_while_proxies_die() {
                hop(engine(), "write-behind").await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn with_commit_first_nothing_is_lost_that_can_be_asked_for_again() {
                hop(engine(), "commit-first").await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_proxy_that_was_stopped_for_long_writes_nothing_more() {
                pause(engine(), "write-behind").await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn with_commit_first_a_proxy_that_was_stopped_for_long_sends_nothing_more() {
                pause(engine(), "commit-first").await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_drained_proxy_leaves_its_streams_to_others_at_once() {
                drain(engine()).await;
            }
        }
    };
}

tests_with!(dynamodb);
tests_with!(nats);
tests_with!(postgres);
tests_with!(redis);
tests_with!(sqlite);
