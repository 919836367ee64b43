//! The normal case of what the inner body says: an event whose frame comes whole, ends its lines with LF and has no
//! field that is looked at. It takes nothing but two copies: to the history, and from there to what is published, or
//! straight to the one reader that there is.

use bytes::Bytes;
use tokio::time::Instant;

use super::{Log, Room, spare};
use crate::config::Rules;
use crate::resume::event_id::IdLine;
use crate::sse::{Fields, Frame, LineEnding};

/// The longest frame that is [passed](Log::pass).
const LARGEST: usize = spare::LARGEST - IdLine::LINE_LEN_MAX;

/// Whether these are the fields of such an event.
#[inline]
fn is_plain(fields: Fields) -> bool {
    fields.contains(Fields::DATA) && !fields.contains(Fields::ID) && !fields.contains(Fields::RETRY)
}

impl Log {
    /// Whether `this` is such an event, with nothing of the stream that would concern it.
    #[inline]
    pub(super) fn is_plain(&self, this: &[u8], frame: &Frame, rules: &Rules) -> bool {
        let is_here = frame.len == frame.end && frame.lead == 0;
        let has_lf = frame.ending == Some(LineEnding::Lf) && this.get(frame.blank..) == Some(b"\n");
        let is_kept = rules.retention.payload && frame.len <= rules.frame_limit;
        is_plain(frame.fields)
            && is_here
            && has_lf
            && is_kept
            && !rules.swallows_empty_events
            && self.inner.is_none()
            && self.seam.is_none()
    }

    /// Takes in `input` where there is one reader, who follows and has taken all, and returns what that gets: if it is
    /// one such event, and a small one. If not, nothing has happened.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        input: &[u8],
        rules: &Rules,
        now: fn() -> Instant,
    ) -> Option<Bytes> {
        if input.len() > LARGEST.min(rules.frame_limit)
            || !rules.retention.payload
            || rules.swallows_empty_events
            || self.inner.is_some()
            || self.seam.is_some()
            || !is_plain(self.scanner.scan_one(input)?)
        {
            return None;
        }
        let (_blank_line, lines) = input.split_last()?;
        let offset = self.history.next();
        let frame = self.history.push([lines, self.next_line.at(offset)], now);
        let piece = spare::copy(frame);
        self.history.trim(&rules.retention, offset, u64::MAX);
        Some(piece)
    }

    /// Takes in a [plain](Self::is_plain) event.
    #[inline]
    pub(super) fn take_plain(
        &mut self,
        this: &[u8],
        rules: &Rules,
        room: &Room,
        now: fn() -> Instant,
    ) {
        let Some((_blank_line, lines)) = this.split_last() else { return };
        let id_line = self.next_line.at(self.history.next());
        let frame = self.history.push([lines, id_line], now);
        if self.tail.is_followed() {
            // As much as the next ones will take, whose IDs may be longer.
            self.out.reserve(this.len() + self.next_line.line().len_max(&[]));
            self.out.extend_from_slice(frame);
            self.complete = self.out.len();
        }
        let floor = room.floor(self.history.next() - 1);
        self.history.trim(&rules.retention, floor, room.bounded_before);
    }
}
