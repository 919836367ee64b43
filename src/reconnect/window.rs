//! The last events that were sent, by ID and content.

use std::collections::VecDeque;

use crate::resume::keys::Keys;
use crate::resume::seam::Seam;

/// Keeps fingerprints of event IDs apart from others that the same keys make.
const EVENT_ID: u8 = 1;

/// An event ID in eight bytes, so that a window has a bound. The empty ID stays empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdPrint(Option<[u8; 8]>);

impl IdPrint {
    pub(super) fn of(id: &[u8], keys: &Keys) -> Self {
        let print = || (keys.fingerprint(EVENT_ID, [id]) as u64).to_le_bytes();
        Self((!id.is_empty()).then(print))
    }
}

impl AsRef<[u8]> for IdPrint {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |print| print)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Window {
    events: VecDeque<(IdPrint, u64)>,
    most: usize,
}

impl Window {
    pub(super) fn of(most: usize) -> Self {
        Self { events: VecDeque::new(), most }
    }

    /// Adds an event that was sent: the last event ID in force at it, and the hash of its content.
    pub(super) fn push(&mut self, id: IdPrint, hash: u64) {
        if self.events.len() >= self.most {
            self.events.pop_front();
        }
        if self.most > 0 {
            self.events.push_back((id, hash));
        }
    }

    /// The seam after these events, with the response to a request that sent `sent`.
    pub(super) fn seam(&self, sent: IdPrint) -> Seam {
        Seam::new(self.events.iter().copied(), sent.as_ref())
    }
}
