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
    /// Number of the piece after the last one that history does not have.
    unrecorded: u64,
    /// Whether the inner body is held back rather than such a piece given up before anybody has taken it.
    holds_back: bool,
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

/// What is published at once.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) bytes: Bytes,
    /// Offset of the event after it.
    pub(crate) next: u64,
    /// Payload of all events up to its end, in bytes.
    pub(crate) total: u64,
    /// Whether the frame at its end goes on in the next piece.
    pub(crate) within_frame: bool,
    /// Whether history has it, too.
    pub(crate) recorded: bool,
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

    /// Sets whether the inner body is held back until somebody has taken what history does not have.
    #[inline]
    pub(crate) fn hold_back(&mut self, holds_back: bool) {
        self.holds_back = holds_back;
    }

    /// Whether nobody has taken all that history does not have, though somebody could.
    #[inline]
    pub(crate) fn is_untaken(&self) -> bool {
        let last = self.unrecorded.checked_sub(self.first + 1);
        last.is_some_and(|last| !self.has_taken(last as usize))
    }

    /// Whether anybody has taken this one of `pieces`. There are few after one that history does not have.
    fn has_taken(&self, index: usize) -> bool {
        let mut later = self.pieces.iter().skip(index + 1);
        self.at_end > 0 || later.any(|piece| piece.here > 0)
    }

    /// Publishes a piece. The oldest ones are given up when too much waits.
    #[inline]
    pub(crate) fn push(&mut self, piece: Published) {
        let Published { bytes, next, total, within_frame, recorded } = piece;
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
        if !recorded {
            self.unrecorded = self.end();
        }
        let is_too_much = |tail: &Self| {
            (tail.bytes > LARGEST_TAIL && tail.pieces.len() > 1) || tail.pieces.len() > MOST_PIECES
        };
        while is_too_much(self) && !self.is_front_held() {
            self.pop();
            self.release();
        }
    }

    /// Whether nobody has taken the oldest piece, and a reader that lost it would lose what history does not have.
    fn is_front_held(&self) -> bool {
        self.holds_back && self.first < self.unrecorded && !self.has_taken(0)
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

    fn piece(size: usize, next: u64) -> Published {
        let bytes = Bytes::from(vec![b'x'; size]);
        Published { bytes, next, total: 0, within_frame: false, recorded: true }
    }

    #[test]
    fn a_piece_is_released_when_its_last_follower_took_it() {
        let mut tail = Tail::default();
        let (mut a, mut b) = (tail.follow(), tail.follow());
        tail.push(piece(10, 2));
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
        tail.push(piece(10, 2));
        tail.push(piece(10, 3));
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
            tail.push(piece(LARGEST_TAIL / 4, next));
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
        tail.push(piece(10, 2));
        tail.push(piece(LARGEST_TAIL, 3));
        assert!(tail.has_lost(slow));
        assert_eq!(tail.bytes(), 0);
        let mut quick = tail.follow();
        tail.push(piece(10, 4));
        assert_eq!(tail.take(&mut quick).unwrap().next, 4);
        assert_eq!(tail.bytes(), 0);
        tail.leave(quick);
        assert!(tail.is_followed(), "the slow one has not come back for what it lost");
        tail.leave(slow);
        assert!(!tail.is_followed());
    }

    #[test]
    fn pieces_that_are_given_up_are_lost_for_who_waits_and_for_nobody_else() {
        let mut tail = Tail::default();
        let slow = tail.follow();
        tail.push(piece(10, 2));
        assert!(tail.give_up());
        assert!(!tail.give_up());
        let mut quick = tail.follow();
        assert!(tail.has_lost(slow) && !tail.has_lost(quick));
        assert_eq!(tail.bytes(), 0);
        tail.push(piece(10, 3));
        assert_eq!(tail.take(&mut quick).unwrap().next, 3);
    }

    #[test]
    fn a_piece_that_history_lacks_is_kept_with_all_before_it_until_somebody_has_taken_it() {
        let mut tail = Tail::default();
        let (mut quick, slow) = (tail.follow(), tail.follow());
        tail.hold_back(true);
        tail.push(piece(LARGEST_TAIL, 2));
        tail.push(Published { recorded: false, ..piece(LARGEST_TAIL, 3) });
        assert!(tail.is_untaken() && !tail.has_lost(quick));
        tail.take(&mut quick);
        assert!(tail.is_untaken());
        tail.take(&mut quick);
        assert!(!tail.is_untaken());
        tail.push(piece(LARGEST_TAIL, 4));
        assert!(tail.has_lost(slow) && !tail.has_lost(quick));
    }

    #[test]
    fn who_is_left_is_waited_for_in_place_of_who_was_ahead() {
        let mut tail = Tail::default();
        let (mut quick, _slow) = (tail.follow(), tail.follow());
        tail.push(Published { recorded: false, ..piece(10, 2) });
        tail.take(&mut quick);
        assert!(!tail.is_untaken());
        tail.leave(quick);
        assert!(tail.is_untaken());
    }
}
