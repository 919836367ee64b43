//! What the store has of a stream that is produced here, and what it is to get.

use super::{Ending, Phase, State};
use crate::error::ResumeErrorKind;
use crate::log::{Batch, Cursor, Progress};
use crate::resume::GapReason;
use crate::store::End;
use crate::stream::effects::Effects;
use crate::stream::readers::{Close, Closing};

/// Kept only for streams that a store is to have.
pub(in crate::stream) struct Storing {
    /// Whether the store has the stream at all.
    is_created: bool,
    /// Whether clients get only what the store has.
    commits_first: bool,
    /// The generation that this instance produces, by the store.
    generation: u32,
    /// What was handed to the store.
    cursor: Cursor,
    /// The event after the last one that the store has acknowledged.
    stored: u64,
    gap: Option<GapReason>,
    end: Ended,
    /// Whether the writer knows that there is something for it.
    is_queued: bool,
    /// What the store was told of the inner service's last ID and reconnection time.
    told: Progress,
}

/// How far the end of a generation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Open,
    Handed,
    Stored,
}

/// What the store is to get of a stream.
pub(crate) struct ForStore {
    pub(crate) generation: u32,
    pub(crate) first: u64,
    pub(crate) batch: Batch,
    /// If it is another one than before.
    pub(crate) progress: Option<Progress>,
    pub(crate) gap: Option<GapReason>,
    pub(crate) end: Option<End>,
}

impl ForStore {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        let has_events = !self.batch.pieces.is_empty() || self.progress.is_some();
        !has_events && self.gap.is_none() && self.end.is_none()
    }
}

impl Storing {
    pub(in crate::stream) fn new(commits_first: bool) -> Self {
        Self {
            is_created: false,
            commits_first,
            generation: 1,
            cursor: Cursor::before(1, 0),
            stored: 1,
            gap: None,
            end: Ended::Open,
            is_queued: false,
            told: Progress::default(),
        }
    }

    /// Whether the store has the stream at all.
    pub(super) fn is_in_store(&self) -> bool {
        self.is_created
    }

    /// That of a stream which the store has up to before the event `next`, claimed for `generation`.
    pub(in crate::stream) fn claimed(commits_first: bool, next: u64, generation: u32) -> Self {
        Self {
            is_created: true,
            generation,
            cursor: Cursor::before(next, 0),
            stored: next,
            ..Self::new(commits_first)
        }
    }
}

impl State {
    /// From now on the store is to have the stream.
    pub(in crate::stream) fn begin_storing(&mut self, storing: Storing) {
        if storing.commits_first {
            self.visible = storing.stored;
        }
        self.storing = Some(Box::new(storing));
    }

    /// Whether clients get only what the store has.
    pub(in crate::stream) fn commits_first(&self) -> bool {
        self.storing.as_ref().is_some_and(|storing| storing.commits_first)
    }

    /// Whether the store is to have the stream.
    pub(in crate::stream) fn is_stored(&self) -> bool {
        self.storing.is_some()
    }

    /// Whether there is something for the store that the writer does not know of. It does from now on.
    #[inline]
    pub(in crate::stream) fn queue_for_store(&mut self) -> bool {
        self.storing.is_some() && self.queue_if_unstored()
    }

    #[inline(never)]
    fn queue_if_unstored(&mut self) -> bool {
        let is_new = self.has_unstored();
        let Some(storing) = &mut self.storing else { return false };
        is_new && !std::mem::replace(&mut storing.is_queued, true)
    }

    fn has_unstored(&self) -> bool {
        let Some(storing) = &self.storing else { return false };
        !storing.is_created
            || storing.cursor.next <= self.log.last()
            || self.end_for_store().is_some() && storing.end == Ended::Open
            || self.gap_for_store().is_some()
    }

    /// How the running generation has ended, if it has.
    fn end_for_store(&self) -> Option<End> {
        match self.phase {
            Phase::Live => None,
            Phase::Finished(_) => Some(End::Finished),
            // What was evicted here, somebody may go on with.
            Phase::Suspended | Phase::Aborted(_) | Phase::Purged => Some(End::Aborted),
        }
    }

    /// The gap before the running generation, if the store does not know of it.
    fn gap_for_store(&self) -> Option<GapReason> {
        let storing = self.storing.as_ref()?;
        let is_running = self.log.generation() == storing.generation;
        let gap = is_running.then(|| self.log.gap_of_generation()).flatten();
        gap.filter(|gap| storing.gap != Some(*gap))
    }

    /// Whether the store has to be told that there is the stream.
    pub(in crate::stream) fn is_to_be_created(&self) -> bool {
        self.storing.as_ref().is_some_and(|storing| !storing.is_created)
    }

    /// The store has the stream. Returns whether it is to have it still.
    pub(in crate::stream) fn created(&mut self) -> bool {
        let storing = self.storing.as_mut().map(|storing| storing.is_created = true);
        storing.is_some()
    }

