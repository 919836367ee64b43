//! A stream and the store: what that is to get of it, and a stream that is made of what it has.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::time::Instant;

use super::effects::Effects;
use super::state::{Ending, ForStore, State, Storing};
use super::{Claim, Drive, Origin, Stream};
use crate::config::Config;
use crate::log::{LaterGeneration, Log, Progress, Restored, StoredPiece};
use crate::registry::Registry;
use crate::resume::event_id::{IdLine, Token};
use crate::resume::plan::StreamState;
use crate::resume::position::Position;
use crate::time;

impl Stream {
    /// A stream that goes on with what the store has of it.
    fn restored(
        token: Token,
        origin: Origin,
        config: Arc<Config>,
        registry: Arc<Registry>,
        restored: &Restored,
        is_mirror: bool,
    ) -> Self {
        let generation = restored.generations.last().map_or(1, |(number, ..)| *number);
        let line = IdLine::new(&config.marker, &token, generation);
        let exchange = origin.exchange.clone();
        let inner_id = restored.progress.inner_id.clone().unwrap_or_default();
        let state = State::new(Log::restored(line, restored), &inner_id, exchange);
        let (state, runtime) = (Mutex::new(state), time::runtime());
        Self { token, origin, config, registry, is_mirror, runtime, state }
    }

    /// A stream whose producer is elsewhere: a task reads it from the store, from what comes next on.
    pub(crate) fn mirror(
        token: Token,
        origin: Origin,
        config: Arc<Config>,
        registry: Arc<Registry>,
        restored: &Restored,
    ) -> Self {
        let mirror = Self::restored(token, origin, config, registry, restored, true);
        mirror.lock().drive_by_task();
        mirror
    }

    /// A stream that another instance has produced, and this one is to produce from now on: aborted, until an inner body
    /// comes. It lacks its events yet.
    pub(crate) fn inherited(
        token: Token,
        origin: Origin,
        config: Arc<Config>,
        registry: Arc<Registry>,
        restored: &Restored,
    ) -> Arc<Self> {
        let stream = Arc::new(Self::restored(token, origin, config, registry, restored, false));
        stream.with(|state, fx| state.end(Ending::Aborted(None), fx));
        stream
    }

    /// From now on the store is to have a new stream.
    pub(crate) fn begin_storing(&self, commits_first: bool) {
        self.lock().begin_storing(Storing::new(commits_first));
    }

    /// The store has the stream as it is here, with this instance as the producer of `generation`.
    pub(crate) fn inherit(self: &Arc<Self>, commits_first: bool, generation: u32) -> Option<Claim> {
        self.with(|state, fx| {
            let next = state.log.last() + 1;
            state.begin_storing(Storing::claimed(commits_first, next, generation));
            state.claim(self, fx)
        })
    }

    /// Whether clients get only what the store has.
    pub(crate) fn commits_first(&self) -> bool {
        self.lock().commits_first()
    }

    /// Whether somebody may go on with it: it is aborted, and nobody does yet.
    pub(crate) fn is_claimable(&self) -> bool {
        matches!(self.summary().state, StreamState::Aborted { .. })
    }

    /// Whether the store is to have it.
    pub(crate) fn is_stored(&self) -> bool {
        self.lock().is_stored()
    }

    /// Whether the store has to be told that there is the stream.
    pub(crate) fn is_to_be_created(&self) -> bool {
        self.lock().is_to_be_created()
    }

    /// The store has the stream. Returns whether it is to have it still.
    pub(crate) fn created(&self) -> bool {
        self.lock().created()
    }

    /// What the store is to get now: of events about `most` bytes, in pieces of about `piece`.
    pub(crate) fn take_for_store(&self, most: usize, piece: usize) -> Option<ForStore> {
        self.lock().take_for_store(most, piece)
    }

    /// The store has acknowledged all before the event `next`, and the end with `end`. Returns whether there is more for
    /// it.
    pub(crate) fn acknowledged(self: &Arc<Self>, next: u64, end: bool) -> bool {
        self.with(|state, fx| state.acknowledged(next, end, fx))
    }

    /// Whether the store has all that it is to have, and the end of a stream that has ended.
    pub(crate) fn is_all_stored(&self) -> bool {
        self.lock().is_all_stored()
    }

    /// Whether the store has the end.
    pub(crate) fn is_ended_in_store(&self) -> bool {
        self.lock().is_ended_in_store()
    }

    /// The generation that this instance produces, or did, by the store.
    pub(crate) fn generation_in_store(&self) -> Option<u32> {
        self.lock().generation_in_store()
    }

    /// Whether what is here counts for a client at `position`, without the store being asked. What is not live here, or
    /// not in the client's generation, another instance may have gone on with.
    pub(crate) fn decides(&self, position: Position) -> bool {
        let state = self.lock();
        let is_alone = state.is_live() || state.is_to_be_created();
        let is_known = position.generation <= state.log.generation();
        !self.is_mirror && (!state.is_stored() || is_alone && is_known)
    }

