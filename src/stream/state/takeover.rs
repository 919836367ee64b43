//! How a stream goes on after its inner body was lost.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::{Drive, Ending, Phase, Producer, State};
use crate::config::{Config, Linger};
use crate::error::ResumeErrorKind;
use crate::jitter::FOR_EVER;
use crate::observer::Observation;
use crate::resume::position::Position;
use crate::stream::claim::{Claim, Standing};
use crate::stream::decision::Undecided;
use crate::stream::effects::Effects;
use crate::stream::readers::{Close, Closing};
use crate::stream::{Permitted, Stream};

/// A takeover that is claimed.
pub(in crate::stream) struct Claimed {
    /// For those who wait until it is decided how it goes. They are woken when the call begins, too.
    undecided: Undecided,
    /// Until when the claim stands if others wait for it; `None`: the call has not begun.
    until: Option<Instant>,
    /// How often it was passed on.
    passed: u32,
}

/// How long a claim stands that was `passed` on so often: twice as long each time, lest a service that takes its time is
/// asked for ever.
pub(crate) fn standing_time(linger: Linger, passed: u32) -> Duration {
    let once = linger.0.or(Linger::default().0).unwrap_or_default();
    once.saturating_mul(1 << passed.min(16)).min(FOR_EVER)
}

impl State {
    /// Claims the takeover of an aborted stream. From then on its claim stands or falls with what is returned.
    pub(in crate::stream) fn claim(
        &mut self,
        stream: &Arc<Stream>,
        fx: &mut Effects,
    ) -> Option<Claim> {
        if !matches!(self.phase, Phase::Aborted(_) | Phase::Suspended) {
            return None;
        }
        fx.error = std::mem::replace(&mut self.phase, Phase::Live).into_error();
        self.ended_at = None;
        let claimed = Claimed { undecided: Undecided::new(), until: None, passed: 0 };
        self.producer = Producer::Claimed(Box::new(claimed));
        Some(self.next_claim(stream))
    }

    fn next_claim(&mut self, stream: &Arc<Stream>) -> Claim {
        self.claims += 1;
        let (claim, gone) = Claim::new(stream, self.claims, self.last_call.take());
        self.last_call = Some(gone);
        claim
    }

    /// How the claim stands for a request that waits, or, with the time, for one that would take it over.
    pub(in crate::stream) fn standing(
        &mut self,
        stream: &Arc<Stream>,
        now: Option<Instant>,
        fx: &mut Effects,
    ) -> Standing {
        let is_overdue = now.is_some_and(|now| self.has_overdue_claim(now));
        let Producer::Claimed(claimed) = &mut self.producer else { return Standing::Decided };
        if !is_overdue {
            return Standing::Claimed(claimed.undecided.decision(), claimed.until);
        }
        claimed.until = None;
        claimed.passed += 1;
        // The task that calls for the claim before lets go.
        fx.wakers.extend(self.driver.take());
        Standing::Passed(self.next_claim(stream))
    }

    /// Whether the claim has stood for as long as it does while others wait.
    pub(in crate::stream) fn has_overdue_claim(&self, now: Instant) -> bool {
        let Producer::Claimed(claimed) = &self.producer else { return false };
        claimed.until.is_some_and(|until| until <= now)
    }

    pub(in crate::stream) fn is_claimed_by(&self, number: u32) -> bool {
        self.is_undecided() && self.claims == number
    }

    /// The inner service is being called for this claim.
    pub(in crate::stream) fn begin_call(&mut self, number: u32, config: &Config, fx: &mut Effects) {
        if !self.is_claimed_by(number) {
            return;
        }
        if let Producer::Claimed(claimed) = &mut self.producer {
            let passed = claimed.passed;
            let until = Some(Instant::now() + standing_time(config.linger, passed));
            let now = Claimed { undecided: Undecided::new(), until, passed };
            fx.decided = Some(std::mem::replace(claimed, Box::new(now)));
        }
    }

