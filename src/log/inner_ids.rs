//! The inner service's own event IDs: which one is in force, and where those are that our IDs do not carry.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::known::{Known, KnownEvents};
use super::preserved::Preserved;
use crate::config::{EventIds, Rules};
use crate::content::content_hash;
use crate::resume::event_id::{self, IdLine};
use crate::resume::keys::Keys;
use crate::sse::{self, Frame, LineEnding, lines};

/// An inner ID that is longer is not remembered beside its event: no request could carry it.
const LONGEST: usize = 8 * 1024;

/// Kept only for streams whose inner service gives IDs, or whose payload is not kept.
#[derive(Debug, Default)]
pub(super) struct InnerIds {
    /// The last event ID in force; empty: none.
    current: Vec<u8>,
    /// The one at the last event, as long as events from before it are resent.
    resumed_from: Option<Vec<u8>>,
    /// Whether it was given since the last event.
    is_own: bool,
    /// Whether the unfinished event has `id` lines.
    is_in_frame: bool,
    /// IDs of retained events that did not fit into ours.
    long: VecDeque<(u64, Box<[u8]>)>,
    /// How many bytes these have.
    long_bytes: usize,
    /// Events whose payload history does not have.
    known: KnownEvents,
    preserved: Preserved,
}

impl InnerIds {
    /// The inner service was called with this ID.
    pub(super) fn called_with(id: &[u8]) -> Self {
        Self { current: id.to_vec(), ..Self::default() }
    }

    /// The last event ID in force is this one, by what a store says.
    pub(super) fn take_current(&mut self, id: &[u8]) {
        self.current = id.to_vec();
    }

    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    /// The last event ID in force at the last event, or later.
    pub(super) fn at_last(&self) -> &[u8] {
        self.resumed_from.as_deref().unwrap_or(&self.current)
    }

    /// A new inner response may resend events from before the last one.
    pub(super) fn begin_resend(&mut self) {
        self.resumed_from = Some(self.current.clone());
    }

    /// It does not, or not any more.
    pub(super) fn end_resend(&mut self) {
        self.resumed_from = None;
    }

    /// The inner body is over; `is_resending` tells whether that was within what it resent.
    pub(super) fn end_producer(&mut self, is_resending: bool) {
        if let Some(id) = self.resumed_from.take().filter(|_| is_resending) {
            self.current = id;
        }
        self.end_event();
    }

    /// The inner service gave an ID, perhaps an empty one, in the frame that is being finished.
    pub(super) fn give(&mut self, id: &[u8]) {
        self.is_own = true;
        self.is_in_frame = true;
        self.current.clear();
        self.current.extend_from_slice(id);
    }

    /// The ID that was given since the last event.
    pub(super) fn own(&self) -> Option<&[u8]> {
        self.is_own.then_some(&self.current)
    }

    /// The frame that is being finished is over.
    pub(super) fn end_frame(&mut self) {
        self.is_in_frame = false;
    }

    /// The event at `offset` is over, whose ID is one of ours; `fits` tells whether that carries the inner ID.
    pub(super) fn end_event_at(&mut self, offset: u64, fits: bool) {
        if !fits && self.current.len() <= LONGEST {
            self.long_bytes += self.current.len();
            self.long.push_back((offset, self.current.as_slice().into()));
        }
        self.end_event();
    }

    /// An event is over.
    pub(super) fn end_event(&mut self) {
        self.is_own = false;
        self.is_in_frame = false;
    }

    /// Whether the event at `offset` keeps the ID that the inner service gave it.
    pub(super) fn stays(&mut self, offset: u64, rules: &Rules, keys: &Keys) -> bool {
        rules.ids == EventIds::Preserve
            && self.is_own
            && !self.current.is_empty()
            && self.preserved.insert(hash(&self.current, keys), offset)
    }

    /// Writes the inner service's ID where the event at the end of `out` does not have it already.
    pub(super) fn write_own(&self, out: &mut BytesMut, ending: LineEnding) {
        if !self.is_in_frame {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(&self.current);
            out.extend_from_slice(ending.as_bytes());
        }
    }