    /// What the store is to get now: of events about `most` bytes, in pieces of about `piece`.
    pub(in crate::stream) fn take_for_store(
        &mut self,
        most: usize,
        piece: usize,
    ) -> Option<ForStore> {
        let (gap, end) = (self.gap_for_store(), self.end_for_store());
        let storing = self.storing.as_mut()?;
        let first = storing.cursor.next;
        let batch = self.log.unstored(&mut storing.cursor, most, piece);
        let next = storing.cursor.next;
        let all = next > self.log.last();
        let end = end.filter(|_| all && storing.end == Ended::Open);
        if end.is_some() {
            storing.end = Ended::Handed;
        }
        storing.gap = gap.or(storing.gap);
        let inner_id = if all {
            self.log.has_inner_ids().then(|| self.log.inner_id().to_vec())
        } else {
            self.log.inner_id_at(next - 1).or_else(|| storing.told.inner_id.clone())
        };
        let now = Progress { retry: self.log.retry(), inner_id };
        let progress = (now != storing.told).then(|| now.clone());
        storing.told = now;
        Some(ForStore { generation: storing.generation, first, batch, progress, gap, end })
    }

    /// The store has acknowledged all before the event `next`, and the end with `end`. Returns whether there is more for
    /// it.
    pub(in crate::stream) fn acknowledged(
        &mut self,
        next: u64,
        end: bool,
        fx: &mut Effects,
    ) -> bool {
        let Some(storing) = &mut self.storing else { return false };
        storing.stored = next;
        storing.is_queued = false;
        if end {
            storing.end = Ended::Stored;
        }
        if storing.commits_first {
            self.visible = next;
            self.readers.wake_all(&mut fx.wakers);
        }
        self.queue_if_unstored()
    }

    /// Whether the store has all that there is, and the end.
    pub(in crate::stream) fn is_ended_in_store(&self) -> bool {
        let ended = |storing: &Storing| storing.end == Ended::Stored;
        self.storing.as_deref().is_none_or(ended)
    }

    /// Whether the store has all that there is.
    pub(in crate::stream) fn is_all_stored(&self) -> bool {
        let Some(storing) = &self.storing else { return true };
        let is_ended = self.end_for_store().is_none() || storing.end == Ended::Stored;
        is_ended && storing.is_created && storing.stored > self.log.last()
    }

    /// Whether clients may see the end.
    #[inline]
    pub(in crate::stream) fn is_end_visible(&self) -> bool {
        self.storing
            .as_ref()
            .is_none_or(|storing| !storing.commits_first || storing.end == Ended::Stored)
    }

    /// The generation that this instance produces, or did, by the store.
    pub(in crate::stream) fn generation_in_store(&self) -> Option<u32> {
        self.storing.as_ref().map(|storing| storing.generation)
    }

    /// The store has this instance as the producer of a new generation.
    pub(in crate::stream) fn claimed_in_store(&mut self, generation: u32) {
        if let Some(storing) = &mut self.storing {
            storing.generation = generation;
            storing.gap = None;
            storing.end = Ended::Open;
        }
    }

    /// The number of the next generation.
    pub(in crate::stream) fn next_generation(&self) -> u32 {
        let claimed = self.generation_in_store().unwrap_or_default();
        claimed.max(self.log.generation() + 1)
    }

    /// The store does not have the stream any more: it goes on without. `false`: clients are to get only what that has.
    pub(in crate::stream) fn stop_storing(&mut self) -> bool {
        let is_possible = self.visible == u64::MAX;
        if is_possible {
            self.storing = None;
        }
        is_possible
    }

    /// The event after the last one that the store has acknowledged.
    pub(in crate::stream) fn stored_next(&self) -> u64 {
        self.storing.as_ref().map_or(0, |storing| storing.stored)
    }

    /// The store is to get the events from `next` on, perhaps once more.
    pub(in crate::stream) fn take_again_from(&mut self, next: u64) {
        if let Some(storing) = &mut self.storing {
            storing.cursor = self.log.cursor(next);
            storing.cursor.next = next;
            storing.stored = next;
            storing.gap = None;
            storing.told = Progress::default();
            if storing.end == Ended::Handed {
                storing.end = Ended::Open;
            }
        }
    }

    /// The writer does not know of it any more, and will be told again.
    pub(in crate::stream) fn leave_queue(&mut self) {
        self.take_all_again();
        if let Some(storing) = &mut self.storing {
            storing.is_queued = false;
        }
    }

    /// The store is to get all that it has not acknowledged. Returns whether there is anything.
    pub(in crate::stream) fn take_all_again(&mut self) -> bool {
        self.take_again_from(self.stored_next());
        let is_there = self.has_unstored();
        if let Some(storing) = &mut self.storing {
            storing.is_queued = is_there;
        }
        is_there
    }

    /// Somebody else produces the stream: nothing more is said of it here. Returns whether it was live, or had something
    /// that the store lacks.
    pub(in crate::stream) fn superseded(&mut self, fx: &mut Effects) -> bool {
        let is_cut_short = self.is_live() || !self.is_all_stored();
        self.storing = None;
        self.break_off(ResumeErrorKind::ProducerLost, fx);
        self.end(Ending::Aborted(None), fx);
        is_cut_short
    }

    /// Breaks off the responses that wait for the store.
    pub(in crate::stream) fn break_off_unstored(&mut self, fx: &mut Effects) {
        let waits = self.storing.as_ref().is_some_and(|storing| storing.commits_first)
            && !(self.is_all_stored() && self.is_end_visible());
        if waits {
            self.break_off(ResumeErrorKind::NotStored, fx);
        }
    }

    /// Ends all responses with an error, at once.
    pub(super) fn break_off(&mut self, kind: ResumeErrorKind, fx: &mut Effects) {
        for reader in self.readers.iter_mut() {
            reader.within_frame = false;
            reader.close = Some(Box::new(Closing { how: Close::Broken(kind, None), after: 0 }));
        }
        self.readers.wake_all(&mut fx.wakers);
    }
}
