//! Events that are known by inner ID and content, without their payload.

use std::collections::VecDeque;

/// The inner service's last event ID at an event (empty: none), and the hash of the event's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: Box<[u8]>,
    pub(crate) hash: u64,
}

/// The newest events of those that history does not have, oldest first.
#[derive(Debug, Default)]
pub(super) struct KnownEvents {
    events: VecDeque<Known>,
    id_bytes: usize,
}

impl KnownEvents {
    /// Adds the next event, and forgets all but the newest `most`.
    pub(super) fn push(&mut self, event: Known, most: usize) {
        self.id_bytes += event.id.len();
        self.events.push_back(event);
        self.keep_newest(most);
    }

    pub(super) fn keep_newest(&mut self, most: usize) {
        while self.events.len() > most {
            self.id_bytes -= self.events.pop_front().map_or(0, |event| event.id.len());
        }
    }

    /// Forgets the newest `count` events.
    pub(super) fn take_back(&mut self, count: u64) {
        for _ in 0..count {
            self.id_bytes -= self.events.pop_back().map_or(0, |event| event.id.len());
        }
    }

    /// The event that is this many places before the newest one.
    pub(super) fn before_newest(&self, places: u64) -> Option<&Known> {
        let index = self.events.len().checked_sub(1)?.checked_sub(usize::try_from(places).ok()?)?;
        self.events.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.events.iter()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.events.capacity() * size_of::<Known>() + self.id_bytes
    }
}
