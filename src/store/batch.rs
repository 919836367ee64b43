//! Events on their way into a store and out of it.

use bytes::Bytes;

use super::{Error, ErrorKind, Extent, Key};
use crate::resume::GapReason;

/// Some events in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The offset of the first one.
    pub first: u64,
    /// How many there are; not 0.
    pub count: u64,
    /// What they are.
    pub content: Content,
}

/// What a piece holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The events, as whoever wrote them encoded them: a store only copies these bytes.
    Events(Bytes),
    /// Nothing: the events are missing, for this reason.
    Hole(GapReason),
}

impl Piece {
    /// A piece of `count` events from `first` on.
    pub fn events(first: u64, count: u64, bytes: impl Into<Bytes>) -> Self {
        Self { first, count, content: Content::Events(bytes.into()) }
    }

    /// A piece of `count` events from `first` on that are missing.
    pub fn hole(first: u64, count: u64, reason: GapReason) -> Self {
        Self { first, count, content: Content::Hole(reason) }
    }

    /// The offset after its last event.
    pub fn next(&self) -> u64 {
        self.first + self.count
    }

    /// How many bytes of events it has: what [`Keep`](super::Keep) and the bound of a page count.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Events(bytes) => bytes.len(),
            Content::Hole(_) => 0,
        }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Cleanly.
    Finished,
    /// It broke off, or its producer gives it up.
    Aborted,
}

/// What is new in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: Key,
    /// The generation that writes.
    pub generation: u32,
    /// The offset that the stream's next event has, where all before was stored.
    pub first: u64,
    /// The events, from `first` on, each piece beginning where the one before ends. May be none.
    pub pieces: Vec<Piece>,
    /// What a resume elsewhere needs and changes as events go by, as whoever wrote it encoded it: at most 64 KiB. It
    /// replaces what was there; without it, that stays.
    pub progress: Option<Bytes>,
    /// Why events may be missing just before this generation, if that has turned out only now.
    pub gap: Option<GapReason>,
    /// The stream's end, after these events.
    pub end: Option<End>,
}

impl Append {
    /// The offset after its last event.
    pub fn next(&self) -> u64 {
        self.pieces.last().map_or(self.first, Piece::next)
    }

    /// How many bytes of events it has.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes() as u64).sum()
    }

    /// Checks a whole batch; for stores, before they write.
    ///
    /// # Errors
    /// [`InvalidData`](ErrorKind::InvalidData), if a piece does not begin where the one before ends, has no events, or
    /// goes past offset 2^63 - 1, or if two entries name the same stream.
    pub fn check(batch: &[Self]) -> Result<(), Error> {
        let mut streams: Vec<&Key> = batch.iter().map(|append| &append.stream).collect();
        streams.sort_unstable();
        if streams.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::new(ErrorKind::InvalidData, "a batch names a stream twice"));
        }
        batch.iter().try_for_each(Self::check_pieces)
    }

    fn check_pieces(&self) -> Result<(), Error> {
        let mut next = self.first;
        for piece in &self.pieces {
            let end =
                piece.first.checked_add(piece.count).filter(|end| i64::try_from(*end).is_ok());
            match end {
                Some(end) if piece.first == next && piece.count > 0 => next = end,
                _ => return Err(Error::new(ErrorKind::InvalidData, "pieces are not in a row")),
            }
        }
        Ok(())
    }
}

/// A part of a stream's events, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The stream's bounds, as of the same moment.
    pub extent: Extent,
    /// The events. The first piece may begin before the first event that was asked for; if it begins after it, what is
    /// between is gone. From there on there are no holes but those that are recorded.
    pub pieces: Vec<Piece>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(pieces: Vec<Piece>) -> Append {
        let stream = Key::new("s").unwrap();
        Append { stream, generation: 1, first: 3, pieces, progress: None, gap: None, end: None }
    }

    #[test]
    fn pieces_are_in_a_row() {
        let right = append(vec![Piece::events(3, 2, "ab"), Piece::hole(5, 1, GapReason::Oversize)]);
        assert!(Append::check(std::slice::from_ref(&right)).is_ok());
        assert_eq!((right.next(), right.bytes()), (6, 2));
        for wrong in [
            vec![Piece::events(4, 1, "a")],
            vec![Piece::events(3, 0, "a")],
            vec![Piece::events(3, 1, "a"), Piece::events(5, 1, "b")],
            vec![Piece::events(3, u64::MAX, "a")],
        ] {
            let error = Append::check(&[append(wrong)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_batch_names_each_stream_once() {
        let error = Append::check(&[append(vec![]), append(vec![])]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
