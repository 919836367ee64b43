//! Keeps clients from coming back all at once.

use std::time::Duration;

/// What is longer than this is for ever: clocks cannot add much more to now.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A duration that is up to `share` of itself longer.
pub(crate) fn jitter(duration: Duration, share: f64) -> Duration {
    let mut random = [0; 4];
    // Without random bytes there is no jitter: all is as configured.
    let _ = getrandom::fill(&mut random);
    let fraction = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    duration.min(FOR_EVER).mul_f64(1.0 + share * fraction)
}
