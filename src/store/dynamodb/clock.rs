//! What time it is at DynamoDB, of which each of its answers says the second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

/// How much our clock may go wrong between two answers: one part in so many.
const DRIFT: u32 = 2000;

/// The time at the server, in milliseconds, as far as its answers tell: the `Date` of each says that the server's time
/// was within that second at some moment between the question and the answer. What all of them say together is soon
/// known to about the time that a question takes. Only how fast our own clock goes counts, never what it shows.
///
/// Whatever is noted has the latest time that it may be, and is judged by the earliest one: nothing lapses too soon.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<Mutex<Option<Bounds>>>);

/// Between what times it was then.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    then: Instant,
    earliest: Duration,
    latest: Duration,
}

impl Bounds {
    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.then);
        let drift = passed / DRIFT;
        Self {
            then: now.max(self.then),
            earliest: self.earliest + passed.saturating_sub(drift),
            latest: self.latest + passed + drift,
        }
    }
}

impl Clock {
    /// Follows one question from now on.
    pub(super) fn asking(&self) -> Asking {
        Asking { clock: self.clone(), asked: Instant::now() }
    }

    /// The earliest time that it may be.
    pub(super) fn earliest(&self) -> u64 {
        self.at(Instant::now()).map_or(0, |bounds| bounds.earliest.as_millis() as u64)
    }

    /// The latest time that it may be.
    pub(super) fn latest(&self) -> u64 {
        self.at(Instant::now()).map_or(0, |bounds| bounds.latest.as_millis() as u64)
    }

    fn at(&self, now: Instant) -> Option<Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|bounds| bounds.at(now))
    }

    fn note(&self, second: Duration, asked: Instant, answered: Instant) {
        let latest = second + Duration::from_secs(1) + answered.saturating_duration_since(asked);
        let told = Bounds { then: answered, earliest: second, latest };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let both = known.map(|known| known.at(answered)).map(|known| Bounds {
            then: known.then,
            earliest: known.earliest.max(told.earliest),
            latest: known.latest.min(told.latest),
        });
        // Where they do not agree, one of the two clocks was set: the last answer counts.
        *known = both.filter(|both| both.earliest <= both.latest).or(Some(told));
    }
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asking {
    clock: Clock,
    asked: Instant,
}

impl Intercept for Asking {
    fn name(&self) -> &'static str {
        "sse-resume-clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(second) = date.and_then(|date| u64::try_from(date.secs()).ok()) {
            self.clock.note(Duration::from_secs(second), self.asked, Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The bounds at a moment, in milliseconds.
    fn bounds(clock: &Clock, at: Instant) -> (u128, u128) {
        let bounds = clock.at(at).unwrap();
        (bounds.earliest.as_millis(), bounds.latest.as_millis())
    }

    #[test]
    fn answers_about_two_seconds_tell_the_time_between_them() {
        let (clock, start) = (Clock::default(), Instant::now());
        assert_eq!((clock.earliest(), clock.latest()), (0, 0));
        // It is 70,900 at the start.
        clock.note(ms(70_000), start, start + ms(10));
        assert_eq!(bounds(&clock, start + ms(10)), (70_000, 71_010));
        clock.note(ms(71_000), start + ms(110), start + ms(120));
        assert_eq!(bounds(&clock, start + ms(120)), (71_000, 71_120));
        clock.note(ms(71_000), start + ms(1060), start + ms(1070));
        assert_eq!(bounds(&clock, start + ms(1070)), (71_949, 72_010));
    }

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.note(ms(70_000), start, start);
        clock.note(ms(50_000), start, start + ms(10));
        assert_eq!(bounds(&clock, start + ms(10)), (50_000, 51_010));
    }

    #[test]
    fn what_was_told_long_ago_is_known_less_well() {
        let (clock, start) = (Clock::default(), Instant::now());
        clock.note(ms(70_000), start, start);
        assert_eq!(bounds(&clock, start + ms(20_000)), (89_990, 91_010));
    }
}
