//! Several instances of the layer over one store, and everything that can go wrong between them, by one seed: each client
//! sees every event of its own stream exactly once, in order, byte for byte, or is told what is missing.
//!
//! `SSE_RESUME_SCHEDULES` sets how many simulations are run, and `SSE_RESUME_FIRST` which seed is the first;
//! `SSE_RESUME_SEED` runs one, and tells what happens; `SSE_RESUME_ALL` goes on after a failure, and names each as it
//! comes.

mod client;
mod inner;
mod instance;
mod model;
mod plan;
mod run;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many seeds are run.
const CASES: u64 = 2_000;
/// How many of them are run twice.
const REPEATED: u64 = 400;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn each_client_of_any_instance_sees_every_event_exactly_once_or_is_told_what_is_missing() {
    if let Some(seed) = setting("SSE_RESUME_SEED") {
        let outcome = run::run(seed, true);
        println!("{}", outcome.trace);
        assert_eq!(outcome.violation, None);
        return;
    }
    let first = setting("SSE_RESUME_FIRST").unwrap_or(0);
    let cases = setting("SSE_RESUME_SCHEDULES").unwrap_or(CASES);
    let all = setting("SSE_RESUME_ALL").is_some();
    let failed = failures(first..first + cases, all);
    if let Some((seed, violation)) = failed.into_iter().min() {
        let again = run::run(seed, true).violation;
        assert_eq!(again.as_ref(), Some(&violation), "seed {seed} does not repeat");
        panic!(
            "{violation}\nto see it: SSE_RESUME_SEED={seed} cargo test --test properties simulation::each -- --nocapture"
        );
    }
}

/// Runs these seeds on all processors, up to the first that fails, or `all`.
fn failures(seeds: std::ops::Range<u64>, all: bool) -> Vec<(u64, String)> {
    let (next, stops) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // The smallest one that fails is the one to look at, so earlier ones are finished.
            if seed >= seeds.end || stops.load(Ordering::Relaxed) {
                return;
            }
            if let Some(violation) = run::run(seed, false).violation {
                if all {
                    println!("{seed}: {violation}");
                }
                stops.store(!all, Ordering::Relaxed);
                failed.lock().unwrap().push((seed, violation));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    failed.into_inner().unwrap()
}

#[test]
fn a_seed_has_the_same_trace_whenever_and_wherever_it_is_run() {
    let seeds: Vec<u64> = match setting("SSE_RESUME_SEED") {
        Some(seed) => vec![seed],
        None => (0..REPEATED).map(|number| number * (CASES / REPEATED)).collect(),
    };
    let trace = |seed: &u64| (*seed, run::run(*seed, true).trace);
    // On two threads, and each time after another seed.
    let (one, mut other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| seeds.iter().map(trace).collect::<Vec<_>>());
        let other = scope.spawn(|| seeds.iter().rev().map(trace).collect::<Vec<_>>());
        (one.join().unwrap(), other.join().unwrap())
    });
    other.reverse();
    let differ: Vec<_> = one.iter().zip(&other).filter(|(one, other)| one != other).collect();
    let seeds: Vec<_> = differ.iter().map(|((seed, _), _)| seed).collect();
    if let Some(((seed, one), (_, other))) = differ.first() {
        panic!("these do not repeat: {seeds:?}\nseed {seed} {}", difference(one, other));
    }
}

/// The first line in which two traces differ, and some around it.
fn difference(one: &str, other: &str) -> String {
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    let around = |trace: &str| {
        let lines = trace.lines().skip(same.saturating_sub(12)).take(16);
        lines.collect::<Vec<_>>().join("\n")
    };
    format!("at line {same}:\n{}\n--- but\n{}", around(one), around(other))
}
