//! What the stores do in a second, side by side; each server is a private one, as in the tests.
//!
//! `cargo bench --bench stores --features postgres,redis,sqlite` prints, for each store
//! - one: an append of one event, acknowledged, in milliseconds (median, and 99 of 100);
//! - batches: events a second in appends of one event to each of 100 streams;
//! - replay: events a second out of one stream of 100,000 events, in pages of 64 KiB;
//! - wake-up: from before an append on one connection to who waits on another one, in milliseconds.
//!
//! `--quick` takes fewer rounds; other words (`memory`, `sqlite`, …) select stores.

#![allow(unreachable_pub, missing_docs)]
// Other benches and the tests use the rest of what they share.
#![allow(dead_code)]

#[path = "support/rounds.rs"]
mod rounds;
#[path = "../tests/stores/server.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rounds::Options;
use server::Server;
use tower_sse_resume::store::{
    Append, Extent, Keep, Key, MemoryStore, NewStream, Piece, PostgresOptions, RedisOptions,
    SqliteOptions, Store,
};

const EVENT: [u8; 180] = [b'e'; 180];
/// How many events a writer puts into a piece when it has many: a block of 16 KiB.
const PIECE: u64 = 90;

#[tokio::main]
async fn main() {
    let options = Options::of_args();
    println!(
        "{:<22} {:>13} {:>11} {:>11} {:>13}",
        "", "one, ms", "batches/s", "replay/s", "wake-up, ms"
    );
    if options.wants("memory") {
        let store = MemoryStore::new();
        measure("memory", &options, async || store.clone()).await;
    }
    if options.wants("sqlite") {
        let folder = std::env::temp_dir().join(format!("sse-resume-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, survive) in [("SQLite, FULL", true), ("SQLite, NORMAL", false)] {
            let file = SqliteOptions::new(folder.join(name)).survive_power_loss(survive);
            measure(name, &options, async || file.clone().open().await.unwrap()).await;
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
    if options.wants("postgres") {
        let server = Server::start("postgres");
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        let database = PostgresOptions::new(url).patience(Duration::from_secs(60));
        measure("PostgreSQL", &options, async || database.clone().connect().await.unwrap()).await;
    }
    if options.wants("redis") {
        let server = Server::start("redis");
        let keys = RedisOptions::new(format!("redis://127.0.0.1:{}/", server.port));
        let keys = keys.patience(Duration::from_secs(60));
        measure("Redis, always", &options, async || keys.clone().connect().await.unwrap()).await;
    }
}

async fn measure<S: Store + 'static>(name: &str, options: &Options, open: impl AsyncFn() -> S) {
    let (store, other) = (open().await, Arc::new(open().await));
    let one = one(&store, options.rounds(1000)).await;
    let batches = batches(&store, options.rounds(100)).await;
    let replay = replay(&store).await;
    let wakeups = wakeups(&store, &other, options.rounds(500)).await;
    println!("{name:<22} {:>13} {batches:>11.0} {replay:>11.0} {:>13}", shown(one), shown(wakeups));
}

/// The median, and what 99 of 100 do not pass.
fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
    format!("{:.2} / {:.2}", at(50), at(99))
}

fn key(name: impl Into<Bytes>) -> Key {
    Key::new(name).unwrap()
}

async fn create(store: &impl Store, name: &str) -> Key {
    let (producer, stream) = (key("producer"), key(name.to_owned()));
    let keep = Keep { events: 1 << 40, bytes: 1 << 40, age: Duration::from_secs(3600) };
    let origin = Bytes::from_static(&[b'o'; 300]);
    let new = NewStream { producer, session: None, owner: None, origin, keep };
    store.create(&stream, &new).await.unwrap();
    stream
}

fn entry(stream: &Key, first: u64, pieces: Vec<Piece>) -> Append {
    let progress = Some(Bytes::from_static(b"progress"));
    Append { stream: stream.clone(), generation: 1, first, pieces, progress, gap: None, end: None }
}

async fn append(store: &impl Store, batch: &[Append]) {
    store.append(batch).await.unwrap().into_iter().for_each(Result::unwrap);
}

async fn one(store: &impl Store, rounds: usize) -> Vec<Duration> {
    let stream = create(store, "one").await;
    let mut times = Vec::new();
    for first in 1..=rounds as u64 {
        let batch = [entry(&stream, first, vec![Piece::events(first, 1, &EVENT[..])])];
        let begun = Instant::now();
        append(store, &batch).await;
        times.push(begun.elapsed());
    }
    times
}

async fn batches(store: &impl Store, rounds: usize) -> f64 {
    let mut streams = Vec::new();
    for n in 0..100 {
        streams.push(create(store, &format!("batch {n}")).await);
    }
    let begun = Instant::now();
    for first in 1..=rounds as u64 {
        let event = |stream| entry(stream, first, vec![Piece::events(first, 1, &EVENT[..])]);
        append(store, &streams.iter().map(event).collect::<Vec<_>>()).await;
    }
    per_second(streams.len() * rounds, begun)
}

async fn replay(store: &impl Store) -> f64 {
    const EVENTS: u64 = 100_000;
    let stream = create(store, "replay").await;
    let mut first = 1;
    while first <= EVENTS {
        let piece = |n| Piece::events(first + n * PIECE, PIECE, EVENT.repeat(PIECE as usize));
        let pieces: Vec<_> = (0..20).map(piece).collect();
        append(store, &[entry(&stream, first, pieces)]).await;
        first += 20 * PIECE;
    }
    let (begun, mut after) = (Instant::now(), 0);
    while after < EVENTS {
        let page = store.read(&stream, after, 64 * 1024).await.unwrap();
        after = page.pieces.last().unwrap().next() - 1;
    }
    per_second(after as usize, begun)
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn per_second(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn wakeups<S: Store + 'static>(store: &S, other: &Arc<S>, rounds: usize) -> Vec<Duration> {
    let stream = create(store, "wake-up").await;
    let mut seen: Extent = other.record(&stream).await.unwrap().extent;
    let mut times = Vec::new();
    for first in 1..=rounds as u64 {
        let (waiter, waits_for) = (Arc::clone(other), stream.clone());
        let waiting = tokio::spawn(async move {
            let extent = waiter.wait(&waits_for, &seen).await.unwrap();
            (extent, Instant::now())
        });
        // It waits by then.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let begun = Instant::now();
        append(store, &[entry(&stream, first, vec![Piece::events(first, 1, &EVENT[..])])]).await;
        let (extent, woken) = waiting.await.unwrap();
        times.push(woken - begun);
        seen = extent;
    }
    times
}
