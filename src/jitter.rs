//! Keeps clients from coming back all at once.

use std::cell::Cell;
use std::time::Duration;

/// What is longer than this is for ever: clocks cannot add much more to now.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);

thread_local! {
    static REPEATED: Cell<Option<u32>> = const { Cell::new(None) };
}

/// For simulations: on this thread, what is random about times is the same again for the same seed.
#[doc(hidden)]
pub fn repeat_jitter(seed: u32) {
    REPEATED.set(Some(seed));
}

/// A duration that is up to `share` of itself longer.
pub(crate) fn jitter(duration: Duration, share: f64) -> Duration {
    let fraction = f64::from(number()) / f64::from(u32::MAX);
    duration.min(FOR_EVER).mul_f64(1.0 + share * fraction)
}

fn number() -> u32 {
    if let Some(last) = REPEATED.get() {
        let next = last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        REPEATED.set(Some(next));
        return next;
    }
    let mut random = [0; 4];
    // Without random bytes there is no jitter: all is as configured.
    let _ = getrandom::fill(&mut random);
    u32::from_le_bytes(random)
}
