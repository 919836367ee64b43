//! How long to wait for a server, and before the next attempt to reach it.

use std::time::Duration;

use crate::jitter::jitter;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// After how long without a word a connection on which the server is asked for one is given up: it may be cut off, or
/// lead to a server that hangs while another one has taken its place.
pub(super) fn silence(patience: Duration) -> Duration {
    patience.clamp(Duration::from_millis(100), Duration::from_secs(10))
}

/// Attempts in a row: waits that double up to a second, each up to a half longer at random, so that not all come back
/// at once.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// Waits before the next attempt.
    pub(super) async fn wait(&mut self) {
        let delay = jitter(self.0, 0.5);
        self.0 = (self.0 * 2).min(LONGEST);
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_a_second_and_are_up_to_a_half_longer() {
        let mut backoff = Backoff::new();
        for least in [20, 40, 80, 160, 320, 640, 1000, 1000] {
            let begun = Instant::now();
            backoff.wait().await;
            let waited = begun.elapsed().as_millis();
            assert!((least..=least * 3 / 2 + 1).contains(&waited), "{waited} after {least}");
        }
    }
}
