//! What a store knows of a stream.

use std::time::Duration;

use bytes::Bytes;

use super::{End, Key};
use crate::resume::GapReason;

/// How much of a stream a store keeps, and for how long.
///
/// Whole pieces go, the oldest first: one goes once those after it alone reach a limit, so that a store keeps what was
/// asked for and passes it by less than one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How many events.
    pub events: u64,
    /// How many bytes of events.
    pub bytes: u64,
    /// For how long: pieces after they were appended, and the stream itself after its last change.
    pub age: Duration,
}

/// A stream to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStream {
    /// Who produces its first generation.
    pub producer: Key,
    /// The session that it is purged with.
    pub session: Option<Key>,
    /// The owner that it is purged with.
    pub owner: Option<Key>,
    /// What a resume elsewhere needs and never changes, as whoever wrote it encoded it: at most 64 KiB.
    pub origin: Bytes,
    /// How much is kept.
    pub keep: Keep,
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It does, as long as its producer's lease holds.
    Live,
    /// It ended cleanly: nothing comes any more.
    Finished,
    /// It broke off: a next generation may go on.
    Aborted,
}

impl From<End> for State {
    fn from(end: End) -> Self {
        match end {
            End::Finished => Self::Finished,
            End::Aborted => Self::Aborted,
        }
    }
}

/// The bounds of what a store has of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whether it goes on.
    pub state: State,
    /// The running generation, or the last one. The first is 1.
    pub generation: u32,
    /// Who produces that generation.
    pub producer: Key,
    /// Whether the producer's lease has lapsed, by the store's clock at the time of the answer. An instance that never
    /// had a lease counts as lapsed.
    pub lapsed: bool,
    /// The first offset that can be read; `next`, if there is none.
    pub first: u64,
    /// The offset of the next event: one above the last.
    pub next: u64,
}

impl Extent {
    /// Whether a stream that now has the extent `self` has more to say than when it had `seen`: that is what
    /// [`wait`](super::Store::wait) waits for. A lapse is none.
    pub fn is_news_after(&self, seen: &Self) -> bool {
        (self.state, self.generation, self.next) != (seen.state, seen.generation, seen.next)
    }
}

/// Where a generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u32,
    /// The offset of its first event.
    pub first: u64,
    /// Why events may be missing just before it.
    pub gap: Option<GapReason>,
}

/// All that a store knows of a stream but its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its bounds.
    pub extent: Extent,
    /// As it was created with.
    pub origin: Bytes,
    /// What came with the last append that had one; empty before that.
    pub progress: Bytes,
    /// Where its generations begin, from the first, or the last [`MOST_GENERATIONS`](Self::MOST_GENERATIONS).
    pub generations: Vec<Generation>,
}

impl Record {
    /// How many generations a store remembers of each stream.
    pub const MOST_GENERATIONS: usize = 1024;
}

/// A claim of a stream's next generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The generation that the claimer saw.
    pub after: u32,
    /// Who is to produce the next one.
    pub producer: Key,
    /// Why events may be missing before the first one of the new generation, if that is known already.
    pub gap: Option<GapReason>,
}

/// What is to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// One stream.
    Stream(Key),
    /// All streams of a session.
    Session(Key),
    /// All streams of an owner.
    Owner(Key),
    /// All streams.
    All,
}

/// What a sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pieces of streams that stay.
    pub pieces: u64,
    /// Streams and tombstones.
    pub streams: u64,
}
