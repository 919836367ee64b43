//! One stream's log: the inner service's bytes in, wire format with our IDs out.
//!
//! The log is what clients are sent, byte for byte. A frame is copied twice: from the inner body's data to the history,
//! where its `id` line follows it, and from there to the bytes that are published; if there is more to do with it, first
//! to the latter, and from there to the history. So recording costs one copy, and a replay is the same bytes again.

mod append;
mod counts;
mod generations;
mod history;
mod inner_ids;
mod known;
mod oversize;
mod plain;
mod preserved;
mod spare;
mod stored;
mod tail;

use bytes::BytesMut;
use tokio::time::Instant;

pub use counts::EventCounts;
pub(crate) use history::{Cursor, Found};
pub(crate) use stored::{Batch, LaterGeneration, Progress, Restored, StoredPiece};
pub(crate) use tail::Follower;

use crate::config::{EventIds, Rules};
use crate::observer::Observation;
use crate::resume::event_id::{IdLine, NextLine};
use crate::resume::keys::Keys;
use crate::resume::seam::Seam;
use crate::sse::{Scanner, move_down};
use generations::Generation;
use history::History;
use inner_ids::InnerIds;
use oversize::Oversize;
use tail::{Published, Tail};

/// What one entry in the table of IDs that stay counts, in bytes.
const PRESERVED: u64 = 64;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Log {
    scanner: Scanner,
    /// Whole frames that are not published yet, then the raw bytes of the unfinished one.
    out: BytesMut,
    /// How many bytes of `out` are whole frames.
    complete: usize,
    /// How much memory `out` has at the most: its own capacity counts only what is not published.
    out_bytes: usize,
    next_line: NextLine,
    /// `None` as long as the inner service gives no IDs.
    inner: Option<Box<InnerIds>>,
    history: History,
    tail: Tail,
    /// The second and later generations, but for those that are forgotten; one for all that begin at the same event.
    later: Vec<Generation>,
    /// The last one of those: their positions are unknown.
    forgotten: u32,
    /// The last reconnection time that the inner service set, in milliseconds.
    retry: Option<u64>,
    /// Whether that was set since the last call of [`Log::take_retry_news`].
    retry_is_new: bool,
    /// The newest generation that begins with a gap, 0 if none: readers compare it with what they were told.
    last_gap: u32,
    skipped: u64,
    oversized: bool,
    oversize: Option<Box<Oversize>>,
    seam: Option<Box<Seam>>,
}

/// What [`Log::append`] may take.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Room {
    /// The first event that somebody has still to read: it is not evicted.
    pub(crate) protected: u64,
    /// The first event that the bound on events is not for: while nobody is there, what nobody has read yet. It is for the
    /// last ones that were read then, which may not have arrived.
    pub(crate) bounded_before: u64,
    /// [`Log::total`] at that event.
    pub(crate) total: u64,
    /// Whether somebody waits for the end of the frame that is being passed on.
    pub(crate) frame_is_awaited: bool,
    /// Whether unread events are evicted rather than the inner body held back.
    pub(crate) read_on: bool,
    /// Whether the layer holds as many bytes as it may.
    pub(crate) at_cap: bool,
    /// Whether the last event is kept in any case.
    pub(crate) keeps_last: bool,
}

/// What [`Log::sweep`] may not give up: the first of the events that are kept whatever their age, the same for the bounds
/// on events and bytes, and the first event that the bound on events is not for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) from_age: u64,
    pub(crate) from_bounds: u64,
    pub(crate) bounded_before: u64,
}

impl Log {
    pub(crate) fn new(id_line: IdLine, inner_id: &[u8]) -> Self {
        Self {
            scanner: Scanner::new(),
            out: BytesMut::new(),
            complete: 0,
            out_bytes: 0,
            next_line: NextLine::new(id_line),
            inner: (!inner_id.is_empty()).then(|| Box::new(InnerIds::called_with(inner_id))),
            history: History::starting_at(1),
            tail: Tail::default(),
            later: Vec::new(),
            forgotten: 0,
            retry: None,
            retry_is_new: false,
            last_gap: 0,
            skipped: 0,
            oversized: false,
            oversize: None,
            seam: None,
        }
    }

    /// The offset of the last event; 0 if there was none.
    pub(crate) fn last(&self) -> u64 {
        self.history.next() - 1
    }

    /// The first event that history still has; one more than the last offset if it has none.
    pub(crate) fn first_retained(&self) -> u64 {
        self.history.first()
    }

    /// The first event from which on history has all; one more than the last offset if it has none.
    pub(crate) fn complete_from(&self) -> u64 {
        self.history.complete_from()
    }

    /// What became of the events, where any are kept.
    pub(crate) fn counts(&self) -> EventCounts {
        self.history.counts()
    }

