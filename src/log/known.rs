//! Events that are known by inner ID and content, without their payload.

use std::collections::VecDeque;

/// The inner service's last event ID at an event (empty: none), and the hash of the event's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) offset: u64,
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
    /// Adds a later event, and forgets all but the newest `most`, with IDs of at most so many bytes together.
    pub(super) fn push(&mut self, event: Known, most: usize, most_bytes: usize) {
        self.id_bytes += event.id.len();
        self.events.push_back(event);
        self.keep_newest(most, most_bytes);
    }

    pub(super) fn keep_newest(&mut self, most: usize, most_bytes: usize) {
        while self.events.len() > most || self.id_bytes > most_bytes {
            self.id_bytes -= self.events.pop_front().map_or(0, |event| event.id.len());
        }
    }

    /// Forgets the events after `offset`.
    pub(super) fn forget_after(&mut self, offset: u64) {
        while self.events.back().is_some_and(|event| event.offset > offset) {
            self.id_bytes -= self.events.pop_back().map_or(0, |event| event.id.len());
        }
    }

    /// The oldest one's offset.
    pub(super) fn first(&self) -> Option<u64> {
        self.events.front().map(|event| event.offset)
    }

    /// The event at `offset`.
    pub(super) fn get(&self, offset: u64) -> Option<&Known> {
        let index = self.events.binary_search_by_key(&offset, |event| event.offset).ok()?;
        self.events.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.events.iter()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.events.capacity() * size_of::<Known>() + self.id_bytes
    }
}