    /// Takes the inner service's `id` lines out of the event at the end of `out`, which begins at `start`.
    pub(super) fn cut_own(&self, out: &mut BytesMut, start: usize) {
        if self.is_in_frame {
            cut_id_lines(out, start);
        }
    }

    /// Notes an event whose payload is not kept.
    pub(super) fn note(&mut self, offset: u64, frame: &[u8], rules: &Rules, keys: &Keys) {
        let id = self.current.as_slice().into();
        let known = Known { offset, id, hash: content_hash(frame, keys) };
        let most = rules.retention.events.max(rules.dedupe_window as u64) as usize;
        self.known.push(known, most, id_bytes(most, rules));
        self.preserved.forget_before(self.known.first().unwrap_or(offset));
        // It is known now, whatever its length.
        self.forget_long(u64::MAX, 0);
    }

    /// Notes what of blocks that history has dropped, and forgets what is older than the window.
    pub(super) fn digest(
        &mut self,
        blocks: impl IntoIterator<Item = (u64, Bytes)>,
        first: u64,
        retained: u64,
        id_line: &IdLine,
        rules: &Rules,
        keys: &Keys,
    ) {
        let most = rules.dedupe_window.saturating_sub(retained as usize);
        for (offset, bytes) in blocks {
            let frames = sse::frames(&bytes);
            for (offset, frame) in (offset..).zip(frames).filter(|_| most > 0) {
                let known = self.known_of(offset, frame, id_line, keys);
                self.known.push(known, most, id_bytes(most, rules));
            }
        }
        self.known.keep_newest(most, id_bytes(most, rules));
        self.preserved.forget_before(first.saturating_sub(most as u64));
    }

    /// Forgets the long IDs of events before `first`, and those that are too much.
    pub(super) fn forget_long(&mut self, first: u64, most_bytes: usize) {
        let is_over = |long: &Self, offset| offset < first || long.long_bytes > most_bytes;
        while self.long.front().is_some_and(|(offset, _)| is_over(self, *offset)) {
            self.long_bytes -= self.long.pop_front().map_or(0, |(_, id)| id.len());
        }
    }

    /// The window for a takeover: what is known, then what is `retained`.
    pub(super) fn window<'a>(
        &self,
        retained: impl Iterator<Item = (u64, &'a [u8])>,
        id_line: &IdLine,
        keys: &Keys,
    ) -> Vec<(Box<[u8]>, u64)> {
        let known = self.known.iter().cloned();
        let retained = retained.map(|(offset, frame)| self.known_of(offset, frame, id_line, keys));
        known.chain(retained).map(|known| (known.id, known.hash)).collect()
    }

    /// The last event ID in force at the event `offset`, whose frame this is.
    pub(super) fn id_of(&self, offset: u64, frame: &[u8], id_line: &IdLine) -> Vec<u8> {
        let id = lines(frame).last_id().unwrap_or_default();
        if id_line.is_of_this_stream(id) {
            event_id::embedded(id).or_else(|| self.long_at(offset)).unwrap_or_default()
        } else {
            id.to_vec()
        }
    }

    fn known_of(&self, offset: u64, frame: &[u8], id_line: &IdLine, keys: &Keys) -> Known {
        let id = self.id_of(offset, frame, id_line).into_boxed_slice();
        Known { offset, id, hash: content_hash(frame, keys) }
    }

    /// The IDs of the events from `first` to before `next` that their frames do not have.
    pub(super) fn long_between(&self, first: u64, next: u64) -> Vec<(u64, Box<[u8]>)> {
        let within = |(offset, _): &&(u64, Box<[u8]>)| (first..next).contains(offset);
        self.long.iter().filter(within).cloned().collect()
    }

    /// Takes back what [`long_between`](Self::long_between) gave.
    pub(super) fn restore_long(&mut self, offset: u64, id: &[u8]) {
        self.long_bytes += id.len();
        self.long.push_back((offset, id.into()));
    }

