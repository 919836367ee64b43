//! How long to wait before the next attempt to reach a server.

use std::time::Duration;

use crate::jitter::jitter;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Attempts in a row: waits that double up to a second, each up to a half longer at random, so that not all come back
/// at once.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// Waits before the next attempt.
    pub(crate) async fn wait(&mut self) {
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
