//! One stream's log: the inner service's bytes in, wire format with our IDs out.
//!
//! The log is what clients are sent, byte for byte. A frame is copied once from the inner body's data to the bytes that
//! are published, where its `id` line is put in place, and once from there to the history. So recording costs one copy,
//! and a replay is the same bytes again.

mod history;
mod inner_ids;
mod known;
mod preserved;
mod tail;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

pub(crate) use history::{Cursor, Found};
pub(crate) use tail::Follower;

use crate::config::{EventIds, Rules};
use crate::content::content_hash;
use crate::observer::Observation;
use crate::resume::GapReason;
use crate::resume::event_id::IdLine;
use crate::resume::keys::Keys;
use crate::resume::seam::{Seam, Verdict};
use crate::sse::{BlockKind, Fields, Frame, IdFilter, LineEnding, Piece, Scanner, lines};
use history::History;
use inner_ids::InnerIds;
use tail::Tail;

/// What is published as one piece: transports take such pieces without copying.
const PIECE: usize = 16 * 1024;
/// What one call of [`Log::append`] takes at the most, so that a task does not hold its thread for long.
const MOST_AT_ONCE: usize = 64 * 1024;
/// What is remembered of the `id` lines of a frame that is too large to hold.
const LONGEST_ID_LINES: usize = 16 * 1024;
/// An output buffer that one large frame has blown up beyond this is given back.
const LARGEST_IDLE_OUT: usize = 32 * 1024;
/// How many generations a stream knows positions of, beside its first.
const MOST_GENERATIONS: usize = 1024;

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
    id_line: IdLine,
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
    /// The newest generation that begins with a gap, 0 if none: readers compare it with what they were told.
    last_gap: u32,
    skipped: u64,
    oversized: bool,
    oversize: Option<Box<Oversize>>,
    seam: Option<Box<Seam>>,
}

/// Where a generation begins.
#[derive(Clone, Copy, Debug)]
struct Generation {
    /// Its number; of several that begin at the same event, the last one's.
    number: u32,
    first: u64,
    /// Why events may be missing before its first one, and from which of them on.
    gap: Option<(u32, GapReason)>,
}

/// A frame that is too large to hold: it is passed on as it comes.
#[derive(Debug)]
struct Oversize {
    ids: IdFilter,
    /// Its `id` lines; `None` if they are longer than any request could carry.
    id_lines: Option<Vec<u8>>,
}

/// What [`Log::append`] may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The first event that somebody has still to read: it is not evicted.
    pub(crate) protected: u64,
    /// [`Log::total`] at that event.
    pub(crate) total: u64,
    /// Whether the foremost reader that follows has not taken what was published.
    pub(crate) tail_is_behind: bool,
    /// Whether unread events are evicted rather than the inner body held back.
    pub(crate) read_on: bool,
    /// Whether the layer holds as many bytes as it may.
    pub(crate) at_cap: bool,
}

impl Log {
    pub(crate) fn new(id_line: IdLine, inner_id: &[u8]) -> Self {
        Self {
            scanner: Scanner::new(),
            out: BytesMut::new(),
            complete: 0,
            out_bytes: 0,
            id_line,
            inner: (!inner_id.is_empty()).then(|| Box::new(InnerIds::called_with(inner_id))),
            history: History::starting_at(1),
            tail: Tail::default(),
            later: Vec::new(),
            forgotten: 0,
            retry: None,
            last_gap: 0,
            skipped: 0,
            oversized: false,
            oversize: None,
            seam: None,
        }
    }

