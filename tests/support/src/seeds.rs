//! Runs seeded cases on all processors, and says how to see the first one that fails.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs `case` for the seeds below `cases`, or for as many as the environment variable `setting` says. A case that
/// fails panics; the second argument says whether it prints what happens.
///
/// `SSE_RESUME_SEED` runs one seed, and prints; `SSE_RESUME_FIRST` is the first seed, if not 0; `SSE_RESUME_ALL` goes on
/// after a failure, and lists all of them.
pub fn run(setting: &str, cases: u64, case: impl Fn(u64, bool) + Sync) {
    if let Some(seed) = number("SSE_RESUME_SEED") {
        return case(seed, true);
    }
    let (cases, all) = (number(setting).unwrap_or(cases), number("SSE_RESUME_ALL").is_some());
    let first = number("SSE_RESUME_FIRST").unwrap_or(0);
    let (next, failed) = (AtomicU64::new(first), AtomicU64::new(u64::MAX));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // The smallest one that fails is the one to look at, so earlier ones are finished.
            if seed >= first + cases || !all && seed >= failed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(seed, false))) {
                failed.fetch_min(seed, Ordering::Relaxed);
                if all {
                    println!("failed {seed}: {}", message(&*panic));
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (failed, current) = (failed.into_inner(), thread::current());
    let test = current.name().unwrap_or_default();
    assert!(
        failed == u64::MAX,
        "to see it: SSE_RESUME_SEED={failed} cargo test --all-features --test properties {test} -- --nocapture"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
