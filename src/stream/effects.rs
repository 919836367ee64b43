//! What has to be done once a stream's lock is released.

use std::sync::Arc;
use std::task::Waker;

use super::Stream;
use super::state::Claimed;
use crate::driver::{self, InnerBody};
use crate::error::BoxError;
use crate::observer::Observation;

/// Wake-ups, drops, tasks and observations that a change of a stream brings about.
#[derive(Default)]
pub(crate) struct Effects {
    pub(super) wakers: Vec<Waker>,
    /// Those that nobody needs any more: to drop one may drop a task, with a client of this very stream.
    pub(super) stale: Vec<Waker>,
    pub(super) dropped: Option<InnerBody>,
    /// What an inner body failed with that is forgotten.
    pub(super) error: Option<Arc<BoxError>>,
    /// With its number.
    pub(super) spawned: Option<(InnerBody, u32)>,
    /// Who waits for a takeover is woken when this is dropped.
    pub(super) decided: Option<Box<Claimed>>,
    pub(super) observations: Vec<Observation>,
}

impl Effects {
    /// Does it all. The collected wakers' memory stays for the next time.
    #[inline]
    pub(super) fn apply(&mut self, stream: &Arc<Stream>) {
        // Most changes have none.
        if !self.is_empty() {
            self.apply_all(stream);
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.wakers.is_empty()
            && self.stale.is_empty()
            && self.error.is_none()
            && self.observations.is_empty()
            && self.dropped.is_none()
            && self.spawned.is_none()
            && self.decided.is_none()
    }

    fn apply_all(&mut self, stream: &Arc<Stream>) {
        if let Some((body, number)) = self.spawned.take() {
            driver::spawn(stream, body, number);
        }
        self.wakers.drain(..).for_each(Waker::wake);
        self.stale.clear();
        drop(self.error.take());
        drop(self.decided.take());
        drop(self.dropped.take());
        for observation in self.observations.drain(..) {
            stream.config.observer.tell(observation);
        }
    }
}
