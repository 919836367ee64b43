//! What the stores do in a second, side by side; each server is a private one, as in the tests.
//!
//! `cargo bench --bench stores --features nats,postgres,redis,sqlite` prints, for each store
//! - 1 event, 100 events: appends a second, each acknowledged before the next one, to one stream;
//! - 100 streams: events a second in appends of one event to each of 100 streams;
//! - replay: events a second out of one stream of 100,000 events, in pages of 64 KiB;
//! - wake-up: from before an append on one connection to who waits on another one, in milliseconds (median, and 99 of 100);
//! - back: from a SIGKILL of the server, which is started again at once, to the next answer, in milliseconds (median).
//!
//! Events have 180 bytes. Nothing takes longer than two seconds. `--quick` takes fewer rounds; other words (`memory`,
//! `sqlite`, …) select stores. The server of NATS is `nats-server`, or what `SSE_RESUME_NATS` names.

#![allow(unreachable_pub, missing_docs)]
// Other benches and the tests use the rest of what they share.
#![allow(dead_code)]

#[path = "support/rounds.rs"]
mod rounds;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rounds::Options;
use support::store_server::Server;
use tower_sse_resume::store::{
    Append, Extent, Keep, Key, MemoryStore, NatsOptions, NewStream, Piece, PostgresOptions,
    RedisOptions, SqliteOptions, Store,
};

const EVENT: [u8; 180] = [b'e'; 180];
/// How many events a writer puts into a piece when it has many: a block of 16 KiB.
const PIECE: u64 = 90;

/// How long each measurement takes at most.
const LONGEST: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let options = Options::of_args();
    print([
        "",
        "1 event/s",
        "100 events/s",
        "100 streams/s",
        "replay/s",
        "wake-up, ms",
        "back, ms",
    ]);
    if options.wants("memory") {
        let store = MemoryStore::new();
        measure("memory", &options, None, async || store.clone()).await;
    }
    if options.wants("sqlite") {
        let folder = std::env::temp_dir().join(format!("sse-resume-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, survive) in [("SQLite, FULL", true), ("SQLite, NORMAL", false)] {
            let file = SqliteOptions::new(folder.join(name)).survive_power_loss(survive);
            measure(name, &options, None, async || file.clone().open().await.unwrap()).await;
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
    if options.wants("postgres") {
        let server = Server::start("postgres");
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        let store = PostgresOptions::new(url).patience(PATIENCE);
        let open = async || store.clone().connect().await.unwrap();
        measure("PostgreSQL", &options, Some(&server), open).await;
    }
    if options.wants("redis") {
        let server = Server::start("redis");
        let url = format!("redis://127.0.0.1:{}/", server.port);
        let store = RedisOptions::new(url).patience(PATIENCE);
        let open = async || store.clone().connect().await.unwrap();
        measure("Redis, always", &options, Some(&server), open).await;
    }
    if options.wants("nats") {
        let server = Server::start("nats");
        let url = format!("nats://127.0.0.1:{}", server.port);
        let store = NatsOptions::new(url).patience(PATIENCE);
        let open = async || store.clone().connect().await.unwrap();
        measure("NATS", &options, Some(&server), open).await;
    }
}

async fn measure<S: Store + 'static>(
    name: &str,
    options: &Options,
    server: Option<&Server>,
    open: impl AsyncFn() -> S,
) {
    let (store, other) = (open().await, Arc::new(open().await));
    let one = appends(&store, "one", 1, options.rounds(2000)).await;
    let hundred = appends(&store, "hundred", 100, options.rounds(1000)).await;
    let streams = streams(&store, options.rounds(100)).await;
    let replay = replay(&store).await;
    let wakeups = wakeups(&store, &other, options.rounds(400)).await;
    let wakeups = format!("{:.2} / {:.2}", at(&wakeups, 50), at(&wakeups, 99));
    let back = match server {
        Some(server) => format!("{:.0}", at(&comebacks(&store, server, 5).await, 50)),
        None => "-".into(),
    };
    let [one, hundred, streams, replay] =
        [one, hundred, streams, replay].map(|speed| format!("{speed:.0}"));
    print([name, &one, &hundred, &streams, &replay, &wakeups, &back]);
}

fn print([name, one, hundred, streams, replay, wakeups, back]: [&str; 7]) {
    println!(
        "{name:<15} {one:>10} {hundred:>13} {streams:>14} {replay:>10} {wakeups:>14} {back:>9}"
    );
}

/// The time in milliseconds that so many of 100 do not pass.
fn at(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() * percent / 100].as_secs_f64() * 1000.0
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

/// Appends of so many events, one after the other.
async fn appends(store: &impl Store, name: &str, events: u64, rounds: usize) -> f64 {
    let stream = create(store, name).await;
    let bytes = Bytes::from(EVENT.repeat(events as usize));
    let (begun, mut done) = (Instant::now(), 0);
    while done < rounds && begun.elapsed() < LONGEST {
        let first = 1 + done as u64 * events;
        let piece = Piece::events(first, events, bytes.clone());
        append(store, &[entry(&stream, first, vec![piece])]).await;
        done += 1;
    }
    per_second(done, begun)
}

async fn streams(store: &impl Store, rounds: usize) -> f64 {
    let mut streams = Vec::new();
    for n in 0..100 {
        streams.push(create(store, &format!("stream {n}")).await);
    }
    let (begun, mut done) = (Instant::now(), 0);
    while done < rounds && begun.elapsed() < LONGEST {
        let first = done as u64 + 1;
        let event = |stream| entry(stream, first, vec![Piece::events(first, 1, &EVENT[..])]);
        append(store, &streams.iter().map(event).collect::<Vec<_>>()).await;
        done += 1;
    }
    per_second(streams.len() * done, begun)
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
    while after < EVENTS && begun.elapsed() < LONGEST {
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
    let (started, mut times) = (Instant::now(), Vec::new());
    for first in 1..=rounds as u64 {
        if started.elapsed() > LONGEST {
            break;
        }
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

async fn comebacks(store: &impl Store, server: &Server, rounds: usize) -> Vec<Duration> {
    let stream = create(store, "comeback").await;
    let (started, mut times) = (Instant::now(), Vec::new());
    for _ in 0..rounds {
        if started.elapsed() > LONGEST {
            break;
        }
        let begun = Instant::now();
        server.kill();
        server.restart();
        while store.record(&stream).await.is_err() {}
        times.push(begun.elapsed());
    }
    times
}
