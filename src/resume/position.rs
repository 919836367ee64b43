//! Where a client is in a stream.

/// A place in a stream: what an event ID says.
///
/// Ordered by generation first: offsets go on from one generation to the next, but an offset of an
/// earlier producer that the next one had not seen is not the same event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    /// Which producer the event came from, from 1.
    pub(crate) generation: u32,
    /// The event's place in its stream, from 1; 0 is the place before the first event.
    pub(crate) offset: u64,
}

impl Position {
    /// The greatest offset that an event can have. Stores count with 63 bits, and there is always a next one.
    pub(crate) const MAX_OFFSET: u64 = i64::MAX as u64 - 1;
    /// The greatest generation that a position can have. That of an end is one more than that of what ended.
    pub(crate) const MAX_GENERATION: u32 = u32::MAX - 1;

    /// The place of these numbers, if there can be such a one: then the one after it can be told without overflow.
    pub(crate) fn checked(generation: u64, offset: u64) -> Option<Self> {
        let generation = u32::try_from(generation).ok()?;
        let is_possible =
            (1..=Self::MAX_GENERATION).contains(&generation) && offset <= Self::MAX_OFFSET;
        is_possible.then_some(Self { generation, offset })
    }

    /// The place of `offset` under `generation`.
    #[cfg(test)]
    pub(crate) const fn new(generation: u32, offset: u64) -> Self {
        Self { generation, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_next_one() {
        let (generation, offset) = (Position::MAX_GENERATION, Position::MAX_OFFSET);
        assert!(Position::checked(generation.into(), offset).is_some());
        assert!(Position::checked(1, 0).is_some());
        for (generation, offset) in [
            (0, 1),
            (u64::from(u32::MAX), 1),
            (u64::from(u32::MAX) + 2, 1),
            (1, offset + 1),
            (1, u64::MAX),
        ] {
            assert_eq!(Position::checked(generation, offset), None);
        }
    }

    #[test]
    fn a_later_generation_is_later_whatever_its_offset() {
        assert!(Position::new(1, 9) < Position::new(2, 3));
        assert!(Position::new(2, 3) < Position::new(2, 4));
    }
}
