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
    fn a_later_generation_is_later_whatever_its_offset() {
        assert!(Position::new(1, 9) < Position::new(2, 3));
        assert!(Position::new(2, 3) < Position::new(2, 4));
    }
}
