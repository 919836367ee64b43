//! What was published last, for the readers that are up to date: they all get the same bytes, without a copy.

use std::collections::VecDeque;

use bytes::Bytes;

/// A reader that falls behind by more than this reads the history instead.
const LARGEST_TAIL: usize = 64 * 1024;
/// The same for who falls behind by many small pieces.
const MOST_PIECES: usize = 1024;

/// The latest published pieces, each kept until every reader that waits for it has taken it.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pieces: VecDeque<Piece>,
    /// Number of the first piece in `pieces`.
    first: u64,
    /// How many readers take pieces, with those that have lost some.
    followers: u32,
    /// How many of them have taken all.
    at_end: u32,
    bytes: usize,
}

/// Bytes that were published at once.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Offset of the event after it.
    next: u64,
    /// Payload of all events up to its end, in bytes.
    total: u64,
    /// Whether the frame at its end goes on in the next piece.
    within_frame: bool,
    /// How many readers take it next.
    here: u32,
}

/// Where a follower stands: the number of the piece that it takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follower(u64);

/// One step of a follower.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    pub(crate) next: u64,
    pub(crate) total: u64,
    pub(crate) within_frame: bool,
}

impl Tail {
    /// Adds a reader that has all that was published.
    pub(crate) fn follow(&mut self) -> Follower {
        self.followers += 1;
        self.at_end += 1;
        Follower(self.end())
    }

    /// Removes a reader.
    pub(crate) fn leave(&mut self, follower: Follower) {
        self.followers -= 1;
        if self.is_at_end(follower) {
            self.at_end -= 1;
        } else if let Some(piece) = self.index(follower).and_then(|at| self.pieces.get_mut(at)) {
            piece.here -= 1;
            self.release();
        }
    }

    /// Whether the reader has taken all pieces.
    #[inline]
    pub(crate) fn is_at_end(&self, follower: Follower) -> bool {
        follower.0 == self.end()
    }

    /// The offset of the event after the reader's next piece, if there is one.
    #[inline]
    pub(crate) fn next_of(&self, follower: Follower) -> Option<u64> {
        self.pieces.get(self.index(follower)?).map(|piece| piece.next)
    }

    /// Which of `pieces` the reader takes next, if it has not lost that.
    #[inline]
    fn index(&self, follower: Follower) -> Option<usize> {
        follower.0.checked_sub(self.first).map(|index| index as usize)
    }

    /// Whether anybody takes pieces.
    #[inline]
    pub(crate) fn is_followed(&self) -> bool {
        self.followers > 0
    }

    /// Whether somebody takes pieces, and nobody has taken all.
    pub(crate) fn is_behind(&self) -> bool {
        self.followers > 0 && self.at_end == 0
    }

    /// Whether the reader's next piece was given up because it did not come for it.
    #[inline]
    pub(crate) fn has_lost(&self, follower: Follower) -> bool {
        follower.0 < self.first
    }

