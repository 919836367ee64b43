//! Keeps clients from coming back all at once.

use std::time::Duration;

use crate::random;

/// What is longer than this is for ever: clocks cannot add much more to now.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A duration that is up to `share` of itself longer.
pub(crate) fn jitter(duration: Duration, share: f64) -> Duration {
    let fraction = f64::from(number()) / f64::from(u32::MAX);
    duration.min(FOR_EVER).mul_f64(1.0 + share * fraction)
}

fn number() -> u32 {
    let mut bytes = [0; 4];
    // Without random bytes there is no jitter: all is as configured.
    let _ = random::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
