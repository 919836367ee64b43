//! What a log gives to a store, and how one is made of what a store has.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::history::History;
use super::inner_ids::InnerIds;
use super::{Cursor, Found, Log, Published};
use crate::config::Rules;
use crate::resume::GapReason;
use crate::resume::event_id::IdLine;
use crate::resume::keys::Keys;
use crate::sse;

/// Events in a row, as they go into a store and come out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoredPiece {
    Events {
        first: u64,
        count: u64,
        /// As they went over the wire.
        frames: Bytes,
        /// The inner service's IDs of events whose frames do not have them.
        inner_ids: Vec<(u64, Box<[u8]>)>,
    },
    Hole {
        first: u64,
        count: u64,
        reason: GapReason,
    },
}

/// What a log has for the store.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) pieces: Vec<StoredPiece>,
    /// How many bytes of frames these have.
    pub(crate) bytes: usize,
}

/// What changes as events go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last reconnection time that the inner service set, in milliseconds.
    pub(crate) retry: Option<u64>,
    /// The inner service's last event ID, if it has ever given one.
    pub(crate) inner_id: Option<Vec<u8>>,
}

/// What is known of a stream beside its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// The offset of the event that comes next.
    pub(crate) next: u64,
    /// Number, first offset and gap of each generation but the first.
    pub(crate) generations: Vec<LaterGeneration>,
    pub(crate) progress: Progress,
}

/// Number, first offset and gap of a generation.
pub(crate) type LaterGeneration = (u32, u64, Option<GapReason>);

impl StoredPiece {
    pub(crate) fn first(&self) -> u64 {
        match self {
            Self::Events { first, .. } | Self::Hole { first, .. } => *first,
        }
    }

    /// The offset after its last event.
    pub(crate) fn next(&self) -> u64 {
        match self {
            Self::Events { first, count, .. } | Self::Hole { first, count, .. } => first + count,
        }
    }
}

impl Log {
    /// A log that goes on with what a store has.
    pub(crate) fn restored(id_line: IdLine, restored: &Restored) -> Self {
        let mut log = Self::new(id_line, &[]);
        log.history = History::starting_at(restored.next);
        log.note_generations(&restored.generations);
        log.take_progress(&restored.progress);
        log
    }

    /// Takes over the inner service's last ID and the last reconnection time, as they are at the log's end.
    pub(crate) fn take_progress(&mut self, progress: &Progress) {
        self.retry = progress.retry;
        if let Some(id) = &progress.inner_id {
            self.inner.get_or_insert_default().take_current(id);
        }
    }

    /// Takes over what is known of the generations by now.
    pub(crate) fn note_generations(&mut self, generations: &[LaterGeneration]) {
        for (number, first, gap) in generations {
            // A gap may have turned out since the generation began.
            let is_running = *number == self.generation() && self.gap_of_generation().is_none();
            if *number > self.generation() || is_running && *number > 1 && gap.is_some() {
                self.note_generation(*number, *first, *gap);
            }
        }
    }

    /// What comes after `cursor`, as much as comes to about `most` bytes, in pieces of at most about `piece`.
    pub(crate) fn unstored(&self, cursor: &mut Cursor, most: usize, piece: usize) -> Batch {
        let mut batch = Batch::default();
        let mut open = BytesMut::new();
        let mut open_first = cursor.next;
        while batch.bytes < most {
            let first = cursor.next;
            match self.history.read_to_copy(cursor) {
                Found::End => break,
                Found::Missing { resumed, reason } => {
                    self.end_piece(&mut batch, &mut open, open_first, first);
                    let reason = match reason {
                        GapReason::Evicted | GapReason::Expired => GapReason::NotStored,
                        other => other,
                    };
                    let count = resumed + 1 - first;
                    batch.pieces.push(StoredPiece::Hole { first, count, reason });
                    open_first = cursor.next;
                }
                Found::Frames(frames) => {
                    batch.bytes += frames.len();
                    if !open.is_empty() && open.len() + frames.len() > piece {
                        self.end_piece(&mut batch, &mut open, open_first, first);
                        open_first = first;
                    }
                    open.extend_from_slice(&frames);
                }
            }
        }
        self.end_piece(&mut batch, &mut open, open_first, cursor.next);
        batch
    }