    fn long_at(&self, offset: u64) -> Option<Vec<u8>> {
        let index = self.long.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        Some(self.long[index].1.to_vec())
    }

    /// Goes back to the event at `offset`. `false`: it is not known.
    pub(super) fn rewind(&mut self, offset: u64) -> bool {
        let Some(known) = self.known.get(offset) else { return false };
        self.current = known.id.to_vec();
        self.known.forget_after(offset);
        self.preserved.forget_after(offset);
        true
    }

    /// The last event ID in force at the event `offset`, whose payload is not kept.
    pub(super) fn known_id_at(&self, offset: u64) -> Option<&[u8]> {
        self.known.get(offset).map(|known| &*known.id)
    }

    /// The event that has this ID of the inner service.
    pub(super) fn find(&self, id: &[u8], keys: &Keys) -> Option<u64> {
        self.preserved.offset(hash(id, keys))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.current.capacity()
            + self.resumed_from.as_ref().map_or(0, Vec::capacity)
            + self.long.capacity() * size_of::<(u64, Box<[u8]>)>()
            + self.long_bytes
            + self.known.heap_bytes()
            + self.preserved.heap_bytes()
    }
}

/// How many bytes the IDs of `events` known events may have together: room for all that fit into ours, and for longer
/// ones as much as the history may take.
fn id_bytes(events: usize, rules: &Rules) -> usize {
    rules.retention.bytes.max(events.saturating_mul(event_id::MAX_LEN))
}

fn hash(id: &[u8], keys: &Keys) -> u64 {
    let mut hasher = keys.content_hash(b"id");
    hasher.data_line(id);
    hasher.finish()
}

/// Takes the `id` lines out of the frame at the end of `out`.
#[cold]
pub(super) fn cut_id_lines(out: &mut BytesMut, start: usize) {
    let kept = sse::cut_id_lines(&mut out[start..]);
    out.truncate(start + kept);
}

/// The same where the scanner has found the only one; positions of `frame` count from `start`.
#[cold]
pub(super) fn cut_ids_of(out: &mut BytesMut, start: usize, frame: &Frame) {
    match frame.id_line {
        Some(line) => {
            let (at, end) = (start + line.start, start + line.end);
            let before = out[start + frame.lead..at].last();
            super::cut(out, at, sse::cut_line(before, &out[..end]) - at);
        }
        None => cut_id_lines(out, start + frame.lead),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::log::{Log, Room};
    use crate::resume::event_id::{Marker, Token};
    use crate::sse::MOVED;

    /// How many bytes are moved for a frame with so many `id` lines, each between two others.
    fn moved(id_lines: usize, piece: usize, rules: &Rules) -> usize {
        let keys = Keys::new(&[7; 32]);
        let line = IdLine::new(&Marker::default(), &Token::sign([0; 12], &keys), 1);
        let mut log = Log::new(line, &[]);
        let frame = "id: 1\ndata\n".repeat(id_lines) + "\n";
        let room = Room {
            protected: 1,
            bounded_before: u64::MAX,
            total: 0,
            frame_is_awaited: false,
            read_on: true,
            at_cap: false,
            keeps_last: false,
        };
        let before = MOVED.get();
        for part in frame.as_bytes().chunks(piece) {
            let mut part = Bytes::copy_from_slice(part);
            while !part.is_empty() {
                log.append(&mut part, rules, &keys, &room, Instant::now);
            }
        }
        assert_eq!((log.last(), log.inner_id()), (1, &b"1"[..]));
        MOVED.get() - before
    }

    #[test]
    fn id_lines_are_cut_in_one_pass() {
        for ids in [EventIds::Assign, EventIds::Preserve] {
            let mut rules = Config::default().rules;
            rules.ids = ids;
            for piece in [usize::MAX, 1_000] {
                let [once, twice] = [10_000, 20_000].map(|lines| moved(lines, piece, &rules));
                assert!(once <= 10_000 * 12, "{once}");
                assert!(twice * 10 <= once * 22, "{once} {twice}");
            }
        }
    }
}
