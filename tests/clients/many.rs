//! Hundreds of clients at once over real sockets, each cut at random bytes: each gets every event once and in order, no
//! handler runs twice for it, and nothing is left behind when all have gone.
//!
//! A failure prints the seed with which the same cuts are made again.

mod feeds;
mod link;
mod reader;

use std::env;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use futures_util::future::join_all;
use tokio::time::timeout;
use tower_sse_resume::{LayerHandle, Retention, SseResumeLayer, Stats};

use feeds::{EVENTS, Feeds, JOIN_BEFORE, content};
use link::Link;
use reader::{Event, Reader};
use support::random::Random;

const CLIENTS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the head of a response and its priming: a client that is cut after it can come back.
const HEAD: u64 = 1_000;

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
            eprintln!("to repeat: SEED={} cargo test --test clients {name}", self.0);
        }
    }
}

/// Another number in each run.
fn any_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(())
}

/// What each of these clients has read at last.
async fn all<T: Send + 'static>(
    clients: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let clients: Vec<_> = clients.map(tokio::spawn).collect();
    let read = timeout(PATIENCE, join_all(clients)).await.expect("every client comes to its end");
    read.into_iter().map(|read| read.expect("no client fails")).collect()
}

/// The data of a stream that ends, without its first events.
fn whole(feed: usize, without: u64) -> Vec<String> {
    let events = (without + 1..=EVENTS).map(|event| content(feed, event));
    events.chain(["end".to_owned()]).collect()
}

fn assert_each_once(client: usize, events: &[Event], expected: &[String]) {
    let data: Vec<_> = events.iter().map(|event| &event.data).collect();
    let wrong =
        (0..data.len().max(expected.len())).find(|&at| data.get(at).copied() != expected.get(at));
    if let Some(at) = wrong {
        let (got, expected) = (events.get(at), expected.get(at));
        panic!("client {client}, event {at}: got {got:?}, expected {expected:?}");
    }
}