    /// Whether the last piece that waits ends inside a frame.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.pieces.back().is_some_and(|piece| piece.within_frame)
    }

    /// Bytes that wait for somebody.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Heap that the list of pieces takes, without their bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }

    #[inline]
    fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    /// Publishes `bytes`. The oldest pieces are given up when too much waits.
    #[inline]
    pub(crate) fn push(&mut self, bytes: Bytes, next: u64, total: u64, within_frame: bool) {
        let here = std::mem::take(&mut self.at_end);
        if here == 0 && self.pieces.is_empty() {
            // All have lost some, and read the history.
            self.first += 1;
            return;
        }
        self.bytes += bytes.len();
        if self.pieces.capacity() == 0 {
            // Most streams have one reader, which takes each piece at once.
            self.pieces.reserve_exact(1);
        }
        self.pieces.push_back(Piece { bytes, next, total, within_frame, here });
        while (self.bytes > LARGEST_TAIL && self.pieces.len() > 1)
            || self.pieces.len() > MOST_PIECES
        {
            self.pop();
            self.release();
        }
    }

    /// The next piece for a reader that has lost none; `None` if it has all.
    #[inline]
    pub(crate) fn take(&mut self, follower: &mut Follower) -> Option<Taken> {
        let index = self.index(*follower)?;
        let piece = self.pieces.get_mut(index)?;
        piece.here -= 1;
        let is_last = index == 0 && piece.here == 0;
        let (next, total, within_frame) = (piece.next, piece.total, piece.within_frame);
        follower.0 += 1;
        match self.pieces.get_mut(index + 1) {
            Some(piece) => piece.here += 1,
            None => self.at_end += 1,
        }
        let bytes = if is_last {
            self.pop()
        } else {
            self.pieces.get(index).map(|piece| piece.bytes.clone())
        };
        let bytes = bytes.unwrap_or_default();
        Some(Taken { bytes, next, total, within_frame })
    }

    /// Gives up all pieces: who waits for one reads the history instead. Returns whether there were any.
    pub(crate) fn give_up(&mut self) -> bool {
        let had = !self.pieces.is_empty();
        while self.pop().is_some() {}
        self.pieces.shrink_to(1);
        had
    }

    /// Gives up the pieces that everybody has taken.
    fn release(&mut self) {
        while self.pieces.front().is_some_and(|piece| piece.here == 0) {
            self.pop();
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.first += 1;
        self.bytes -= piece.bytes.len();
        Some(piece.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(size: usize) -> Bytes {
        Bytes::from(vec![b'x'; size])
    }

    #[test]
    fn a_piece_is_released_when_its_last_follower_took_it() {
        let mut tail = Tail::default();
        let (mut a, mut b) = (tail.follow(), tail.follow());
        tail.push(piece(10), 2, 0, false);
        assert_eq!(tail.take(&mut a).unwrap().bytes.len(), 10);
        assert_eq!(tail.bytes(), 10);
        assert_eq!(tail.take(&mut b).unwrap().next, 2);
        assert_eq!(tail.bytes(), 0);
        assert!(tail.take(&mut a).is_none());
    }

    #[test]
    fn a_follower_that_leaves_holds_nothing_back() {
        let mut tail = Tail::default();
        let (mut a, b) = (tail.follow(), tail.follow());
        tail.push(piece(10), 2, 0, false);
        tail.push(piece(10), 3, 0, false);
        tail.take(&mut a);
        tail.leave(b);
        assert_eq!(tail.bytes(), 10);
        tail.leave(a);
        assert_eq!(tail.bytes(), 0);
        assert!(!tail.is_followed());
    }

    #[test]
    fn a_follower_that_does_not_come_loses_the_oldest_pieces() {
        let mut tail = Tail::default();
        let slow = tail.follow();
        for next in 2..8 {
            tail.push(piece(LARGEST_TAIL / 4), next, 0, false);
        }
        assert!(tail.has_lost(slow));
        assert!(tail.bytes() <= LARGEST_TAIL);
        tail.leave(slow);
        assert_eq!(tail.bytes(), 0);
    }

    #[test]
    fn who_has_lost_pieces_holds_none_of_the_later_ones() {
        let mut tail = Tail::default();
        let slow = tail.follow();
        tail.push(piece(10), 2, 0, false);
        tail.push(piece(LARGEST_TAIL), 3, 0, false);
        assert!(tail.has_lost(slow) && tail.is_behind());
        assert_eq!(tail.bytes(), 0);
        let mut quick = tail.follow();
        assert!(!tail.is_behind());
        tail.push(piece(10), 4, 0, false);
        assert!(tail.is_behind());
        assert_eq!(tail.take(&mut quick).unwrap().next, 4);
        assert_eq!(tail.bytes(), 0);
        tail.leave(quick);
        assert!(tail.is_behind(), "the slow one has not come back for what it lost");
        tail.leave(slow);
        assert!(!tail.is_behind() && !tail.is_followed());
    }

    #[test]
    fn pieces_that_are_given_up_are_lost_for_who_waits_and_for_nobody_else() {
        let mut tail = Tail::default();
        let slow = tail.follow();
        tail.push(piece(10), 2, 0, false);
        assert!(tail.give_up());
        assert!(!tail.give_up());
        let mut quick = tail.follow();
        assert!(tail.has_lost(slow) && !tail.has_lost(quick));
        assert_eq!(tail.bytes(), 0);
        tail.push(piece(10), 3, 0, false);
        assert_eq!(tail.take(&mut quick).unwrap().next, 3);
    }
}
