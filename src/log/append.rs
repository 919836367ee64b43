//! Takes in what the inner body says: copies each frame, gives it its ID, records and publishes it.

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use super::{Log, Published, Room, cut};
use crate::config::{EventIds, Rules};
use crate::content::content_hash;
use crate::resume::GapReason;
use crate::resume::keys::Keys;
use crate::resume::seam::Verdict;
use crate::sse::{BlockKind, Field, Fields, Frame, LineEnding, encode, lines};

/// What is published as one piece: transports take such pieces without copying.
const PIECE: usize = 16 * 1024;
/// What one call of [`Log::append`] takes at the most, so that a task does not hold its thread for long.
const MOST_AT_ONCE: usize = 64 * 1024;
/// An output buffer that one large frame has blown up beyond this is given back.
const LARGEST_IDLE_OUT: usize = 32 * 1024;

impl Log {
    /// Takes from `input` what there is room for, and publishes it. What is left is for a later call.
    pub(crate) fn append(
        &mut self,
        input: &mut Bytes,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: fn() -> Instant,
    ) {
        self.tail.hold_back(!room.read_on && !room.frame_is_awaited);
        self.take_frames(input, rules, keys, room, now);
        self.publish(rules.retention.payload && self.oversize.is_none());
    }

    fn take_frames(
        &mut self,
        input: &mut Bytes,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: fn() -> Instant,
    ) {
        let mut at = 0;
        while at < input.len() && at < MOST_AT_ONCE && !self.is_full(rules, room) {
            let rest = &input[at..];
            let Some(frame) = self.scanner.scan(rest) else {
                self.hold(rest, rules, now);
                at = input.len();
                break;
            };
            let this = &rest[..frame.end];
            at += frame.end;
            if self.is_plain(this, &frame, rules) {
                self.take_plain(this, rules, room, now);
            } else if self.oversize.is_some() {
                self.end_oversize(this, &frame, rules);
                // Who came too late for it is to get what comes after it.
                break;
            } else {
                self.take_any(this, &frame, rules, keys, room, now);
            }
            if self.complete >= PIECE {
                self.publish(rules.retention.payload);
            }
        }
        input.advance(at);
    }

    /// Takes in what has come now of a whole frame.
    #[inline(never)]
    fn take_any(
        &mut self,
        this: &[u8],
        frame: &Frame,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: fn() -> Instant,
    ) {
        if frame.len > rules.frame_limit && frame.kind() == BlockKind::Event {
            let lead = self.begin_oversize(frame.lead, rules, now());
            self.end_oversize(&this[lead..], frame, rules);
        } else {
            self.copy(this, frame, rules);
            self.finish_frame(this, frame, rules, keys, room, now);
        }
    }

    /// Keeps the beginning of a frame whose end has not come.
    pub(super) fn hold(&mut self, rest: &[u8], rules: &Rules, now: impl Fn() -> Instant) {
        if let Some(oversize) = &mut self.oversize {
            oversize.push(rest, &mut self.out);
            self.complete = self.out.len();
            return;
        }
        self.out.extend_from_slice(rest);
        self.out_bytes = self.out_bytes.max(self.out.capacity());
        if self.scanner.unfinished() > rules.frame_limit {
            self.begin_oversize(self.scanner.lead(), rules, now());
        }
    }

    /// Copies what has come now of a whole frame, without its blank line. Parts that came before are there already.
    #[inline]
    pub(super) fn copy(&mut self, this: &[u8], frame: &Frame, rules: &Rules) {
        self.out.reserve(frame.end + self.next_line.line().len_max(self.current_inner_id()));
        let blank = frame.end - (frame.len - frame.blank);
        self.out.extend_from_slice(&this[..blank]);
        if frame.fields.contains(Fields::RETRY) {
            let raw = &self.out[self.complete + frame.lead..];
            let last = lines(raw).last_retry();
            self.retry_is_new |= last.is_some();
            self.retry = last.or(self.retry);
        }
        if frame.fields.contains(Fields::ID) {
            self.take_ids(frame, rules);
        }
        if frame.lead > 0 {
            cut(&mut self.out, self.complete, frame.lead);
        }
    }

