//! One producer after the other: where each begins, and what is missing between them.

use bytes::BytesMut;
use tokio::time::Instant;

use super::Log;
use crate::resume::GapReason;
use crate::resume::event_id::{IdLine, NextLine};
use crate::resume::keys::Keys;
use crate::resume::seam::Seam;
use crate::sse::Scanner;

/// Where a generation begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generation {
    pub(crate) first: u64,
    /// Why events may be missing before its first one.
    pub(crate) gap: Option<GapReason>,
}

impl Log {
    /// The running generation.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.later.len() as u32 + 1
    }

    /// The first offset of `generation`, if it has begun.
    pub(crate) fn first_of(&self, generation: u32) -> Option<u64> {
        match generation {
            0 => None,
            1 => Some(1),
            _ => self.later.get(generation as usize - 2).map(|generation| generation.first),
        }
    }

    /// The lowest first offset of the generations after `generation`, if there are any.
    pub(crate) fn first_after(&self, generation: u32) -> Option<u64> {
        let later = self.later.get(generation.saturating_sub(1) as usize..)?;
        later.iter().map(|generation| generation.first).min()
    }

    /// The generation that the event at `offset` belongs to.
    pub(crate) fn generation_of(&self, offset: u64) -> u32 {
        // Where payload is not kept, a later generation may begin before an earlier one.
        let later = self.later.iter().rposition(|generation| generation.first <= offset);
        later.map_or(1, |index| index as u32 + 2)
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
        self.later.push(Generation { first: self.history.next(), gap: None });
        self.next_line = NextLine::new(id_line);
        if let Some(reason) = gap {
            self.tell_gap(reason);
        }
        self.seam = seam.map(Box::new);
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
        let numbered = self.later.iter().zip(2_u32..);
        numbered
            .filter(|(generation, number)| *number > told && generation.first <= next)
            .filter_map(|(generation, number)| Some((number, generation.gap?)))
            .last()
    }

    pub(super) fn tell_gap(&mut self, reason: GapReason) {
        if let Some(generation) = self.later.last_mut() {
            generation.gap = Some(reason);
            self.last_gap = self.generation();
        }
    }

    /// What a new inner response may resend, if the inner service has an ID to go on from: one that it gave and took
    /// back is none.
    pub(crate) fn seam(&self, keys: &Keys) -> Option<Seam> {
        let inner = self.inner.as_ref().filter(|inner| !inner.current().is_empty())?;
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
