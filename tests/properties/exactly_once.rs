//! The promise: each client sees every event exactly once, in order, byte for byte, or is told what is missing.
//!
//! Random scripts of an inner service, split at random bytes, read by clients that are cut at random bytes and come
//! back after random times, under a random configuration, held against a model that parses what the inner service said
//! by itself. `SSE_RESUME_CASES` sets how many cases are run; `SSE_RESUME_SEED` runs one, and tells what happens.

#![allow(clippy::cast_possible_wrap, reason = "offsets of a case are small")]

mod case;
mod client;
mod frames;
mod inner;
mod oracle;
mod random;
mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

const CASES: u64 = 100_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn each_client_sees_every_event_exactly_once_or_is_told_what_is_missing() {
    if let Some(seed) = setting("SSE_RESUME_SEED") {
        return case::run(seed, true);
    }
    let cases = setting("SSE_RESUME_CASES").unwrap_or(CASES);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // The smallest case that fails is the one to look at, so earlier ones are finished.
            if seed >= cases.min(failed.load(Ordering::Relaxed)) {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| case::run(seed, false))).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    let failed = failed.into_inner();
    assert_eq!(
        failed,
        u64::MAX,
        "to see it: SSE_RESUME_SEED={failed} cargo test --test properties exactly_once:: -- --nocapture"
    );
}