    fn end_piece(&self, batch: &mut Batch, open: &mut BytesMut, first: u64, next: u64) {
        if open.is_empty() {
            return;
        }
        let inner = self.inner.as_ref();
        let inner_ids = inner.map(|inner| inner.long_between(first, next)).unwrap_or_default();
        let (count, frames) = (next - first, std::mem::take(open).freeze());
        batch.pieces.push(StoredPiece::Events { first, count, frames, inner_ids });
    }

    /// Whether the inner service has ever given an ID.
    pub(crate) fn has_inner_ids(&self) -> bool {
        self.inner.is_some()
    }

    /// Adds what a store has next. What the log has already is left out; what is missing before it is a hole.
    pub(crate) fn restore(
        &mut self,
        piece: StoredPiece,
        rules: &Rules,
        keys: &Keys,
        protected: u64,
        now: fn() -> Instant,
    ) {
        let (next, end) = (self.history.next(), piece.next());
        if end <= next {
            return;
        }
        if piece.first() > next {
            self.history.push_holes(piece.first(), GapReason::Evicted, now());
            self.forget_inner_id();
            self.send_to_history();
        }
        let next = self.history.next();
        if self.begins_at(next) {
            // A reader is told of the gap at its beginning between two blocks.
            self.history.seal(now());
        }
        let mut published = BytesMut::new();
        match piece {
            StoredPiece::Hole { first, count, reason } => {
                self.history.push_holes(first + count, reason, now());
                self.forget_inner_id();
                self.send_to_history();
            }
            StoredPiece::Events { first, count, frames, inner_ids } => {
                if !inner_ids.is_empty() {
                    let inner = self.inner.get_or_insert_default();
                    let new = inner_ids.iter().filter(|(offset, _)| *offset >= next);
                    new.for_each(|(offset, id)| inner.restore_long(*offset, id));
                }
                let is_followed = self.tail.is_followed();
                let mut last = None;
                let frames = sse::frames(&frames).take(count as usize);
                for frame in frames.skip((next - first) as usize) {
                    self.history.push([frame], now);
                    if is_followed {
                        published.extend_from_slice(frame);
                    }
                    last = Some(frame);
                }
                if let Some(frame) = last {
                    self.follow_inner_id(frame);
                }
            }
        }
        if self.history.next() < end {
            // It has fewer events than it says. Those after it are to keep their offsets.
            self.history.push_holes(end, GapReason::NotStored, now());
            self.forget_inner_id();
            self.send_to_history();
        } else if !published.is_empty() {
            self.publish_stored(published.freeze());
        }
        self.history.trim(&rules.retention, protected, u64::MAX);
        self.digest(rules, keys);
    }

    /// The inner service's last ID is that of this frame, the last event's.
    fn follow_inner_id(&mut self, frame: &[u8]) {
        let (offset, line) = (self.last(), self.next_line.line());
        let id = match &self.inner {
            Some(inner) => inner.id_of(offset, frame, &line),
            None => InnerIds::default().id_of(offset, frame, &line),
        };
        if !id.is_empty() || self.inner.is_some() {
            self.inner.get_or_insert_default().take_current(&id);
            self.history.keep_dropped();
        }
    }

    /// It is not known which ID of the inner service was in force at the last event.
    pub(crate) fn forget_inner_id(&mut self) {
        self.inner.iter_mut().for_each(|inner| inner.take_current(b""));
    }

    /// Has all who follow read the history, which tells them what is missing.
    fn send_to_history(&mut self) {
        self.publish_stored(Bytes::new());
        self.tail.give_up();
    }

    /// Sends a comment to those who follow, lest their connections seem idle.
    pub(crate) fn comment(&mut self) {
        if self.tail.is_followed() {
            self.publish_stored(Bytes::from_static(b":\n"));
        }
    }

    fn publish_stored(&mut self, bytes: Bytes) {
        let (next, total) = (self.history.next(), self.history.total());
        let (within_frame, recorded) = (false, true);
        self.tail.push(Published { bytes, next, total, within_frame, recorded });
    }
}