/// Nobody is there any more, and nothing was called twice.
fn assert_each_ran_once(feeds: &Feeds, layer: &LayerHandle, count: usize) {
    assert_eq!(feeds.runs(), vec![1; count], "a handler ran more than once");
    let stats = layer.stats();
    assert_eq!((stats.streams, stats.aborted, stats.lingering), (count, 0, 0), "{stats:?}");
    layer.purge_all();
    assert_eq!(layer.stats(), Stats::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_gets_its_events_once_through_cuts_at_any_byte() {
    let seed = Seed::new();
    let layer = SseResumeLayer::new();
    let feeds = Feeds::serve(layer.clone(), CLIENTS).await;
    let read = all((0..CLIENTS).map(|client| {
        let mut random = Random::new(seed.0 ^ client as u64);
        let mut cuts = vec![random.within(HEAD..6_000)];
        cuts.extend((0..4).map(|_| random.within(1..4_000)));
        let link = Link::http1(feeds.address, cuts);
        Reader::new(Arc::new(link), format!("/jobs/{client}"), feeds.begun.clone()).read()
    }))
    .await;
    for (client, events) in read.iter().enumerate() {
        assert_each_once(client, events, &whole(client, 0));
    }
    assert_each_ran_once(&feeds, &layer.handle(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_shared_feed_get_each_event_from_their_start_once() {
    let seed = Seed::new();
    let layer = SseResumeLayer::new().share(|parts| Some(parts.uri.path().to_owned()));
    let feeds = Feeds::serve(layer.clone(), CLIENTS).await;
    let read = all((0..CLIENTS).map(|client| {
        let mut random = Random::new(seed.0 ^ client as u64);
        let mut cuts = vec![random.within(HEAD..10_000)];
        cuts.extend((0..4).map(|_| random.within(1..10_000)));
        let link = Link::http1(feeds.address, cuts);
        let reader = Reader::new(Arc::new(link), "/shared".to_owned(), feeds.begun.clone());
        // The first one's request starts the feed.
        let come_after = if client == 0 { 0 } else { random.within(1..JOIN_BEFORE) };
        let mut progress = feeds.progress.subscribe();
        async move {
            progress.wait_for(|progress| *progress >= come_after).await.expect("the feed runs");
            reader.read().await
        }
    }))
    .await;
    for (client, events) in read.iter().enumerate() {
        let missed = (EVENTS + 1).saturating_sub(events.len() as u64);
        assert!(missed <= JOIN_BEFORE, "client {client} came before that: {missed}");
        assert_each_once(client, events, &whole(0, missed));
    }
    assert_eq!(read[0].len() as u64, EVENTS + 1, "the first one was there from the start");
    assert_each_ran_once(&feeds, &layer.handle(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_on_few_http2_connections_survive_resets_and_cuts() {
    const CONNECTIONS: usize = 5;
    const STREAMS: usize = 40;
    let seed = Seed::new();
    let layer = SseResumeLayer::new();
    let feeds = Feeds::serve(layer.clone(), CONNECTIONS * STREAMS).await;
    let mut random = Random::new(seed.0);
    let links: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut cuts = vec![random.within(HEAD * STREAMS as u64..200_000)];
            cuts.extend((0..3).map(|_| random.within(1..50_000)));
            Arc::new(Link::http2(feeds.address, cuts))
        })
        .collect();
    let read = all((0..CONNECTIONS * STREAMS).map(|client| {
        let link = links[client % CONNECTIONS].clone();
        let resets = (0..3).map(|_| random.within(1..4_000)).collect();
        let reader = Reader::new(link, format!("/jobs/{client}"), feeds.begun.clone());
        reader.with_resets(resets).read()
    }))
    .await;
    for (client, events) in read.iter().enumerate() {
        assert_each_once(client, events, &whole(client, 0));
    }
    assert_each_ran_once(&feeds, &layer.handle(), CONNECTIONS * STREAMS);
}

/// A layer that soon forgets those who left.
fn forgetful() -> SseResumeLayer {
    SseResumeLayer::new()
        .linger(Duration::from_millis(50))
        .retention(Retention::new().age(Duration::from_millis(100)))
}

/// Clients that read a few events each and leave for good; waits until nothing is left of them.
async fn come_and_go(feeds: &mut Feeds, layer: &LayerHandle, clients: usize, seed: u64) {
    all((0..clients).map(|client| {
        let events = Random::new(seed ^ client as u64).within(1..20);
        let link = Link::http1(feeds.address, Vec::new());
        let reader = Reader::new(Arc::new(link), format!("/endless/{client}"), feeds.begun.clone());
        reader.read_some(events as usize)
    }))
    .await;
    timeout(PATIENCE, feeds.ended(clients)).await.expect("every handler is released");
    let forgotten = async {
        // Nothing tells of the sweeper's work.
        while layer.stats() != Stats::default() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let forgotten = timeout(PATIENCE, forgotten).await;
    assert!(forgotten.is_ok(), "{:?}", layer.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_that_left_for_good() {
    let seed = Seed::new();
    let layer = forgetful();
    let mut feeds = Feeds::serve(layer.clone(), CLIENTS).await;
    come_and_go(&mut feeds, &layer.handle(), CLIENTS, seed.0).await;
    assert_eq!(feeds.runs(), vec![1; CLIENTS]);
}

#[test]
fn the_memory_of_clients_that_left_for_good_is_given_back() {
    let seed = Seed::new();
    // Allocations are counted for each thread; here all happens on one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let layer = forgetful();
    let mut feeds = runtime.block_on(Feeds::serve(layer.clone(), 0));
    let mut round = || runtime.block_on(come_and_go(&mut feeds, &layer.handle(), CLIENTS, seed.0));
    round();
    let left = measure(round).bytes_current;
    // A client that is there takes more than 10 KiB.
    assert!(left < CLIENTS as i64 * 256, "{left} bytes are left of {CLIENTS} clients");
}
