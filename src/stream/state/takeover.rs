//! How a stream goes on after its inner body was lost.

use super::{Ending, Phase, Producer, State};
use crate::error::ResumeErrorKind;
use crate::resume::position::Position;
use crate::stream::Permitted;
use crate::stream::decision::{Decision, Undecided};
use crate::stream::effects::Effects;
use crate::stream::readers::{Close, Closing};

impl State {
    /// Claims the takeover of an aborted stream.
    pub(in crate::stream) fn claim(&mut self, fx: &mut Effects) -> bool {
        let free = matches!(self.phase, Phase::Aborted(_) | Phase::Suspended);
        if free {
            fx.error = std::mem::replace(&mut self.phase, Phase::Live).into_error();
            self.ended_at = None;
            self.producer = Producer::Claimed(Undecided::new());
        }
        free
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

    /// How the takeover goes that is claimed, if one is: to wait for.
    pub(in crate::stream) fn decision(&self) -> Option<Decision> {
        match &self.producer {
            Producer::Claimed(undecided) => Some(undecided.decision()),
            _ => None,
        }
    }

    /// The claim led to nothing. Does nothing if it was decided before.
    pub(in crate::stream) fn release_claim(&mut self, fx: &mut Effects) {
        if self.is_undecided() {
            self.end(Ending::Aborted(None), fx);
        }
    }

    /// The claim led to a new inner body, which the caller places or drives in a task.
    pub(in crate::stream) fn adopted(&mut self, fx: &mut Effects) {
        self.go_on_exchange();
        self.bodies += 1;
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
        if self.readers.is_empty() {
            self.left_alone(permit, fx);
        }
    }
}
