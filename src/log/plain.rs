//! The normal case of what the inner body says: an event whose frame comes whole, ends its lines with LF and has no
//! field that is looked at. It takes nothing but two copies: to the history, and from there to what is published.

use tokio::time::Instant;

use super::{Log, Room};
use crate::config::Rules;
use crate::sse::{Fields, Frame, LineEnding};

impl Log {
    /// Whether `this` is such an event, with nothing of the stream that would concern it.
    #[inline]
    pub(super) fn is_plain(&self, this: &[u8], frame: &Frame, rules: &Rules) -> bool {
        let fields = frame.fields;
        let is_event = fields.contains(Fields::DATA)
            && !fields.contains(Fields::ID)
            && !fields.contains(Fields::RETRY)
            && !rules.swallows_empty_events;
        let is_here = frame.len == frame.end && frame.lead == 0;
        let has_lf = frame.ending == Some(LineEnding::Lf) && this.get(frame.blank..) == Some(b"\n");
        let is_kept = rules.retention.payload && frame.len <= rules.frame_limit;
        is_event && is_here && has_lf && is_kept && self.inner.is_none() && self.seam.is_none()
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
        self.history.trim(&rules.retention, room.floor(self.history.next() - 1));
    }
}