    /// The inner service's own last event ID; empty if it has none. What is resent does not take it back.
    pub(crate) fn inner_id(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], |inner| inner.at_last())
    }

    /// The one in force at what the inner service says now.
    #[inline]
    fn current_inner_id(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], |inner| inner.current())
    }

    /// The inner service's last event ID as it was in force at `offset`; `None` if that is not known any more.
    pub(crate) fn inner_id_at(&self, offset: u64) -> Option<Vec<u8>> {
        let inner = self.inner.as_ref()?;
        if offset == self.last() {
            return Some(inner.at_last().to_vec());
        }
        match self.history.frame(offset) {
            Some(frame) => Some(inner.id_of(offset, frame, &self.next_line.line())),
            None => inner.known_id_at(offset).map(<[u8]>::to_vec),
        }
    }

    /// The event that has this ID of the inner service.
    pub(crate) fn find(&self, inner_id: &[u8], keys: &Keys) -> Option<u64> {
        self.inner.as_ref()?.find(inner_id, keys)
    }

    pub(crate) fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Whether the inner service has set the reconnection time since the last call.
    #[inline]
    pub(crate) fn take_retry_news(&mut self) -> bool {
        std::mem::take(&mut self.retry_is_new)
    }

    /// Whether [`take_news`](Self::take_news) has something to tell.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.skipped > 0 || self.oversized
    }

    /// What happened in the log since the last call.
    pub(crate) fn take_news(&mut self) -> impl Iterator<Item = Observation> {
        let oversized = std::mem::take(&mut self.oversized).then_some(Observation::OversizeFrame);
        let events = std::mem::take(&mut self.skipped);
        let skipped = (events > 0).then_some(Observation::DuplicatesSkipped { events });
        oversized.into_iter().chain(skipped)
    }

    /// Whether the last event is retained.
    pub(crate) fn has_last(&self) -> bool {
        self.complete_from() <= self.last()
    }

    /// The retained frames, oldest first; the first ones may not be served any more.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.history.frames().map(|(_, frame)| frame)
    }

    /// Whether a frame is being passed on that is too large to hold.
    pub(crate) fn is_within_oversize(&self) -> bool {
        self.oversize.is_some()
    }

    /// Payload of all events ever appended, in bytes.
    #[inline]
    pub(crate) fn total(&self) -> u64 {
        self.history.total()
    }

    /// Whether [`heap_bytes`](Self::heap_bytes) may differ from the last call, as far as [`pass`](Self::pass) changes it.
    #[inline]
    pub(crate) fn take_resized(&mut self) -> bool {
        self.history.take_resized()
    }

    /// Heap that this log takes.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        let inner = self.inner.as_ref().map_or(0, |inner| inner.heap_bytes());
        self.history.heap_bytes()
            + self.out_bytes
            + self.tail.bytes()
            + self.tail.heap_bytes()
            + self.later.capacity() * size_of::<Generation>()
            + inner
    }

    /// Whether the inner body is to be held back rather than more taken from it.
    #[inline]
    pub(crate) fn is_full(&self, rules: &Rules, room: &Room) -> bool {
        if room.read_on {
            return false;
        }
        if !room.frame_is_awaited && self.tail.is_untaken() {
            return true;
        }
        let retention = &rules.retention;
        if !retention.payload || self.oversize.is_some() {
            return false;
        }
        // What has become too old is not there any more.
        let unread = (self.history.total() - room.total).min(self.history.bytes() as u64);
        unread > 0
            && (unread + self.unread_ids(rules, room) >= retention.bytes as u64 || room.at_cap)
    }

    /// What it takes beside their payload to find unread events by IDs that stay.
    #[inline]
    fn unread_ids(&self, rules: &Rules, room: &Room) -> u64 {
        let stay = rules.ids == EventIds::Preserve;
        if stay { PRESERVED * self.history.next().saturating_sub(room.protected) } else { 0 }
    }

    /// Reads history on from `cursor`; see [`History::read`].
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor,
        until: u64,
        now: impl Fn() -> Instant,
    ) -> Found {
        self.history.read(cursor, until, now)
    }

    /// The place before the event `next`.
    pub(crate) fn cursor(&self, next: u64) -> Cursor {
        self.history.cursor(next)
    }

    /// The pieces for readers that are up to date.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Tail {
        &mut self.tail
    }

    /// What has to happen when time passes: seals and expires, and gives up what was read since the last event came.
    pub(crate) fn sweep(&mut self, rules: &Rules, keys: &Keys, keep: &Keep, now: Instant) {
        self.history.seal_if_older(rules.retention.seal_age(), now);
        self.history.expire(rules.retention.age, keep.from_age, now);
        self.history.trim(&rules.retention, keep.from_bounds, keep.bounded_before);
        self.digest(rules, keys);
    }

    /// Gives up what waits for readers that lag, which read the history instead; returns whether there was anything.
    pub(crate) fn drop_tail(&mut self) -> bool {
        self.tail.give_up()
    }

    /// Gives up the oldest block that nobody has still to read; returns whether there was one.
    pub(crate) fn drop_oldest(
        &mut self,
        rules: &Rules,
        keys: &Keys,
        protected: u64,
        now: Instant,
    ) -> bool {
        let dropped = self.history.drop_oldest(protected, now);
        self.digest(rules, keys);
        dropped
    }

    /// Gives up all events, and all that is known of them.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.history.clear(now);
        if let Some(inner) = &mut self.inner {
            **inner = InnerIds::called_with(inner.current());
        }
    }
}

impl Room {
    /// What is below it may be evicted, where `last` is the last event.
    #[inline]
    fn floor(&self, last: u64) -> u64 {
        let floor = if self.read_on { u64::MAX } else { self.protected };
        if self.keeps_last { floor.min(last) } else { floor }
    }
}

/// Removes `len` bytes at `at`.
fn cut(out: &mut BytesMut, at: usize, len: usize) {
    let end = out.len();
    move_down(out, at + len..end, at);
    out.truncate(end - len);
}
