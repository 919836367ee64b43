//! What a stream holds, for how long, and what operators see and do of it.

use tokio::time::Instant;

use super::{Ending, EvictionClass, Phase, State, Summary};
use crate::error::ResumeErrorKind;
use crate::stream::Stream;
use crate::stream::effects::Effects;

impl State {
    /// Heap that the stream takes.
    #[inline]
    pub(in crate::stream) fn heap_bytes(&self) -> usize {
        self.log.heap_bytes() + self.readers.heap_bytes() + self.rest.len()
    }

    /// Takes how many bytes more or less than when it was last asked.
    #[inline]
    pub(in crate::stream) fn take_growth(&mut self) -> isize {
        let bytes = self.heap_bytes();
        let growth = bytes.wrapping_sub(self.accounted) as isize;
        self.accounted = bytes;
        growth
    }

    /// The first event that somebody has still to read, as far as that protects it.
    pub(in crate::stream) fn protected(&self, stream: &Stream) -> u64 {
        let is_live = matches!(self.phase, Phase::Live);
        let read = if stream.config.read_on || !is_live && self.readers.is_empty() {
            u64::MAX
        } else {
            self.readers.foremost().unwrap_or(self.left).next
        };
        let keeps_last = is_live && stream.config.rules.keeps_last;
        if keeps_last { read.min(self.log.last()) } else { read }
    }

    /// Does what time brings. Returns whether the stream is over and forgotten.
    pub(in crate::stream) fn sweep(
        &mut self,
        stream: &Stream,
        now: Instant,
        fx: &mut Effects,
    ) -> bool {
        self.log.sweep(&stream.config.rules, &stream.registry.keys, self.protected(stream), now);
        fx.wakers.extend(self.unpause_if_room(stream));
        let age = stream.config.rules.retention.age;
        let over = self.ended_at.is_some_and(|ended| now.saturating_duration_since(ended) >= age);
        over && self.readers.is_empty()
    }

    /// Gives up what waits for readers that lag, where they do not hold the inner body back, and then the oldest events
    /// that nobody has still to read. Returns whether there was anything.
    pub(in crate::stream) fn give_up_oldest(&mut self, stream: &Stream) -> bool {
        if stream.config.read_on && self.log.drop_tail() {
            return true;
        }
        let protected = self.protected(stream);
        let (rules, keys) = (&stream.config.rules, &stream.registry.keys);
        self.log.drop_oldest(rules, keys, protected, Instant::now())
    }

    /// In which order streams are evicted.
    pub(in crate::stream) fn eviction_class(&self) -> EvictionClass {
        match self.phase {
            _ if !self.readers.is_empty() => EvictionClass::Read,
            Phase::Finished(_) | Phase::Purged => EvictionClass::Finished,
            Phase::Aborted(_) | Phase::Suspended => EvictionClass::Aborted,
            Phase::Live => EvictionClass::Unread,
        }
    }

    pub(in crate::stream) fn summary(&self) -> Summary {
        Summary {
            state: self.stream_state(false),
            clients: self.readers.len(),
            events: self.log.counts(),
            bytes: self.accounted,
        }
    }

    pub(in crate::stream) fn accounted(&self) -> usize {
        self.accounted
    }

    /// Ends the stream and forgets all of it.
    pub(in crate::stream) fn purge(&mut self, fx: &mut Effects) {
        self.end(Ending::Aborted(None), fx);
        if self.commits_first() {
            // What they wait for does not come.
            self.break_off(ResumeErrorKind::Purged, fx);
        }
        self.storing.take_if(|storing| !storing.is_in_store());
        fx.error = std::mem::replace(&mut self.phase, Phase::Purged).into_error();
        self.log.clear(Instant::now());
        self.readers.wake_all(&mut fx.wakers);
    }
}
