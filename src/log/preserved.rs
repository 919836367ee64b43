//! Where the inner service's own event IDs are, for clients that come back with one.

use std::collections::{HashMap, VecDeque};

/// The inner IDs of the events that can be found again, as keyed hashes.
#[derive(Debug, Default)]
pub(super) struct Preserved {
    offsets: HashMap<u64, u64>,
    /// In the order of their events.
    order: VecDeque<(u64, u64)>,
}

impl Preserved {
    /// Notes that the event at `offset` has the ID with this hash. `false`: an earlier event has it.
    pub(super) fn insert(&mut self, id: u64, offset: u64) -> bool {
        let is_new = !self.offsets.contains_key(&id);
        if is_new {
            self.offsets.insert(id, offset);
            self.order.push_back((id, offset));
        }
        is_new
    }

    /// The event with this ID.
    pub(super) fn offset(&self, id: u64) -> Option<u64> {
        self.offsets.get(&id).copied()
    }

    /// Forgets the IDs of events before `offset`.
    pub(super) fn forget_before(&mut self, offset: u64) {
        while let Some((id, first)) = self.order.front().copied() {
            if first >= offset {
                return;
            }
            self.order.pop_front();
            self.offsets.remove(&id);
        }
    }

    /// Forgets the IDs of events after `offset`.
    pub(super) fn forget_after(&mut self, offset: u64) {
        while let Some((id, last)) = self.order.back().copied() {
            if last <= offset {
                return;
            }
            self.order.pop_back();
            self.offsets.remove(&id);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // A table of `hashbrown` has a control byte for each place.
        self.offsets.capacity() * (size_of::<(u64, u64)>() + 1)
            + self.order.capacity() * size_of::<(u64, u64)>()
    }
}
