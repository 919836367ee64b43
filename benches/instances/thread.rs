//! CPU time and allocations of work that one thread does alone.

use std::future::Future;
use std::time::Duration;

use allocation_counter::measure;
use tokio::runtime::{Builder, Runtime};

/// A runtime that has no thread but the caller's.
pub struct Alone(Runtime);

/// What some work took.
pub struct Cost {
    pub cpu: Duration,
    pub allocations: u64,
}

impl Alone {
    pub fn new() -> Self {
        Self(Builder::new_current_thread().enable_all().build().unwrap())
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    /// What the work takes, with all that runs beside it.
    pub fn cost(&self, work: impl Future<Output = ()>) -> Cost {
        let before = cpu();
        let allocated = measure(|| self.0.block_on(work));
        Cost { cpu: cpu().saturating_sub(before), allocations: allocated.count_total }
    }
}

/// CPU time that this thread has taken so far.
fn cpu() -> Duration {
    // The kernel brings it up to date when the thread sleeps, and else every few milliseconds.
    std::thread::sleep(Duration::from_micros(100));
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}
