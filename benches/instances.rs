//! What several instances of the layer do with one store, side by side; each server is a private one, as in the tests.
//!
//! `cargo bench --bench instances --features dynamodb,nats,postgres,redis,sqlite,zstd` prints, for each store, with two instances
//! that each have a connection of their own
//! - an event that comes alone, in milliseconds (median / 99 of 100): from when the inner body of one instance says it
//!   until a client of the other one has it (wake-up), with the default batch delay and without; and until a client
//!   of the same instance has it, with either durability.
//! - 100 streams that say events as fast as they can: those that the store gets a second, how many in one call, and
//!   how many it came too late for. With `CommitFirst` the inner bodies are held back.
//! - a replay of 1,000 events, in microseconds an event (median): from the store, written at once and one by one, and
//!   from memory.
//!
//! Then, with a store in memory,
//! - `cpu`: CPU time and allocations for a live event, with the store and without.
//! - `compression`: bytes stored for each byte sent, and CPU time for each event above what it takes uncompressed.
//!
//! Events have 180 bytes, where nothing else is said. `--quick` takes fewer rounds; other words (`memory`, `sqlite`, …,
//! `cpu`, `compression`) select parts. The server of NATS is `nats-server`, or what `SSE_RESUME_NATS` names.

#![allow(unreachable_pub, missing_docs)]
// Other benches and the tests use the rest of what they share.
#![allow(dead_code)]

#[path = "instances/compression.rs"]
mod compression;
#[path = "instances/cpu.rs"]
mod cpu;
#[path = "instances/engines.rs"]
mod engines;
#[path = "instances/instance.rs"]
mod instance;
#[path = "instances/live.rs"]
mod live;
#[path = "instances/payloads.rs"]
mod payloads;
#[path = "instances/replay.rs"]
mod replay;
mod support;
#[path = "instances/thread.rs"]
mod thread;
#[path = "instances/writer.rs"]
mod writer;

use std::time::Duration;

use cpu::Shape;
use engines::Engine;
use replay::Written;
use support::rounds::{Options, Times, each};
use support::source::event;
use tower_sse_resume::Durability;

const EVENT: usize = 180;
const BATCH_DELAY: Duration = Duration::from_millis(2);

fn main() {
    let options = Options::of_args();
    let engines = engines::all(&options);
    if !engines.is_empty() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            alone(&engines, &options).await;
            floods(&engines, &options).await;
            replays(&engines, &options).await;
        });
    }
    if options.wants("cpu") {
        live_events(&options);
    }
    if options.wants("compression") {
        compressed(&options);
    }
}

async fn alone(engines: &[Engine], options: &Options) {
    println!("an event that comes alone, ms (goal: a wake-up <= 10, where the store can notify)");
    row("", ["wake-up", "no batch delay", "WriteBehind", "CommitFirst"]);
    let rounds = options.rounds(250);
    for engine in engines {
        let times = [
            live::wakeups(engine, BATCH_DELAY, rounds).await,
            live::wakeups(engine, Duration::ZERO, rounds).await,
            live::latencies(engine, Durability::WriteBehind, rounds).await,
            live::latencies(engine, Durability::CommitFirst, rounds).await,
        ];
        let shown = times.map(|times| {
            let millis = |percent| at(&times, percent).as_secs_f64() * 1_000.0;
            format!("{:.2} / {:.2}", millis(50), millis(99))
        });
        row(engine.name, shown);
    }
}

async fn floods(engines: &[Engine], options: &Options) {
    println!("\n100 streams that say as much as they can (goal: >= 10 events an append)");
    row("", ["said/s", "stored/s", "an append", "not stored"]);
    let longest = Duration::from_millis(options.rounds(2_000) as u64);
    for engine in engines {
        for durability in [Durability::WriteBehind, Durability::CommitFirst] {
            let flood = writer::flood(engine, durability, longest).await;
            let appended = flood.appended;
            row(
                &format!("{}, {durability:?}", engine.name),
                [
                    format!("{:.0}", per(flood.said, flood.time.as_secs_f64())),
                    format!("{:.0}", per(flood.stored, flood.time.as_secs_f64())),
                    format!("{:.0}", ratio(appended.events, appended.calls)),
                    format!("{:.1} %", 100.0 * ratio(flood.not_stored, flood.said)),
                ],
            );
        }
    }
}

async fn replays(engines: &[Engine], options: &Options) {
    println!("\na replay of {} events, us an event", replay::EVENTS);
    row("", ["written at once", "memory", "one by one", "memory"]);
    let rounds = options.rounds(50);
    for engine in engines {
        let at_once = replay::replays(engine, Written::AtOnce, rounds).await;
        let one_by_one = replay::replays(engine, Written::OneByOne, rounds).await;
        let times = [
            at_once.from_store,
            at_once.from_memory,
            one_by_one.from_store,
            one_by_one.from_memory,
        ];
        let micros = |times: Vec<_>| each(at(&times, 50), replay::EVENTS) / 1_000.0;
        row(engine.name, times.map(|times| format!("{:.2}", micros(times))));
    }
}

fn live_events(options: &Options) {
    println!("\na live event, with a store in memory: CPU in ns, allocations");
    row("streams, events in a row", ["without", "with", "added", "allocations"]);
    let shape = |streams, events, rounds| Shape { streams, events, rounds };
    for shape in [shape(1, 1, 300), shape(100, 1, 300), shape(100, 100, 30)] {
        let shape = Shape { rounds: options.rounds(shape.rounds), ..shape };
        let [mut without, mut with] = [Times::default(), Times::default()];
        let mut allocations = 0;
        for _ in 0..3 {
            without.push(cpu::live(shape, false).cpu);
            let cost = cpu::live(shape, true);
            with.push(cost.cpu);
            allocations = cost.allocations;
        }
        let events = shape.all_events();
        let [without, with] = [without, with].map(|times| each(times.best(), events));
        row(
            &format!("{}, {}", shape.streams, shape.events),
            [
                format!("{without:.0}"),
                format!("{with:.0}"),
                format!("{:.0}", with - without),
                format!("{:.2}", ratio(allocations, events as u64)),
            ],
        );
    }
}

fn compressed(options: &Options) {
    println!("\ncompression: bytes stored a byte sent, CPU in us an event");
    row("", ["events a piece", "level 1", "level 3", "uncompressed"]);
    for payloads in payloads::all() {
        for (batch, times) in [(250, 20), (1, 4)] {
            let levels = [None, Some(1), Some(3)].map(|level| {
                let store = || compression::store(&payloads, level, batch, times);
                let stored: Vec<_> = (0..options.rounds(3)).map(|_| store()).collect();
                let least = stored.iter().map(|stored| stored.cost.cpu).min().unwrap();
                let compression::Stored { sent, appended, .. } = &stored[0];
                let micros = each(least, appended.events as usize) / 1_000.0;
                (ratio(appended.bytes, *sent), micros, ratio(appended.events, appended.pieces))
            });
            let [(_, bare, events), one, three] = levels;
            let shown =
                [one, three].map(|(bytes, micros, _)| format!("{bytes:.3}, {:+.2}", micros - bare));
            let [one, three] = shown;
            row(payloads.name, [format!("{events:.1}"), one, three, format!("{bare:.2}")]);
        }
    }
}

fn row<T: std::fmt::Display>(name: &str, [a, b, c, d]: [T; 4]) {
    println!("{name:<25} {a:>15} {b:>15} {c:>15} {d:>15}");
}

/// The time that so many of 100 do not pass.
fn at(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() * percent / 100]
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn per(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}
