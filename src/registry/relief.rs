//! When it is worth looking for streams that can give up memory: not at each event while none can.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Where nothing more could be given up, this part of the limit has to be added before it is tried again.
const PART: usize = 64;
/// And who wants to come in has it tried after this time: readers may have read on.
const PAUSE: Duration = Duration::from_millis(100);

/// See the [module](self).
pub(super) struct Relief {
    /// Whether somebody is at it.
    is_running: AtomicBool,
    /// How few bytes there were since it was last tried in vain; the least there is if it was not in vain.
    low: AtomicIsize,
    /// When it was last tried in vain, in milliseconds since the beginning.
    tried: AtomicU64,
    beginning: Instant,
}

/// The right to give up memory. Nobody else has it meanwhile.
pub(super) struct Turn<'a>(&'a Relief);

impl Default for Relief {
    fn default() -> Self {
        Self {
            is_running: AtomicBool::new(false),
            low: AtomicIsize::new(isize::MIN),
            tried: AtomicU64::new(0),
            beginning: Instant::now(),
        }
    }
}

impl Relief {
    /// Memory was released, and now there are so many bytes.
    #[inline]
    pub(super) fn released(&self, bytes: isize) {
        if bytes < self.low.load(Ordering::Relaxed) {
            self.low.fetch_min(bytes, Ordering::Relaxed);
        }
    }

    /// Somebody wants to come in: after a pause it is worth looking again.
    pub(super) fn retry_now_and_then(&self) {
        let tried = self.tried.load(Ordering::Relaxed);
        if self.now().saturating_sub(tried) >= PAUSE.as_millis() as u64 {
            self.low.store(isize::MIN, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        self.beginning.elapsed().as_millis() as u64
    }

    /// Where there are more bytes than `limit`: whether to look for memory to give up. If so, others do not.
    pub(super) fn turn(&self, bytes: isize, limit: usize) -> Option<Turn<'_>> {
        let grown = bytes.saturating_sub(self.low.load(Ordering::Relaxed));
        let is_worth_it = grown >= (limit / PART) as isize;
        // No lock: code of others runs meanwhile, and may panic.
        let is_free = is_worth_it && !self.is_running.swap(true, Ordering::Acquire);
        is_free.then_some(Turn(self))
    }
}

impl Turn<'_> {
    /// All was tried, and so many bytes are left; `in_vain` if they are too many.
    pub(super) fn end(self, bytes: isize, in_vain: bool) {
        let low = if in_vain { bytes } else { isize::MIN };
        self.0.tried.store(self.0.now(), Ordering::Relaxed);
        self.0.low.store(low, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64_000;

    /// How often it is tried, in vain, while `bytes` grow one by one.
    fn tries(relief: &Relief, bytes: std::ops::Range<isize>) -> usize {
        let tried = bytes.filter_map(|bytes| Some((bytes, relief.turn(bytes, LIMIT)?)));
        tried.map(|(bytes, turn)| turn.end(bytes, true)).count()
    }

    #[test]
    fn where_nothing_can_be_given_up_it_is_tried_once_for_each_64th_of_the_limit() {
        assert_eq!(tries(&Relief::default(), 64_001..68_001), 4);
    }

    #[test]
    fn what_was_released_counts_as_room_to_grow_again() {
        let relief = Relief::default();
        assert_eq!(tries(&relief, 64_001..64_101), 1);
        relief.released(63_500);
        assert_eq!(tries(&relief, 64_001..64_500), 0);
        assert_eq!(tries(&relief, 64_500..64_501), 1);
    }

    #[test]
    fn after_it_has_helped_it_is_tried_at_the_limit() {
        let relief = Relief::default();
        for _ in 0..3 {
            relief.turn(64_001, LIMIT).unwrap().end(60_000, false);
        }
    }

    #[test]
    fn one_at_a_time_does_it_and_a_panic_leaves_the_turn_to_others() {
        let relief = Relief::default();
        let turn = relief.turn(64_001, LIMIT);
        assert!(turn.is_some() && relief.turn(64_001, LIMIT).is_none());
        drop(turn);
        assert!(relief.turn(64_001, LIMIT).is_some());
    }
}
