//! Frames that are too large to hold: they are passed on as they come, and not recorded.

use bytes::BytesMut;
use tokio::time::Instant;

use super::Log;
use super::append::{both, endings};
use crate::config::Rules;
use crate::resume::GapReason;
use crate::sse::{Frame, IdFilter, Piece, lines};

/// What is remembered of the `id` lines of a frame that is too large to hold.
const LONGEST_ID_LINES: usize = 16 * 1024;

/// A frame that is too large to hold: it is passed on as it comes.
#[derive(Debug)]
pub(super) struct Oversize {
    pub(super) ids: IdFilter,
    /// Its `id` lines; `None` if they are longer than any request could carry.
    pub(super) id_lines: Option<Vec<u8>>,
}

impl Log {
    /// Passes on what `out` has of the frame, less its first `lead` bytes. Returns how many of those are yet to come.
    #[cold]
    pub(super) fn begin_oversize(&mut self, lead: usize, rules: &Rules, now: Instant) -> usize {
        // Published before it, so that the pieces of this frame are pieces of nothing else.
        let raw = self.out.split_off(self.complete);
        self.publish(rules.retention.payload);
        self.history.push_hole(GapReason::Oversize, now);
        let mut oversize = Box::new(Oversize { ids: IdFilter::new(), id_lines: Some(Vec::new()) });
        let here = lead.min(raw.len());
        oversize.push(&raw[here..], &mut self.out);
        self.oversize = Some(oversize);
        // The last event is this one now.
        if let Some(inner) = &mut self.inner {
            inner.end_resend();
        }
        self.oversized = true;
        self.complete = self.out.len();
        lead - here
    }

    pub(super) fn end_oversize(&mut self, this: &[u8], frame: &Frame, rules: &Rules) {
        let Some(mut oversize) = self.oversize.take() else { return };
        let blank = this.len() - (frame.len - frame.blank);
        oversize.push(&this[..blank], &mut self.out);
        if let Some(id) = oversize.id_lines.as_deref().and_then(|ids| lines(ids).last_id()) {
            self.inner.get_or_insert_default().give(id);
        }
        let (ending, terminator) = endings(frame, this);
        let offset = self.last();
        let inner_id = self.inner.as_ref().map(|inner| inner.current());
        let inner_id = inner_id.filter(|_| rules.embeds_inner_ids);
        let endings = both(ending, terminator);
        let _ = self.next_line.line().write(&mut self.out, offset, inner_id, endings);
        if let Some(inner) = &mut self.inner {
            inner.end_event();
        }
        self.complete = self.out.len();
        self.publish(false);
    }
}

impl Oversize {
    pub(super) fn push(&mut self, raw: &[u8], out: &mut BytesMut) {
        let id_lines = &mut self.id_lines;
        self.ids.push(raw, |piece| match piece {
            Piece::Keep(bytes) => out.extend_from_slice(bytes),
            Piece::Id(bytes) => match id_lines {
                Some(lines) if lines.len() + bytes.len() <= LONGEST_ID_LINES => {
                    lines.extend_from_slice(bytes);
                }
                _ => *id_lines = None,
            },
        });
    }
}
