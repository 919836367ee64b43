//! How long to wait before the next attempt, and whether there is one.

use std::time::Duration;

use super::Config;
use crate::jitter::jitter;

/// What doubling begins at, at the least: a `retry` of 0 means at once, not for ever.
const LEAST_DOUBLED: Duration = Duration::from_millis(100);

/// The attempts in a row that brought nothing.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Begins the next attempt: how long to wait before it. `None` if there were enough.
    pub(super) fn next(&mut self, config: &Config, retry: Option<u64>) -> Option<Duration> {
        if self.attempts >= config.attempts {
            return None;
        }
        let first = retry.map_or(config.first_delay, Duration::from_millis);
        let delay = match self.attempts {
            0 => first,
            doubled => first.max(LEAST_DOUBLED).saturating_mul(1_u32 << doubled.min(31)),
        };
        self.attempts += 1;
        Some(jitter(delay.min(config.longest_delay.max(first)), config.jitter))
    }

    /// The last attempt brought something.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::SseReconnectLayer;
    use super::*;

    fn config() -> Config {
        SseReconnectLayer::new().jitter(0.0).config
    }

    fn delays(config: &Config, retry: Option<u64>) -> Vec<u128> {
        let mut backoff = Backoff::default();
        std::iter::from_fn(|| backoff.next(config, retry)).map(|delay| delay.as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_longest_for_as_many_attempts_as_there_may_be() {
        let expected = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30].map(|seconds| seconds * 1_000);
        assert_eq!(delays(&config(), None), expected);
    }

    #[test]
    fn a_retry_is_where_doubling_begins() {
        assert_eq!(delays(&config(), Some(300))[..4], [300, 600, 1_200, 2_400]);
        assert_eq!(delays(&config(), Some(45_000))[..2], [45_000, 45_000]);
    }

    #[test]
    fn a_retry_of_nothing_means_at_once_and_not_for_ever() {
        assert_eq!(delays(&config(), Some(0))[..4], [0, 200, 400, 800]);
    }

    #[test]
    fn no_retry_and_no_number_of_attempts_overflows() {
        let config = SseReconnectLayer::new().jitter(10.0).attempts(100).config;
        assert_eq!(delays(&config, Some(u64::MAX)).len(), 100);
        assert_eq!(delays(&config, None).len(), 100);
    }

    #[test]
    fn jitter_makes_delays_longer_by_its_share_at_the_most() {
        let config = SseReconnectLayer::new().jitter(0.5).config;
        let firsts: Vec<u128> = (0..50).map(|_| delays(&config, None)[0]).collect();
        assert!(firsts.iter().all(|delay| (1_000..=1_500).contains(delay)));
        assert!(firsts.iter().any(|delay| *delay != firsts[0]));
    }
}
