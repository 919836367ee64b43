//! The retained events of one stream: blocks of wire format, oldest first.
//!
//! Events are appended to one open block. A block that is full is *sealed*: cut to its exact size, so that history
//! costs its bytes and a small header a block, and a replay hands out whole blocks without copying. Nothing is kept
//! for each event: where one begins inside a block is found again by scanning that block.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::EventCounts;
use crate::resume::{GapReason, Retention};
use crate::sse::frames;

/// The size of a stream's first block; each next one is twice as large, up to [`LARGEST_BLOCK`].
const FIRST_BLOCK: usize = 256;
/// Larger frames have a block of their own.
const LARGEST_BLOCK: usize = 8 * 1024;
/// An open block of this size is sealed for a reader that wants it; a smaller one is copied, so that many small
/// reads do not leave many small blocks.
const WORTH_SEALING: usize = 2 * 1024;

/// Retained events and the floor below which nothing is served.
#[derive(Debug)]
pub(crate) struct History {
    sealed: VecDeque<Block>,
    open: Vec<u8>,
    open_first: u64,
    open_since: Option<Instant>,
    next_capacity: usize,
    /// Number of blocks that were dropped from the front, so that a block's number never changes.
    dropped: u64,
    /// Offset of the event that is appended next.
    next: u64,
    /// The first event that is served.
    floor: u64,
    /// Why events below the floor are gone.
    floor_reason: GapReason,
    /// Below this floor nothing can be dropped whole.
    release_at: u64,
    /// How far the front block was walked to find where its served part begins.
    front: Walk,
    sealed_bytes: usize,
    /// Whether blocks came or went since the last call of [`History::take_resized`].
    resized: bool,
    /// Payload of all events ever appended, in bytes.
    total: u64,
    /// How many recorded events became too old.
    expired: u64,
    seldom: Option<Box<Seldom>>,
}

/// What few histories have.
#[derive(Debug, Default)]
struct Seldom {
    holes: VecDeque<Hole>,
    /// How many events took an offset and were not recorded, forgotten holes included.
    never_recorded: u64,
    keeps_dropped: bool,
    /// Blocks that were dropped and not taken yet.
    dropped_blocks: Vec<(u64, Bytes)>,
}

/// A sealed block: events without a hole between them.
#[derive(Debug)]
struct Block {
    bytes: Bytes,
    first: u64,
    count: u32,
    /// Payload of all events before the block, in bytes.
    before: u64,
    sealed_at: Instant,
}

impl Seldom {
    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.holes.capacity() * size_of::<Hole>()
    }
}

impl Block {
    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// Events that took an offset and were never recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) reason: GapReason,
}

/// A place in a block: the event before which it is, and its byte.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    event: u64,
    at: usize,
}

/// Where a reader stands: before the event `next`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) next: u64,
    /// Payload of all events before it, in bytes.
    pub(crate) total: u64,
    /// A hint that saves the look-up while a reader goes from block to block.
    block: u64,
    at: u32,
}

impl Cursor {
    pub(crate) fn before(next: u64, total: u64) -> Self {
        Self { next, total, block: u64::MAX, at: 0 }
    }
}

/// What history has at a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Whole frames; the cursor was moved behind them.
    Frames(Bytes),
    /// Nothing until `resumed`, the last missing event; the cursor was moved behind it.
    Missing { resumed: u64, reason: GapReason },
    /// All that there is was read.
    End,
}