    /// Notes the inner service's ID, and takes it out of the frame at the end of `out` unless it may stay.
    #[cold]
    pub(super) fn take_ids(&mut self, frame: &Frame, rules: &Rules) {
        let inner = self.inner.get_or_insert_default();
        if let Some(id) = lines(&self.out[self.complete + frame.lead..]).last_id() {
            inner.give(id);
        }
        if rules.ids == EventIds::Assign || frame.kind() != BlockKind::Event {
            super::inner_ids::cut_ids_of(&mut self.out, self.complete, frame);
            inner.end_frame();
        }
    }

    /// The frame from `complete` on lies there without its `id` lines and its blank line.
    #[inline]
    pub(super) fn finish_frame(
        &mut self,
        this: &[u8],
        frame: &Frame,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: impl Fn() -> Instant,
    ) {
        let (ending, terminator) = endings(frame, this);
        match frame.kind() {
            BlockKind::Event if rules.swallows_empty_events && self.is_empty_event() => {
                self.out.truncate(self.complete);
                if let Some(retry) = self.retry.filter(|_| frame.fields.contains(Fields::RETRY)) {
                    encode::retry_line(&mut self.out, retry);
                }
            }
            BlockKind::Event => {
                if self.seam.is_some() && self.is_resent(keys) {
                    self.out.truncate(self.complete);
                    self.skipped += 1;
                    return;
                }
                self.write_id(ending, terminator, rules, keys);
                self.record(frame.len, rules, keys, room, now);
            }
            BlockKind::EventWithoutData => self.out.extend_from_slice(terminator.as_bytes()),
            // Becomes the head of the next block.
            BlockKind::Silent => {}
            // Perhaps it was meant to keep the connection alive: so does an empty comment.
            BlockKind::Blank => {
                self.out.extend_from_slice(b":");
                self.out.extend_from_slice(terminator.as_bytes());
            }
        }
        self.complete = self.out.len();
    }

    /// Whether the event at the end of `out` has nothing to say.
    #[cold]
    fn is_empty_event(&self) -> bool {
        lines(&self.out[self.complete..]).all(|line| match line.field {
            Field::Data(data) => data.is_empty(),
            Field::Event(name) => name.is_empty() || name == b"message",
            _ => true,
        })
    }

    /// Writes the ID of the event at the end of `out`, and its blank line.
    #[inline]
    pub(super) fn write_id(
        &mut self,
        ending: LineEnding,
        terminator: LineEnding,
        rules: &Rules,
        keys: &Keys,
    ) {
        let (out, offset) = (&mut self.out, self.history.next());
        let (line, endings) = (self.next_line.line(), both(ending, terminator));
        match &mut self.inner {
            None => {
                let _ = line.write(out, offset, None, endings);
            }
            Some(inner) => {
                if inner.stays(offset, rules, keys) {
                    inner.write_own(out, ending);
                    out.extend_from_slice(terminator.as_bytes());
                    inner.end_event();
                } else {
                    inner.cut_own(out, self.complete);
                    let embedded = rules.embeds_inner_ids.then(|| inner.current());
                    let fits = line.write(out, offset, embedded, endings);
                    let is_said = rules.embeds_inner_ids || inner.current().is_empty();
                    inner.end_event_at(offset, fits && is_said);
                }
            }
        }
    }

    /// Records the event at the end of `out`.
    #[inline]
    pub(super) fn record(
        &mut self,
        len: usize,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: impl Fn() -> Instant,
    ) {
        let frame = &self.out[self.complete..];
        if len > rules.frame_limit {
            self.history.push_hole(GapReason::Oversize, now());
            self.oversized = true;
        } else if rules.retention.payload {
            self.history.push([frame], now);
        } else {
            let offset = self.history.next();
            self.inner.get_or_insert_default().note(offset, frame, rules, keys);
            self.history.skip();
            return;
        }
        if self.inner.is_some() {
            self.history.keep_dropped();
        }
        let floor = room.floor(self.history.next() - 1);
        self.history.trim(&rules.retention, floor, room.bounded_before);
        self.digest(rules, keys);
    }

