//! What became of events.

use std::ops::AddAssign;

/// What became of the events of a stream, or of several together.
///
/// Each event that was counted is retained, or was dropped for one of three reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventCounts {
    /// All that there have been: each has an offset.
    pub counted: u64,
    /// Those that can be replayed.
    pub retained: u64,
    /// Those that were given up to stay within a limit on events or bytes; of a stream that is read from a store, those
    /// that are only there, too.
    pub evicted: u64,
    /// Those that became too old.
    pub expired: u64,
    /// Those that were too large to be recorded, that the store never got, and all where only IDs are kept.
    pub never_recorded: u64,
}

impl EventCounts {
    /// Those that cannot be replayed, whatever the reason.
    pub fn dropped(&self) -> u64 {
        self.counted - self.retained
    }

    /// The same number of events, where none are kept.
    pub(crate) fn never_recorded(self) -> Self {
        Self { counted: self.counted, never_recorded: self.counted, ..Self::default() }
    }
}

impl AddAssign for EventCounts {
    fn add_assign(&mut self, other: Self) {
        self.counted += other.counted;
        self.retained += other.retained;
        self.evicted += other.evicted;
        self.expired += other.expired;
        self.never_recorded += other.never_recorded;
    }
}