impl History {
    /// An empty history whose first event will have the offset `next`.
    pub(crate) fn starting_at(next: u64) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: Vec::new(),
            open_first: next,
            open_since: None,
            next_capacity: FIRST_BLOCK,
            dropped: 0,
            next,
            floor: next,
            floor_reason: GapReason::Evicted,
            release_at: 0,
            front: Walk::default(),
            sealed_bytes: 0,
            resized: false,
            total: 0,
            expired: 0,
            seldom: None,
        }
    }

    /// Offset of the event that is appended next; one more than the last offset.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The first event that is served, or `next` if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.floor
    }

    /// The first event after which no served one is missing, or `next` if there is none.
    pub(crate) fn complete_from(&self) -> u64 {
        let last = self.seldom.as_ref().and_then(|seldom| seldom.holes.back());
        last.map_or(self.floor, |hole| self.floor.max(hole.last + 1))
    }

    /// What became of the events.
    pub(crate) fn counts(&self) -> EventCounts {
        let seldom = self.seldom.as_deref();
        let holes = seldom.into_iter().flat_map(|seldom| &seldom.holes);
        let in_holes: u64 =
            holes.map(|hole| (hole.last + 1).saturating_sub(hole.first.max(self.floor))).sum();
        let counted = self.next - 1;
        let retained = self.next - self.floor - in_holes;
        let never_recorded = seldom.map_or(0, |seldom| seldom.never_recorded);
        let evicted = counted - retained - self.expired - never_recorded;
        EventCounts { counted, retained, evicted, expired: self.expired, never_recorded }
    }

    /// Payload of all events ever appended, in bytes.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether blocks came or went since the last call: adding an event to a block does not change what is held.
    #[inline]
    pub(crate) fn take_resized(&mut self) -> bool {
        std::mem::take(&mut self.resized)
    }

    /// Payload of the blocks, in bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.sealed_bytes + self.open.len()
    }

    /// Bytes of heap that the blocks take.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        let seldom = self.seldom.as_ref().map_or(0, |seldom| seldom.heap_bytes());
        self.sealed_bytes
            + self.open.capacity()
            + self.sealed.capacity() * size_of::<Block>()
            + seldom
    }

    /// From now on blocks that are dropped are kept until they are [taken](Self::take_dropped).
    pub(crate) fn keep_dropped(&mut self) {
        self.seldom.get_or_insert_default().keeps_dropped = true;
    }

    pub(crate) fn has_dropped(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| !seldom.dropped_blocks.is_empty())
    }

    /// The blocks that were dropped since, each with its first offset.
    pub(crate) fn take_dropped(&mut self) -> Vec<(u64, Bytes)> {
        let seldom = self.seldom.as_mut();
        seldom.map(|seldom| std::mem::take(&mut seldom.dropped_blocks)).unwrap_or_default()
    }

    /// Adds one whole frame, and returns it as it lies there. `now` is asked only when a block begins or ends.
    #[inline]
    pub(crate) fn push<const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        now: impl Fn() -> Instant,
    ) -> &[u8] {
        let len = parts.iter().map(|part| part.len()).sum();
        if self.open.capacity() - self.open.len() < len {
            self.make_room(len, &now);
        }
        if self.open.is_empty() {
            self.open_first = self.next;
            self.open_since = Some(now());
        }
        let start = self.open.len();
        for part in parts {
            self.open.extend_from_slice(part);
        }
        self.next += 1;
        self.total += len as u64;
        &self.open[start..]
    }

    /// Counts one event where none are kept.
    pub(crate) fn skip(&mut self) {
        self.next += 1;
        self.floor = self.next;
        if let Some(seldom) = &mut self.seldom {
            seldom.holes.clear();
        }
    }

    /// Where none are kept: the event that is appended next is `next` again.
    pub(crate) fn rewind(&mut self, next: u64, now: Instant) {
        self.clear(now);
        self.next = next;
        self.floor = next;
    }

    /// Counts one event that is not kept.
    pub(crate) fn push_hole(&mut self, reason: GapReason, now: Instant) {
        self.seal(now);
        self.release_at = 0;
        let offset = self.next;
        self.next += 1;
        let Seldom { holes, never_recorded, .. } = &mut **self.seldom.get_or_insert_default();
        *never_recorded += 1;
        match holes.back_mut() {
            Some(hole) if hole.last + 1 == offset && hole.reason == reason => hole.last = offset,
            _ => holes.push_back(Hole { first: offset, last: offset, reason }),
        }
    }

    /// Counts the events before `next` as missing.
    pub(crate) fn push_holes(&mut self, next: u64, reason: GapReason, now: Instant) {
        self.seal(now);
        self.release_at = 0;
        let first = std::mem::replace(&mut self.next, next);
        if !matches!(reason, GapReason::Evicted | GapReason::Expired) {
            self.seldom.get_or_insert_default().never_recorded += next - first;
        }
        if self.floor == first {
            // Nothing is retained before it.
            self.raise_floor(next, reason);
            return;
        }
        let Seldom { holes, .. } = &mut **self.seldom.get_or_insert_default();
        holes.push_back(Hole { first, last: next - 1, reason });
    }

    #[cold]
    fn make_room(&mut self, frame: usize, now: impl Fn() -> Instant) {
        self.resized = true;
        if !self.open.is_empty() {
            self.seal(now());
        }
        let capacity = self.next_capacity.max(frame);
        self.next_capacity = (self.next_capacity * 2).min(LARGEST_BLOCK);
        if self.open.capacity() < capacity {
            self.open = Vec::with_capacity(capacity);
        }
    }

    /// Ends the open block, if there is one.
    pub(crate) fn seal(&mut self, now: Instant) {
        if self.open.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.open);
        bytes.shrink_to_fit();
        self.release_at = self.release_at.min(self.next);
        self.sealed_bytes += bytes.len();
        let count = (self.next - self.open_first) as u32;
        let before = self.total - bytes.len() as u64;
        self.sealed.push_back(Block {
            bytes: bytes.into(),
            first: self.open_first,
            count,
            before,
            sealed_at: now,
        });
        self.open_since = None;
    }

    /// Seals the open block if its first event is at least `age` old.
    pub(crate) fn seal_if_older(&mut self, age: std::time::Duration, now: Instant) {
        if self.open_since.is_some_and(|since| now.saturating_duration_since(since) >= age) {
            self.seal(now);
        }
    }

    /// Moves the floor to what `retention` allows, but not past `protected`: what somebody has still to read. The bound on
    /// events is only for those before the event `bounded_before`.
    #[inline]
    pub(crate) fn trim(&mut self, retention: &Retention, protected: u64, bounded_before: u64) {
        let by_count =
            bounded_before.min(self.next).saturating_sub(retention.events).min(protected);
        if by_count > self.floor {
            self.raise_floor(by_count, GapReason::Evicted);
        }
        if self.bytes() > retention.bytes {
            self.trim_bytes(retention.bytes, protected);
        }
    }

    /// Drops blocks that were sealed more than `age` ago.
    pub(crate) fn expire(&mut self, age: std::time::Duration, protected: u64, now: Instant) {
        while let Some(front) = self.sealed.front() {
            let (first, end) = (front.first, front.end());
            if now.saturating_duration_since(front.sealed_at) < age || end > protected {
                return;
            }
            self.expired += end.saturating_sub(first.max(self.floor));
            self.raise_floor(end.max(self.floor), GapReason::Expired);
        }
    }

    /// Drops the oldest block that nobody has still to read. Returns whether there was one.
    pub(crate) fn drop_oldest(&mut self, protected: u64, now: Instant) -> bool {
        if self.sealed.is_empty() {
            self.seal(now);
        }
        match self.sealed.front().map(Block::end) {
            Some(end) if end <= protected => {
                self.raise_floor(end.max(self.floor), GapReason::Evicted);
                true
            }
            _ => false,
        }
    }

    /// Drops all events; the offsets go on.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.seal(now);
        self.raise_floor(self.next, GapReason::Evicted);
        if let Some(seldom) = &mut self.seldom {
            seldom.holes.clear();
            seldom.dropped_blocks.clear();
        }
    }

    #[inline]
    fn raise_floor(&mut self, floor: u64, reason: GapReason) {
        self.floor = floor;
        self.floor_reason = reason;
        if floor >= self.release_at {
            self.release();
        }
    }

    /// Drops what lies whole below the floor.
    #[cold]
    fn release(&mut self) {
        self.resized = true;
        let floor = self.floor;
        while self.sealed.front().is_some_and(|block| block.end() <= floor) {
            self.drop_front();
        }
        if self.sealed.is_empty() && floor == self.next && !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.open_since = None;
            self.dropped += 1;
            self.front = Walk::default();
            self.keep(self.open_first, open.into());
        }
        if let Some(Seldom { holes, .. }) = self.seldom.as_deref_mut() {
            while holes.front().is_some_and(|hole| hole.last < floor) {
                holes.pop_front();
            }
        }
        let block = self.sealed.front().map_or(self.next, Block::end);
        let hole = self.seldom.as_ref().and_then(|seldom| seldom.holes.front());
        let hole = hole.map_or(u64::MAX, |hole| hole.last + 1);
        self.release_at = block.min(hole);
    }

    fn drop_front(&mut self) {
        if let Some(block) = self.sealed.pop_front() {
            self.sealed_bytes -= block.bytes.len();
            self.dropped += 1;
            self.front = Walk::default();
            self.keep(block.first, block.bytes);
        }
    }

    /// Keeps a block that was dropped, if somebody wants it.
    fn keep(&mut self, first: u64, bytes: Bytes) {
        if let Some(seldom) = self.seldom.as_mut().filter(|seldom| seldom.keeps_dropped) {
            seldom.dropped_blocks.push((first, bytes));
        }
    }

    /// The slow half of [`trim`](Self::trim): walks the front block, so that the bound holds to the event.
    #[cold]
    fn trim_bytes(&mut self, limit: usize, protected: u64) {
        loop {
            self.walk_front();
            let retained = self.bytes() - self.front.at;
            // A hole has no bytes: the event after it is what the floor moves past.
            if retained <= limit || self.front.event >= protected || self.front.event >= self.next {
                return;
            }
            self.raise_floor(self.front.event + 1, GapReason::Evicted);
        }
    }

    /// Brings the walk of the front block up to the floor.
    fn walk_front(&mut self) {
        let (bytes, first): (&[u8], u64) = match self.sealed.front() {
            Some(block) => (&block.bytes, block.first),
            None => (&self.open, self.open_first),
        };
        if self.front.event < first {
            self.front = Walk { event: first, at: 0 };
        }
        self.front.at +=
            length_of(&bytes[self.front.at..], self.floor.saturating_sub(self.front.event));
        self.front.event = self.front.event.max(self.floor);
    }

    /// Reads on from `cursor`: the frames up to the end of a block, but no more than one block, and none from the event
    /// `until` on.
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor,
        until: u64,
        now: impl Fn() -> Instant,
    ) -> Found {
        if let Some(found) = self.read_special(cursor, until) {
            return found;
        }
        let index = self.hinted(cursor).unwrap_or_else(|| self.locate(cursor));
        if index == self.sealed.len() && self.open.len() - cursor.at as usize >= WORTH_SEALING {
            self.seal(now());
        }
        Found::Frames(self.frames_at(cursor, until, index))
    }

    /// The same for the store, which copies: it leaves the open block as it is.
    pub(crate) fn read_to_copy(&self, cursor: &mut Cursor) -> Found {
        if let Some(found) = self.read_special(cursor, u64::MAX) {
            return found;
        }
        let index = self.hinted(cursor).unwrap_or_else(|| self.locate(cursor));
        Found::Frames(self.frames_at(cursor, u64::MAX, index))
    }

    /// What history has at the cursor, if that is no frame.
    fn read_special(&self, cursor: &mut Cursor, until: u64) -> Option<Found> {
        if cursor.next >= self.next.min(until) {
            return Some(Found::End);
        }
        if cursor.next < self.floor {
            let resumed = self.floor - 1;
            *cursor = self.cursor(self.floor);
            return Some(Found::Missing { resumed, reason: self.floor_reason });
        }
        let hole = self.hole_at(cursor.next)?;
        let resumed = hole.last.min(until - 1);
        *cursor = self.cursor(resumed + 1);
        Some(Found::Missing { resumed, reason: hole.reason })
    }

    fn hole_at(&self, offset: u64) -> Option<Hole> {
        let Seldom { holes, .. } = self.seldom.as_deref()?;
        let index = holes.partition_point(|hole| hole.last < offset);
        holes.get(index).filter(|hole| hole.first <= offset).copied()
    }

    /// The frames of block `index` from the cursor on, up to the event `until`.
    fn frames_at(&self, cursor: &mut Cursor, until: u64, index: usize) -> Bytes {
        let (mut bytes, end, block) = match self.sealed.get(index) {
            Some(block) => (block.bytes.slice(cursor.at as usize..), block.end(), index + 1),
            None => (Bytes::copy_from_slice(&self.open[cursor.at as usize..]), self.next, index),
        };
        if end > until {
            bytes.truncate(length_of(&bytes, until - cursor.next));
            let (at, total) = (cursor.at + bytes.len() as u32, cursor.total + bytes.len() as u64);
            *cursor = Cursor { next: until, total, block: self.dropped + index as u64, at };
            return bytes;
        }
        let at = if block == index { self.open.len() as u32 } else { 0 };
        let total = cursor.total + bytes.len() as u64;
        *cursor = Cursor { next: end, total, block: self.dropped + block as u64, at };
        bytes
    }

    /// The block that the cursor's hint names, if it still holds what the cursor wants.
    fn hinted(&self, cursor: &Cursor) -> Option<usize> {
        let index = cursor.block.checked_sub(self.dropped)? as usize;
        match self.sealed.get(index) {
            Some(block) => (cursor.next < block.end()).then_some(index),
            None => (index == self.sealed.len()).then_some(index),
        }
    }

    /// The place before the event `next`, or before the first one after it that history has.
    pub(crate) fn cursor(&self, next: u64) -> Cursor {
        let mut cursor = Cursor::before(next, 0);
        self.locate(&mut cursor);
        cursor
    }

    /// Finds the block of the cursor's event, and the event in it.
    fn locate(&self, cursor: &mut Cursor) -> usize {
        let index = self.sealed.partition_point(|block| block.end() <= cursor.next);
        let (bytes, first, before): (&[u8], u64, u64) = match self.sealed.get(index) {
            Some(block) => (&block.bytes, block.first, block.before),
            None => (&self.open, self.open_first, self.total - self.open.len() as u64),
        };
        cursor.block = self.dropped + index as u64;
        cursor.at = length_of(bytes, cursor.next.saturating_sub(first)) as u32;
        cursor.total = before + u64::from(cursor.at);
        index
    }

    /// The event at `offset`, if it is served.
    pub(crate) fn frame(&self, offset: u64) -> Option<&[u8]> {
        if offset < self.floor || offset >= self.next || self.hole_at(offset).is_some() {
            return None;
        }
        let index = self.sealed.partition_point(|block| block.end() <= offset);
        let (bytes, first): (&[u8], u64) = match self.sealed.get(index) {
            Some(block) => (&block.bytes, block.first),
            None => (&self.open, self.open_first),
        };
        frames(bytes).nth((offset - first) as usize)
    }

    /// The frames that are there, oldest first, each with its offset; the first ones may be below the floor.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let open = (self.open_first, self.open.as_slice());
        let blocks = self
            .sealed
            .iter()
            .map(|block| (block.first, &*block.bytes))
            .chain(std::iter::once(open));
        blocks.flat_map(|(first, bytes)| (first..).zip(frames(bytes)))
    }
}

/// How many bytes the first `count` frames of `bytes` take.
fn length_of(bytes: &[u8], count: u64) -> usize {
    frames(bytes).take(count as usize).map(<[u8]>::len).sum()
}