    /// Keeps what is needed of events that history has dropped.
    #[inline]
    pub(super) fn digest(&mut self, rules: &Rules, keys: &Keys) {
        let Some(inner) = &mut self.inner else { return };
        if self.history.has_dropped() {
            let (first, retained) =
                (self.history.first(), self.history.next() - self.history.first());
            inner.digest(
                self.history.take_dropped(),
                first,
                retained,
                &self.next_line.line(),
                rules,
                keys,
            );
        }
        inner.forget_long(self.history.first(), rules.retention.bytes);
    }

    /// Whether the event at the end of `out` was sent in an earlier generation.
    #[cold]
    pub(super) fn is_resent(&mut self, keys: &Keys) -> bool {
        let Some(seam) = &mut self.seam else { return false };
        let hash = content_hash(&self.out[self.complete..], keys);
        let verdict = seam.observe(self.inner.as_ref().and_then(|inner| inner.own()), hash);
        if seam.is_over() {
            self.seam = None;
            if let Some(inner) = &mut self.inner {
                inner.end_resend();
            }
        }
        if let Verdict::SendAfterGap(reason) = verdict {
            self.tell_gap(reason);
        }
        if let (Verdict::Skip, Some(inner)) = (verdict, &mut self.inner) {
            inner.end_event();
        }
        verdict == Verdict::Skip
    }

    /// Makes all whole frames visible to readers, and what there is of one that is too large to hold. `recorded` tells
    /// whether history has them.
    #[inline]
    pub(super) fn publish(&mut self, recorded: bool) {
        if self.complete == 0 {
            return;
        }
        let bytes = self.split_piece();
        if self.tail.is_followed() {
            let (next, total) = (self.history.next(), self.history.total());
            let within_frame = self.oversize.is_some();
            self.tail.push(Published { bytes, next, total, within_frame, recorded });
        }
    }

    /// Takes all whole frames out of `out`.
    #[inline]
    fn split_piece(&mut self) -> Bytes {
        self.out_bytes = self.out_bytes.max(self.out.capacity());
        let piece = self.out.split_to(self.complete).freeze();
        self.complete = 0;
        if self.out_bytes > LARGEST_IDLE_OUT && self.out.is_empty() {
            self.out = BytesMut::new();
            self.out_bytes = 0;
        }
        piece
    }
}

/// How our `id` line ends, and how the blank line does.
///
/// A lone CR may be the first half of a CRLF whose LF the scanner will leave out. Where lines end in CRLF it is written
/// whole, for a client that splits the stream at CRLF CRLF must find it.
#[inline]
pub(super) fn endings(frame: &Frame, this: &[u8]) -> (LineEnding, LineEnding) {
    let ending = frame.ending.unwrap_or(LineEnding::Lf);
    let terminator = match &this[this.len() - (frame.len - frame.blank)..] {
        [b'\n'] => LineEnding::Lf,
        [b'\r'] if ending != LineEnding::CrLf => LineEnding::Cr,
        _ => LineEnding::CrLf,
    };
    (ending, terminator)
}

/// The bytes of two line endings, one after the other.
#[inline]
pub(super) fn both(ending: LineEnding, terminator: LineEnding) -> &'static [u8] {
    use LineEnding::{Cr, CrLf, Lf};
    match (ending, terminator) {
        (Lf, Lf) => b"\n\n",
        (Lf, Cr) => b"\n\r",
        (Lf, CrLf) => b"\n\r\n",
        (Cr, Lf) => b"\r\n",
        (Cr, Cr) => b"\r\r",
        (Cr, CrLf) => b"\r\r\n",
        (CrLf, Lf) => b"\r\n\n",
        (CrLf, Cr) => b"\r\n\r",
        (CrLf, CrLf) => b"\r\n\r\n",
    }
}
