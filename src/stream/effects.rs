//! What has to be done once a stream's lock is released.

use std::sync::Arc;
use std::task::Waker;

use super::Stream;
use crate::driver::{self, InnerBody};
use crate::observer::Observation;

/// Wake-ups, drops, tasks and observations that a change of a stream brings about.
#[derive(Default)]
pub(crate) struct Effects {
    pub(super) wakers: Vec<Waker>,
    pub(super) dropped: Option<InnerBody>,
    pub(super) spawned: Option<InnerBody>,
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
            && self.observations.is_empty()
            && self.dropped.is_none()
            && self.spawned.is_none()
    }

    fn apply_all(&mut self, stream: &Arc<Stream>) {
        if let Some(body) = self.spawned.take() {
            driver::spawn(stream, body);
        }
        self.wakers.drain(..).for_each(Waker::wake);
        drop(self.dropped.take());
        for observation in self.observations.drain(..) {
            stream.config.observer.tell(observation);
        }
    }
}