    /// Whether this claim stands still, and until when it does at the latest if nobody comes.
    pub(in crate::stream) fn stand(
        &mut self,
        number: u32,
        waker: &Waker,
        now: Instant,
        fx: &mut Effects,
    ) -> Drive {
        if !self.is_claimed_by(number) {
            return Drive::Stop;
        }
        if self.lingering.as_ref().is_some_and(|lingering| lingering.until <= now) {
            self.lingering = None;
            fx.observations.push(Observation::LingerEnded { resumed: false });
            self.release(fx);
            return Drive::Stop;
        }
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            fx.stale.extend(self.driver.replace(waker.clone()));
        }
        Drive::Pause(self.linger_until())
    }

    /// Whether the call for a claimed takeover runs in a task.
    pub(in crate::stream) fn is_being_called(&self) -> bool {
        matches!(&self.producer, Producer::Claimed(claimed) if claimed.until.is_some())
    }

    /// Whether a takeover is claimed.
    pub(in crate::stream) fn is_undecided(&self) -> bool {
        matches!(self.producer, Producer::Claimed(_))
    }

    /// Whether a takeover is claimed, and that all was lost had been told under `position`.
    pub(in crate::stream) fn waits_for_loss(&self, position: Position) -> bool {
        let next = Position { generation: self.log.generation() + 1, offset: self.log.last() };
        self.is_undecided() && self.loss_told && position == next
    }

    /// The claim led to nothing. Does nothing if it was decided before, or passed on.
    pub(in crate::stream) fn release_claim(&mut self, number: u32, fx: &mut Effects) {
        if self.is_claimed_by(number) {
            self.end(Ending::Aborted(None), fx);
        }
    }

    /// The claim led to a new inner body, which the caller places or drives in a task.
    pub(in crate::stream) fn adopted(&mut self, fx: &mut Effects) {
        self.go_on_exchange();
        self.bodies += 1;
        self.last_call = None;
        fx.decided = std::mem::replace(&mut self.producer, Producer::Task).into_decided();
        self.readers.wake_all(&mut fx.wakers);
    }

    /// Ends the readers that cannot go on with the next inner body: those that got a part of a frame whose rest never
    /// comes, and, where the stream goes back to the event `rewound_to`, those that are not there.
    pub(in crate::stream) fn leave_behind(&mut self, rewound_to: Option<u64>, has_payload: bool) {
        let ends_in_frame = self.log.tail().is_within_frame();
        for key in self.readers.keys() {
            let Some(reader) = self.readers.get(key) else { continue };
            let (follower, next) = (reader.follower(), reader.cursor().next);
            let has_more = follower.is_some_and(|follower| !self.log.tail().is_at_end(follower));
            let is_in_frame = if has_more { ends_in_frame } else { reader.within_frame };
            let goes_on = match rewound_to {
                // What waits for it is said again.
                Some(first) => next == first && !reader.within_frame,
                // It has got nothing of the frame: history tells it what is missing.
                None => !is_in_frame || has_payload && !reader.within_frame,
            };
            if !goes_on {
                let how = Close::Broken(ResumeErrorKind::ProducerLost, None);
                reader.within_frame = false;
                reader.close = Some(Box::new(Closing { how, after: 0 }));
            } else if is_in_frame || rewound_to.is_some() {
                if let Some(follower) = follower {
                    self.log.tail().leave(follower);
                }
                self.readers.set_follower(key, None);
                self.readers.move_to(key, self.log.cursor(next));
            }
        }
    }

    /// The claimant and all others left before the new inner body came.
    pub(in crate::stream) fn adopted_by_nobody(
        &mut self,
        permit: impl FnOnce() -> Permitted,
        fx: &mut Effects,
    ) {
        if self.readers.is_empty() && self.lingering.is_none() {
            self.left_alone(permit, fx);
        }
    }
}
