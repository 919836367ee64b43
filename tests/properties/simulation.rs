//! Several instances of the layer over one store, and everything that can go wrong between them, by one seed: each client
//! sees every event of its own stream exactly once, in order, byte for byte, or is told what is missing.
//!
//! `SSE_RESUME_SCHEDULES` sets how many simulations are run; `SSE_RESUME_SEED` runs one, and tells what happens;
//! `SSE_RESUME_ALL` goes on after a failure, and lists all of them.

mod client;
mod inner;
mod instance;
mod model;
mod plan;
mod run;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const CASES: u64 = 2_000;

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
    let cases = setting("SSE_RESUME_SCHEDULES").unwrap_or(CASES);
    let all = setting("SSE_RESUME_ALL").is_some();
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // The smallest one that fails is the one to look at, so earlier ones are finished.
            if seed >= cases || !all && !failed.lock().unwrap().is_empty() {
                return;
            }
            if let Some(violation) = run::run(seed, false).violation {
                failed.lock().unwrap().push((seed, violation));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    if all {
        for (seed, violation) in &failed {
            println!("{seed}: {violation}");
        }
    }
    if let Some((seed, violation)) = failed.first() {
        panic!(
            "{violation}\nto see it: SSE_RESUME_SEED={seed} cargo test --test properties simulation -- --nocapture"
        );
    }
}