    /// The running generation.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.later.last().map_or(1, |generation| generation.number)
    }

    /// The first offset of `generation`, if it has begun.
    pub(crate) fn first_of(&self, generation: u32) -> Option<u64> {
        match generation {
            0 => None,
            1 => Some(1),
            _ if generation <= self.forgotten => None,
            _ => self.after(generation - 1).first().map(|generation| generation.first),
        }
    }

    /// The generations after `generation`.
    fn after(&self, generation: u32) -> &[Generation] {
        &self.later[self.later.partition_point(|known| known.number <= generation)..]
    }

    /// The lowest first offset of the generations after `generation`, if there are any.
    pub(crate) fn first_after(&self, generation: u32) -> Option<u64> {
        self.after(generation).iter().map(|generation| generation.first).min()
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

    /// The inner service's own last event ID; empty if it has none.
    pub(crate) fn inner_id(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], |inner| inner.current())
    }

    /// The inner service's last event ID as it was in force at `offset`; `None` if that is not known any more.
    pub(crate) fn inner_id_at(&self, offset: u64) -> Option<Vec<u8>> {
        let inner = self.inner.as_ref()?;
        if offset == self.last() {
            return Some(inner.current().to_vec());
        }
        match self.history.frame(offset) {
            Some(frame) => Some(inner.id_of(offset, frame, &self.id_line)),
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

    /// The generation that the event at `offset` belongs to.
    pub(crate) fn generation_of(&self, offset: u64) -> u32 {
        // Where payload is not kept, a later generation may begin before an earlier one.
        let known = self.later.iter().rfind(|generation| generation.first <= offset);
        known.map_or(1, |generation| generation.number)
    }

    /// Whether a frame is being passed on that is too large to hold.
    pub(crate) fn is_within_oversize(&self) -> bool {
        self.oversize.is_some()
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
        let retention = &rules.retention;
        if !retention.payload || self.oversize.is_some() {
            return room.tail_is_behind;
        }
        let unread = self.history.next().saturating_sub(room.protected);
        unread > 0
            && (unread >= retention.events
                || self.history.total() - room.total >= retention.bytes as u64
                || room.at_cap)
    }

    /// Takes from `input` what there is room for, and publishes it. What is left is for a later call.
    pub(crate) fn append(
        &mut self,
        input: &mut Bytes,
        rules: &Rules,
        keys: &Keys,
        room: &Room,
        now: impl Fn() -> Instant,
    ) {
        let mut at = 0;
        while at < input.len() && at < MOST_AT_ONCE && !self.is_full(rules, room) {
            let rest = &input[at..];
            let Some(frame) = self.scanner.scan(rest) else {
                self.hold(rest, rules, &now);
                at = input.len();
                break;
            };
            let this = &rest[..frame.end];
            if self.oversize.is_some() {
                self.end_oversize(this, &frame);
            } else if frame.len > rules.frame_limit && frame.kind() == BlockKind::Event {
                let lead = self.begin_oversize(frame.lead, now());
                self.end_oversize(&this[lead..], &frame);
            } else {
                self.copy(this, &frame, rules);
                self.finish_frame(this, &frame, rules, keys, room, &now);
            }
            at += frame.end;
            if self.complete >= PIECE {
                self.publish(false);
            }
        }
        input.advance(at);
        self.publish(self.oversize.is_some());
    }

    /// Keeps the beginning of a frame whose end has not come.
    fn hold(&mut self, rest: &[u8], rules: &Rules, now: impl Fn() -> Instant) {
        if let Some(oversize) = &mut self.oversize {
            oversize.push(rest, &mut self.out);
            self.complete = self.out.len();
            return;
        }
        self.out.extend_from_slice(rest);
        self.out_bytes = self.out_bytes.max(self.out.capacity());
        if self.scanner.unfinished() > rules.frame_limit {
            self.begin_oversize(self.scanner.lead(), now());
        }
    }

    /// Passes on what `out` has of the frame, less its first `lead` bytes. Returns how many of those are yet to come.
    #[cold]
    fn begin_oversize(&mut self, lead: usize, now: Instant) -> usize {
        // Published before it, so that the pieces of this frame are pieces of nothing else.
        let raw = self.out.split_off(self.complete);
        self.publish(false);
        self.history.push_hole(GapReason::Oversize, now);
        let mut oversize = Box::new(Oversize { ids: IdFilter::new(), id_lines: Some(Vec::new()) });
        let here = lead.min(raw.len());
        oversize.push(&raw[here..], &mut self.out);
        self.oversize = Some(oversize);
        self.oversized = true;
        self.complete = self.out.len();
        lead - here
    }

    fn end_oversize(&mut self, this: &[u8], frame: &Frame) {
        let Some(mut oversize) = self.oversize.take() else { return };
        let blank = this.len() - (frame.len - frame.blank);
        oversize.push(&this[..blank], &mut self.out);
        if let Some(id) = oversize.id_lines.as_deref().and_then(|ids| lines(ids).last_id()) {
            self.inner.get_or_insert_default().give(id);
        }
        let (ending, terminator) = endings(frame, this);
        let offset = self.last();
        let inner_id = self.inner.as_ref().map(|inner| inner.current());
        let endings = both(ending, terminator);
        let _ = self.id_line.write(&mut self.out, offset, inner_id, endings);
        if let Some(inner) = &mut self.inner {
            inner.end_event();
        }
        self.complete = self.out.len();
        self.publish(false);
    }

    /// Copies what has come now of a whole frame, without its blank line. Parts that came before are there already.
    #[inline]
    fn copy(&mut self, this: &[u8], frame: &Frame, rules: &Rules) {
        self.out.reserve(frame.end + self.id_line.len_max(self.inner_id()));
        let blank = frame.end - (frame.len - frame.blank);
        self.out.extend_from_slice(&this[..blank]);
        if frame.fields.contains(Fields::RETRY) {
            let raw = &self.out[self.complete + frame.lead..];
            self.retry = lines(raw).last_retry().or(self.retry);
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
    fn take_ids(&mut self, frame: &Frame, rules: &Rules) {
        let inner = self.inner.get_or_insert_default();
        if let Some(id) = lines(&self.out[self.complete + frame.lead..]).last_id() {
            inner.give(id);
        }
        if rules.ids == EventIds::Assign || frame.kind() != BlockKind::Event {
            inner_ids::cut_ids_of(&mut self.out, self.complete, frame);
            inner.end_frame();
        }
    }

    /// The frame from `complete` on lies there without its `id` lines and its blank line.
    #[inline]
    fn finish_frame(
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

    /// Writes the ID of the event at the end of `out`, and its blank line.
    #[inline]
    fn write_id(&mut self, ending: LineEnding, terminator: LineEnding, rules: &Rules, keys: &Keys) {
        let (out, offset) = (&mut self.out, self.history.next());
        let endings = both(ending, terminator);
        match &mut self.inner {
            None => {
                let _ = self.id_line.write(out, offset, None, endings);
            }
            Some(inner) => {
                if inner.stays(offset, rules, keys) {
                    inner.write_own(out, ending);
                    out.extend_from_slice(terminator.as_bytes());
                    inner.end_event();
                } else {
                    inner.cut_own(out, self.complete);
                    let fits = self.id_line.write(out, offset, Some(inner.current()), endings);
                    inner.end_event_at(offset, fits);
                }
            }
        }
    }

    /// Records the event at the end of `out`.
    #[inline]
    fn record(
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
            self.history.push(frame, now);
        } else {
            let offset = self.history.next();
            self.inner.get_or_insert_default().note(offset, frame, rules, keys);
            self.history.skip();
            return;
        }
        self.history.trim(&rules.retention, room.floor());
        self.digest(rules, keys);
    }

    /// Keeps what is needed of events that history has dropped.
    #[inline]
    fn digest(&mut self, rules: &Rules, keys: &Keys) {
        let Some(inner) = &mut self.inner else { return };
        if !self.history.keeps_dropped() {
            self.history.keep_dropped();
        }
        if self.history.has_dropped() {
            let (first, retained) =
                (self.history.first(), self.history.next() - self.history.first());
            inner.digest(self.history.take_dropped(), first, retained, &self.id_line, rules, keys);
        }
        inner.forget_long(self.history.first(), rules.retention.bytes);
    }

    /// Whether the event at the end of `out` was sent in an earlier generation.
    #[cold]
    fn is_resent(&mut self, keys: &Keys) -> bool {
        let Some(seam) = &mut self.seam else { return false };
        let hash = content_hash(&self.out[self.complete..], keys);
        let verdict = seam.observe(self.inner.as_ref().and_then(|inner| inner.own()), hash);
        if seam.is_over() {
            self.seam = None;
        }
        if let Verdict::SendAfterGap(reason) = verdict {
            self.tell_gap(reason);
        }
        if let (Verdict::Skip, Some(inner)) = (verdict, &mut self.inner) {
            inner.end_event();
        }
        verdict == Verdict::Skip
    }

    fn tell_gap(&mut self, reason: GapReason) {
        if let Some(generation) = self.later.last_mut() {
            generation.gap = Some((generation.number, reason));
            self.last_gap = generation.number;
        }
    }

    /// Makes all whole frames visible to readers.
    #[inline]
    fn publish(&mut self, within_frame: bool) {
        if self.complete == 0 {
            return;
        }
        self.out_bytes = self.out_bytes.max(self.out.capacity());
        if self.tail.is_followed() {
            let piece = self.out.split_to(self.complete).freeze();
            self.tail.push(piece, self.history.next(), self.history.total(), within_frame);
        } else if self.complete == self.out.len() {
            self.out.clear();
        } else {
            self.out.advance(self.complete);
        }
        self.complete = 0;
        if self.out_bytes > LARGEST_IDLE_OUT && self.out.is_empty() {
            self.out = BytesMut::new();
            self.out_bytes = 0;
        }
    }

    /// A new producer goes on from here: what the last one left unfinished is dropped.
    pub(crate) fn begin_generation(
        &mut self,
        id_line: IdLine,
        gap: Option<GapReason>,
        seam: Option<Seam>,
        now: Instant,
    ) {
        self.end_producer();
        self.history.seal(now);
        let (number, first) = (self.generation() + 1, self.history.next());
        match self.later.last_mut() {
            Some(last) if last.first == first => last.number = number,
            _ => self.remember(Generation { number, first, gap: None }),
        }
        self.id_line = id_line;
        if let Some(reason) = gap {
            self.tell_gap(reason);
        }
        self.seam = seam.map(Box::new);
    }

    #[cold]
    fn remember(&mut self, generation: Generation) {
        if self.later.len() == MOST_GENERATIONS {
            self.forget_generation();
        }
        self.later.push(generation);
    }

    /// Forgets the oldest generation: what is to be told at its beginning is told at that of the next one.
    fn forget_generation(&mut self) {
        let oldest = self.later.remove(0);
        self.forgotten = oldest.number;
        if let Some(next) = self.later.first_mut() {
            next.first = next.first.min(oldest.first);
            next.gap = next.gap.or(oldest.gap);
        }
    }

    /// The inner body has ended: what is unfinished is never dispatched, and so never sent.
    pub(crate) fn end_producer(&mut self) {
        self.publish(false);
        self.scanner = Scanner::new();
        self.out = BytesMut::new();
        self.out_bytes = 0;
        self.complete = 0;
        if let Some(inner) = &mut self.inner {
            inner.end_event();
        }
        self.seam = None;
        self.oversize = None;
    }

    /// The reason to tell a reader that stands before `next` and was told of all generations up to `told`, with the
    /// generation that it is told of.
    #[inline]
    pub(crate) fn untold(&self, told: u32, next: u64) -> Option<(u32, GapReason)> {
        if told >= self.last_gap {
            return None;
        }
        let begun = self.after(told).iter().filter(|generation| generation.first <= next);
        begun.filter_map(|generation| generation.gap).rfind(|(number, _)| *number > told)
    }

    /// Reads history on from `cursor`; see [`History::read`].
    pub(crate) fn read(&mut self, cursor: &mut Cursor, now: impl Fn() -> Instant) -> Found {
        self.history.read(cursor, now)
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

    /// What has to happen when time passes: seals and expires.
    pub(crate) fn sweep(&mut self, rules: &Rules, keys: &Keys, protected: u64, now: Instant) {
        self.history.seal_if_older(rules.retention.seal_age(), now);
        self.history.expire(rules.retention.age, protected, now);
        self.digest(rules, keys);
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

    /// What a new inner response may resend, if the inner service gives IDs.
    pub(crate) fn seam(&self, keys: &Keys) -> Option<Seam> {
        let inner = self.inner.as_ref().filter(|inner| inner.gave)?;
        let window = inner.window(self.history.frames(), &self.id_line, keys);
        Some(Seam::new(window, inner.current()))
    }

    /// Where no payload is kept: goes back to just after the event `offset`, which the inner service is to go on from.
    /// What it said after that is to come again. `false`: it is not known any more.
    pub(crate) fn rewind(&mut self, offset: u64, now: Instant) -> bool {
        let at_end = offset == self.last();
        let known = at_end || self.inner.as_mut().is_some_and(|inner| inner.rewind(offset));
        if known && !at_end {
            self.history.rewind(offset + 1, now);
        }
        known
    }
}

impl Room {
    /// What is below it may be evicted.
    #[inline]
    fn floor(&self) -> u64 {
        if self.read_on { u64::MAX } else { self.protected }
    }
}

impl Oversize {
    fn push(&mut self, raw: &[u8], out: &mut BytesMut) {
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

/// How our `id` line ends, and how the blank line does.
///
/// A lone CR may be the first half of a CRLF whose LF the scanner will leave out. Where lines end in CRLF it is written
/// whole, for a client that splits the stream at CRLF CRLF must find it.
#[inline]
fn endings(frame: &Frame, this: &[u8]) -> (LineEnding, LineEnding) {
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
fn both(ending: LineEnding, terminator: LineEnding) -> &'static [u8] {
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

/// Removes `len` bytes at `at`.
fn cut(out: &mut BytesMut, at: usize, len: usize) {
    out.copy_within(at + len.., at);
    out.truncate(out.len() - len);
}
