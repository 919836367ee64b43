//! What a stream holds, for how long, and what operators see and do of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Change, Ending, EvictionClass, Phase, Registered, State, Storing, Summary};
use crate::error::ResumeErrorKind;
use crate::log::Keep;
use crate::registry::Account;
use crate::stream::Stream;
use crate::stream::effects::Effects;
use crate::stream::readers::Reader;

impl State {
    /// Heap that the stream takes.
    #[inline]
    pub(in crate::stream) fn heap_bytes(&self) -> usize {
        let exchanging = self.exchanging.as_ref().map_or(0, |exchanging| exchanging.heap_bytes());
        let storing = if self.storing.is_some() { size_of::<Storing>() } else { 0 };
        let bytes = self.log.heap_bytes() + self.readers.heap_bytes() + self.rest.len();
        bytes + exchanging + storing
    }

    /// What has changed for the registry since it was last asked.
    #[inline]
    pub(in crate::stream) fn take_change(&mut self) -> Option<Change> {
        let bytes = self.heap_bytes();
        let is_moved =
            self.registered.as_ref().is_some_and(|known| known.class != self.eviction_class());
        if bytes == self.accounted && !is_moved {
            return None;
        }
        Some(self.change_to(bytes, is_moved))
    }

    fn change_to(&mut self, bytes: usize, is_moved: bool) -> Change {
        let growth = bytes.wrapping_sub(self.accounted) as isize;
        self.accounted = bytes;
        let class = self.eviction_class();
        let account = self.registered.as_mut().map(|known| {
            known.class = class;
            Arc::clone(&known.account)
        });
        Change { growth, account, is_moved }
    }

    /// The registry has it, on this account.
    pub(in crate::stream) fn enter(&mut self, account: &Arc<Account>) -> (EvictionClass, usize) {
        let class = self.eviction_class();
        self.registered = Some(Registered { account: Arc::clone(account), class });
        (class, self.accounted)
    }

    /// The registry has it no more.
    pub(in crate::stream) fn leave(&mut self) -> usize {
        if self.registered.take().is_some() { self.accounted } else { 0 }
    }

    /// The first event that somebody has still to read, as far as that protects it.
    pub(in crate::stream) fn protected(&self, stream: &Stream) -> u64 {
        let is_live = matches!(self.phase, Phase::Live);
        let read = if stream.config.read_on || !is_live && self.readers.is_empty() {
            u64::MAX
        } else {
            self.readers.foremost().map_or(self.left, Reader::cursor).next
        };
        let keeps_last = is_live && stream.config.rules.keeps_last;
        if keeps_last { read.min(self.log.last()) } else { read }
    }

    /// The first event that the bound on events is not for: what nobody has read yet while nobody is there.
    #[inline]
    pub(super) fn bounded_before(&self, stream: &Stream) -> u64 {
        let is_for_all = stream.config.read_on || !self.readers.is_empty();
        if is_for_all { u64::MAX } else { self.left.next }
    }

    /// What time and bounds may not take, as long as somebody may come for it.
    fn keep(&self, stream: &Stream) -> Keep {
        let from_bounds = self.protected(stream);
        let rules = &stream.config.rules;
        let keeps_last = matches!(self.phase, Phase::Live) && rules.keeps_last;
        let from_age = match self.readers.is_empty() {
            false => from_bounds,
            true if keeps_last => self.log.last(),
            true => u64::MAX,
        };
        Keep { from_age, from_bounds, bounded_before: self.bounded_before(stream) }
    }

    /// Does what time brings. Returns whether the stream is over and forgotten.
    pub(in crate::stream) fn sweep(
        &mut self,
        stream: &Stream,
        now: Instant,
        fx: &mut Effects,
    ) -> bool {
        let keep = self.keep(stream);
        self.log.sweep(&stream.config.rules, &stream.registry.keys, &keep, now);
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
    #[inline]
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
