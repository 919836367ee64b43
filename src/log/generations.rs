//! One producer after the other: where each begins, and what is missing between them.

use bytes::BytesMut;
use tokio::time::Instant;

use super::Log;
use crate::resume::GapReason;
use crate::resume::event_id::{IdLine, NextLine, can_be_sent};
use crate::resume::keys::Keys;
use crate::resume::seam::Seam;
use crate::sse::Scanner;

/// How many generations a stream knows positions of, beside its first.
const MOST_GENERATIONS: usize = 1024;

/// Where a generation begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generation {
    /// Its number; of several that begin at the same event, the last one's.
    number: u32,
    first: u64,
    /// Why events may be missing before its first one, and from which of them on.
    gap: Option<(u32, GapReason)>,
}

impl Log {
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

    /// The generation that the event at `offset` belongs to.
    pub(crate) fn generation_of(&self, offset: u64) -> u32 {
        // Where payload is not kept, a later generation may begin before an earlier one.
        let known = self.later.iter().rfind(|generation| generation.first <= offset);
        known.map_or(1, |generation| generation.number)
    }

    /// A new producer goes on from here: what the last one left unfinished is dropped.
    pub(crate) fn begin_generation(
        &mut self,
        number: u32,
        id_line: IdLine,
        gap: Option<GapReason>,
        seam: Option<Seam>,
        now: Instant,
    ) {
        self.end_producer();
        self.history.seal(now);
        self.note_generation(number, self.history.next(), gap);
        self.next_line = NextLine::new(id_line);
        self.seam = seam.map(Box::new);
        if let (Some(_), Some(inner)) = (&self.seam, &mut self.inner) {
            inner.begin_resend();
        }
    }

    /// Generation `number` begins at the event `first`, perhaps with a gap.
    pub(super) fn note_generation(&mut self, number: u32, first: u64, gap: Option<GapReason>) {
        match self.later.last_mut() {
            Some(last) if last.first == first => last.number = number,
            _ => self.remember(Generation { number, first, gap: None }),
        }
        if let Some(reason) = gap {
            self.tell_gap(reason);
        }
    }

    /// Whether a generation begins at the event `first`.
    pub(super) fn begins_at(&self, first: u64) -> bool {
        self.later.iter().any(|generation| generation.first == first)
    }

    /// Why events may be missing just before the running generation.
    pub(crate) fn gap_of_generation(&self) -> Option<GapReason> {
        let last = self.later.last()?;
        last.gap.filter(|(number, _)| *number == last.number).map(|(_, reason)| reason)
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
        self.publish(self.oversize.is_none());
        self.scanner = Scanner::new();
        self.out = BytesMut::new();
        self.out_bytes = 0;
        self.complete = 0;
        if let Some(inner) = &mut self.inner {
            // An ID that no event has had is news, also without an event.
            let seam = self.seam.as_ref();
            inner.end_producer(seam.is_some_and(|seam| seam.may_resend(inner.current())));
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

    pub(super) fn tell_gap(&mut self, reason: GapReason) {
        if let Some(generation) = self.later.last_mut() {
            generation.gap = Some((generation.number, reason));
            self.last_gap = generation.number;
        }
    }

    /// What a new inner response may resend, if the inner service has an ID to go on from: one that it gave and took
    /// back is none, and neither is one that it cannot be sent.
    pub(crate) fn seam(&self, keys: &Keys) -> Option<Seam> {
        let inner = self.inner.as_ref().filter(|inner| can_be_sent(inner.current()))?;
        let window = inner.window(self.history.frames(), &self.next_line.line(), keys);
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