    /// Whether it is over, and nobody can have gone on with it elsewhere in a way that counts for a client at `position`.
    pub(crate) fn is_final(&self, position: Position) -> bool {
        let state = self.lock();
        match state.summary().state {
            StreamState::Finished { .. } => {
                let is_known = position.generation <= state.log.generation();
                is_known || state.is_ended_in_store() || state.is_to_be_created()
            }
            StreamState::Aborted { .. } => {
                !self.is_mirror && !self.origin.repeatable && self.origin.exchange.is_none()
            }
            StreamState::Live | StreamState::Purged => false,
        }
    }

    /// Whether it counts though the store does not have it: that has it not yet, or it was complete there.
    pub(crate) fn outlasts_store(&self, position: Position) -> bool {
        self.lock().is_to_be_created() || self.is_final(position)
    }

    /// Whether it is over, with all that the store is to have there.
    pub(crate) fn is_over_in_store(&self) -> bool {
        let state = self.lock();
        !state.is_live() && state.is_all_stored()
    }

    /// The store has this instance as the producer of a new generation.
    pub(crate) fn claimed_in_store(self: &Arc<Self>, generation: u32) {
        self.with(|state, _| state.claimed_in_store(generation));
    }

    /// The store does not have the stream any more: it goes on without. `false`: clients are to get only what that has.
    pub(crate) fn stop_storing(&self) -> bool {
        self.lock().stop_storing()
    }

    /// The event that the store gets next.
    pub(crate) fn stored_next(&self) -> u64 {
        self.lock().stored_next()
    }

    /// The store is to get what comes after its next event, perhaps once more.
    pub(crate) fn take_again_from(&self, next: u64) {
        self.lock().take_again_from(next);
    }

    /// The writer does not know of it any more, and will be told again.
    pub(crate) fn leave_queue(&self) {
        self.lock().leave_queue();
    }

    /// The store is to get all that it has not acknowledged. Returns whether there is anything.
    pub(crate) fn take_all_again(&self) -> bool {
        self.lock().take_all_again()
    }

    /// Somebody else produces the stream: its responses break off, and its inner body is dropped. Returns whether it was
    /// live, or had something that the store lacks.
    pub(crate) fn superseded(self: &Arc<Self>) -> bool {
        self.with(State::superseded)
    }

    /// Breaks off the responses that wait for the store.
    pub(crate) fn break_off_unstored(self: &Arc<Self>) {
        self.with(State::break_off_unstored);
    }

    /// Whether it has ended cleanly.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.summary().state, StreamState::Finished { .. })
    }

    /// Whether a reader can begin before the event `next`: a mirror has what comes from some event on.
    pub(crate) fn reaches(&self, next: u64) -> bool {
        let state = self.lock();
        (state.log.first_retained()..=state.log.last() + 1).contains(&next)
    }

    /// The offset of the event that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.lock().log.last() + 1
    }

    /// What a task that reads the store for its readers is to do now.
    pub(crate) fn follow(self: &Arc<Self>, waker: &Waker) -> Drive {
        self.drive(1, waker, &mut Effects::default())
    }

    /// Adds what the store has next.
    pub(crate) fn restore(self: &Arc<Self>, pieces: Vec<StoredPiece>) {
        self.with(|state, fx| {
            let (rules, keys) = (&self.config.rules, &self.registry.keys);
            for piece in pieces {
                let protected = state.protected(self);
                state.log.restore(piece, rules, keys, protected, Instant::now);
            }
            state.readers.wake_all(&mut fx.wakers);
        });
    }

    /// Takes over the inner service's last ID and the last reconnection time, as the store has them.
    pub(crate) fn take_progress(&self, progress: &Progress) {
        self.lock().log.take_progress(progress);
    }

    /// It is not known which ID of the inner service was in force where it begins.
    pub(crate) fn forget_inner_id(&self) {
        self.lock().log.forget_inner_id();
    }

    /// Notes where the generations begin, unless a new one begins before where it stands: whoever is ahead of what the
    /// store had must not go on in the midst of what came instead, nor be told of a gap there. Returns whether it does.
    pub(crate) fn note_generations(&self, generations: &[LaterGeneration]) -> bool {
        let mut state = self.lock();
        let (known, last) = (state.log.generation(), state.log.last());
        let is_past = |(number, first, _): &LaterGeneration| *number > known && *first <= last;
        let is_overtaken = generations.iter().any(is_past);
        if !is_overtaken {
            state.log.note_generations(generations);
        }
        !is_overtaken
    }

    /// Keeps the connections of those who wait from looking idle.
    pub(crate) fn comment(self: &Arc<Self>) {
        self.with(|state, fx| {
            state.log.comment();
            state.readers.wake_all(&mut fx.wakers);
        });
    }
}
