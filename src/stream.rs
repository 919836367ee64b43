//! One stream of this instance: its log, who reads it, and who drives its inner body.
//!
//! All of it lies behind one short lock. No waker, no observer and no code of an inner body runs under that lock: the
//! inner body is taken out to be polled, and what is to be dropped, woken or told is handed out as [`Effects`].

mod claim;
mod decision;
mod effects;
mod readers;
mod state;
mod stored;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::binding::{Binding, Page};
use crate::config::{Config, EventIds, LimitKind, StartAt};
use crate::driver::{InnerBody, Task};
use crate::error::{ResumeError, ResumeErrorKind};
use crate::exchange::Exchange;
use crate::jitter::jitter;
use crate::log::Log;
use crate::observer::Observation;
use crate::registry::{Account, KeptHeaders, LingerPermit, Registry};
use crate::resume::event_id::{IdLine, Token};
use crate::resume::plan::{Plan, StreamState, plan};
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::time;

pub(crate) use claim::Claim;
pub(crate) use effects::Effects;
pub(crate) use readers::Close;
use state::State;
pub(crate) use state::{
    Change, Drive, Ending, EvictionClass, ForStore, Released, Start, Summary, Turn, standing_time,
};

/// When clients of a drained layer come back, unless a reconnection time is configured.
const DRAIN_RETRY: Duration = Duration::from_secs(1);
/// When a client comes back whose connection was superseded, in milliseconds: it is the same one, as a rule.
const SUPERSEDED_RETRY: u64 = 60_000;

/// Whether an inner body may be read on without a reader: the right to, and until when; else the limit that stands in
/// the way, if that is why.
type Permitted = Result<(LingerPermit, Instant), Option<LimitKind>>;

/// See the [module](self).
pub(crate) struct Stream {
    pub(crate) token: Token,
    pub(crate) origin: Origin,
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Arc<Registry>,
    /// Whether it is read from the store: its producer is elsewhere, or gone.
    pub(crate) is_mirror: bool,
    /// Where its tasks run. Without one, its readers drive the inner body themselves, and there is no linger.
    pub(crate) runtime: Option<Handle>,
    state: Mutex<State>,
}

/// Where a stream comes from: what a request must share with the first one, and what all answers share.
pub(crate) struct Origin {
    pub(crate) binding: Binding,
    /// Whether others may join it, by its binding.
    pub(crate) is_shared: bool,
    /// The last event ID that the inner service was first called with; empty: none. `None`: it is too long to be kept.
    pub(crate) inner_id: Option<Box<[u8]>>,
    /// Whether the inner service may be called again for it.
    pub(crate) repeatable: bool,
    /// The headers that later responses of the stream have, as far as they are for the request.
    pub(crate) headers: Arc<KeptHeaders>,
    /// Where the first request came from: only its like are told what its page may do. `None`: not known.
    pub(crate) page: Option<Page>,
    /// What it answers, if a protocol above event streams is known.
    pub(crate) exchange: Option<Arc<dyn Exchange>>,
}

/// What a reader gets.
pub(crate) enum Step {
    /// Bytes of the event stream.
    Data(Bytes),
    /// Events are missing; the position says from where it goes on.
    Gap(Box<(Gap, Position)>),
    /// The stream has ended, perhaps with trailers.
    End(Option<Box<HeaderMap>>),
    /// The response ends before the stream does.
    Close(Close),
    /// The response breaks off.
    Fail(ResumeError),
}

impl Stream {
    pub(crate) fn new(
        token: Token,
        origin: Origin,
        config: Arc<Config>,
        registry: Arc<Registry>,
        inner_id: &[u8],
    ) -> Self {
        let line = IdLine::new(&config.marker, &token, 1);
        let state = State::new(Log::new(line, inner_id), inner_id, origin.exchange.clone());
        let (state, runtime) = (Mutex::new(state), time::runtime());
        Self { token, origin, config, registry, is_mirror: false, runtime, state }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of ours panics under this lock; if it did, the state would still be usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state under the lock, and does what follows from that after it.
    #[inline]
    fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, &mut Effects) -> T) -> T {
        self.with_effects(&mut Effects::default(), change)
    }

    #[inline]
    fn with_effects<T>(
        self: &Arc<Self>,
        fx: &mut Effects,
        change: impl FnOnce(&mut State, &mut Effects) -> T,
    ) -> T {
        let (result, change, is_for_store) = {
            let mut state = self.lock();
            (change(&mut state, fx), state.take_change(), state.queue_for_store())
        };
        if let Some(change) = change {
            self.registry.changed(self, &change);
        }
        fx.apply(self);
        if is_for_store {
            self.registry.queue_for_store(self);
        }
        result
    }

    /// Asks whether an inner body may be read on without a reader, and until when.
    fn permit_linger(self: &Arc<Self>) -> Permitted {
        let linger = self.config.linger.0.ok_or(None)?;
        // What is drained is handed over to another instance, if there may be one.
        let is_handed_over = self.registry.hands_over() && self.origin.repeatable;
        let possible = self.runtime.is_some()
            && self.config.rules.retention.payload
            && !self.is_mirror
            && !is_handed_over;
        if !possible {
            return Err(None);
        }
        let (owner, limits) = (self.origin.binding.owner, &self.config.limits);
        let permit = self.registry.permit_linger(owner, limits, Arc::downgrade(self))?;
        Ok((permit, Instant::now() + linger))
    }

    // Readers

    /// Adds a reader.
    pub(crate) fn attach(self: &Arc<Self>, start: Start) -> usize {
        self.with(|state, fx| state.attach(start, self, fx))
    }

    /// Removes a reader. `seen` tells whether any of its response was asked for.
    pub(crate) fn detach(self: &Arc<Self>, reader: usize, seen: bool) {
        let permit = || if seen { self.permit_linger() } else { Err(None) };
        let is_left = self.with(|state, fx| {
            state.detach(reader, permit, fx);
            state.readers.is_empty()
        });
        if self.is_mirror && is_left && !self.is_finished() {
            // Whoever comes back has to ask the store.
            self.registry.remove(self);
        }
        self.registry.client_left();
    }

    /// The inner body for a reader that has all there is and drives: the normal case. In all others
    /// [`turn`](Self::turn) tells.
    #[inline]
    pub(crate) fn lend(&self, reader: usize) -> Option<InnerBody> {
        self.lock().lend(reader)
    }

    /// What a reader is to do. If that is to wait, `waker` is woken when it is worth asking again.
    #[inline(never)]
    pub(crate) fn turn(self: &Arc<Self>, reader: usize, waker: &Waker) -> Turn {
        self.with(|state, fx| state.turn(reader, self, waker, fx))
    }

    /// Ends one response, once what is published now was sent.
    pub(crate) fn close(self: &Arc<Self>, reader: usize, how: Close) {
        self.with(|state, _| state.close(reader, how));
    }

    // The inner body

    /// Puts the inner body where its readers drive it.
    pub(crate) fn place(self: &Arc<Self>, body: InnerBody) {
        self.with(|state, fx| state.place(body, fx));
    }

    /// The caller drives the inner body in a task.
    pub(crate) fn drive_by_task(self: &Arc<Self>) {
        self.with(|state, _| state.drive_by_task());
    }

    /// A reader that was lent the inner body gives it back, with what it said. Returns what of that goes straight to
    /// the reader; if nothing does, it is to ask for its turn.
    #[inline]
    pub(crate) fn pass(
        self: &Arc<Self>,
        body: InnerBody,
        data: Bytes,
        reader: usize,
    ) -> Option<Bytes> {
        let mut state = self.lock();
        let Some(piece) = state.pass(&data, reader, self) else {
            drop(state);
            self.give_back(body, data);
            return None;
        };
        state.end_loan(body);
        let change = if state.log.take_resized() { state.take_change() } else { None };
        let is_for_store = state.queue_for_store();
        drop(state);
        if let Some(change) = change {
            self.registry.changed(self, &change);
        }
        if is_for_store {
            self.registry.queue_for_store(self);
        }
        Some(piece)
    }

    #[inline(never)]
    fn give_back(self: &Arc<Self>, body: InnerBody, data: Bytes) {
        self.with(|state, fx| state.give_back(body, data, self, fx));
    }

    /// A reader that was lent the inner body gives it back, which had nothing. Returns what it gets; if there is
    /// nothing, it waits.
    #[inline(never)]
    pub(crate) fn take_back(
        self: &Arc<Self>,
        body: InnerBody,
        reader: usize,
        waker: &Waker,
    ) -> Option<Step> {
        let left = self.lock().take_back(body, reader, waker);
        left.and_then(|body| {
            self.with(|state, fx| state.step_or_wait(body, reader, self, waker, fx))
        })
    }

    /// What the task that drives this inner body, by its number, is to do now.
    pub(crate) fn drive(self: &Arc<Self>, body: u32, waker: &Waker, fx: &mut Effects) -> Drive {
        let now = Instant::now();
        self.with_effects(fx, |state, fx| state.drive(body, self, waker, now, fx))
    }

    /// What the inner body said to the task that drives it. Nobody is woken before [`news`](Self::news).
    pub(crate) fn take_in(self: &Arc<Self>, body: u32, data: Bytes) {
        self.with(|state, fx| {
            if state.is_driven_by(body) {
                state.take_in(data, self, fx);
            }
        });
    }

    /// Wakes the readers that wait.
    pub(crate) fn news(self: &Arc<Self>, fx: &mut Effects) {
        self.with_effects(fx, |state, fx| state.readers.wake_all(&mut fx.wakers));
    }

    /// The inner body is over. Called only when all that it said is in the log.
    #[cold]
    pub(crate) fn end(self: &Arc<Self>, ending: Ending) {
        self.with(|state, fx| state.end(ending, fx));
    }

    /// The same, said by the task that drives this inner body.
    pub(crate) fn end_by_task(self: &Arc<Self>, body: u32, ending: Ending) {
        self.with(|state, fx| {
            if state.is_driven_by(body) {
                state.end(ending, fx);
            }
        });
    }

    // Resuming

    /// What a client gets that comes back with `position`.
    pub(crate) fn plan(&self, position: Position) -> Plan {
        let state = self.lock();
        let mut view = state.view(position, self.origin.repeatable);
        if !self.config.rules.retention.payload && state.log.inner_id_at(position.offset).is_some()
        {
            // The inner service is to send it again.
            view.first = view.first.min(position.offset + 1);
        }
        match plan(&view, position) {
            // There is nothing to replay, and where the stream goes on is known only then.
            Plan::TakeOver { gap, .. } if !self.config.rules.retention.payload => {
                Plan::TakeOver { at_end: true, gap }
            }
            // Nobody is to wait for the end of a body that has said what it was asked for.
            Plan::Replay { gap: false }
                if position.offset == view.last && state.is_answered_by_last() =>
            {
                Plan::End
            }
            plan => plan,
        }
    }

    /// Whether it is looked up by its binding: for the inner service's own IDs only where it is certain whose they are.
    pub(crate) fn is_found_by_binding(&self) -> bool {
        if self.is_mirror {
            return false;
        }
        if self.origin.exchange.is_some() {
            return true;
        }
        let binding = &self.origin.binding;
        let is_somebodys =
            binding.session.is_some() || binding.owner.is_some() || self.origin.is_shared;
        self.config.rules.ids == EventIds::Preserve && is_somebodys
    }

    /// Whether a request without a position can become its reader, or go on with it.
    pub(crate) fn can_be_joined(&self) -> bool {
        self.lock().can_be_joined()
    }

    /// Where a client begins that comes without a position.
    pub(crate) fn start_of(&self, start_at: StartAt) -> Position {
        self.lock().start_of(start_at)
    }

    /// How many events there are after `offset`.
    pub(crate) fn events_after(&self, offset: u64) -> u64 {
        self.lock().log.last().saturating_sub(offset)
    }

    /// The event ID of `position`, with the inner service's ID that was in force there.
    ///
    /// Where that is not known any more it is left out: a later one would hide events after a restart.
    pub(crate) fn id_of(&self, position: Position) -> String {
        let state = self.lock();
        let line = IdLine::new(&self.config.marker, &self.token, position.generation);
        let embeds = self.config.rules.embeds_inner_ids;
        let inner_id = embeds.then(|| state.log.inner_id_at(position.offset)).flatten();
        line.id(position.offset, inner_id.as_deref())
    }

    /// The inner service's own last event ID; empty if it has none.
    pub(crate) fn inner_id(&self) -> Vec<u8> {
        self.lock().log.inner_id().to_vec()
    }

    /// The inner service's own event ID to go on from, for a client at `position`. Where payload is kept, that is the
    /// last one: what comes before it is replayed.
    pub(crate) fn inner_id_to_go_on(&self, position: Position) -> Vec<u8> {
        let state = self.lock();
        let at_position =
            (!self.config.rules.retention.payload).then(|| state.log.inner_id_at(position.offset));
        at_position.flatten().unwrap_or_else(|| state.log.inner_id().to_vec())
    }

    /// What a client at `position` misses if the inner service goes on from the last event in a response of its own.
    /// `is_gone` tells whether events after the position are.
    pub(crate) fn gap_after(&self, position: Position, is_gone: bool) -> Option<Gap> {
        let state = self.lock();
        let (offset, last) = (position.offset, state.log.last());
        let untold = state.log.untold(position.generation, offset + 1).map(|(_, reason)| reason);
        let reason = untold.or_else(|| is_gone.then_some(GapReason::Evicted))?;
        let missed = untold.is_none().then(|| last.saturating_sub(offset));
        Some(Gap { requested: Some(offset), resumed: last, missed, reason })
    }

    /// The position of the event that has this ID of the inner service.
    pub(crate) fn find(&self, inner_id: &[u8]) -> Option<Position> {
        let state = self.lock();
        let offset = state.log.find(inner_id, &self.registry.keys)?;
        Some(Position { generation: state.log.generation_of(offset), offset })
    }

    /// The position just after everything: of the clean end.
    pub(crate) fn end_position(&self) -> Position {
        let state = self.lock();
        Position { generation: state.log.generation() + 1, offset: state.log.last() }
    }

    /// Notes that the end is being sent to a client that has all events.
    pub(crate) fn tell_end(&self) {
        self.lock().tell_end();
    }

    /// Notes that the loss of the rest is being told; returns the position that acknowledges it.
    pub(crate) fn tell_loss(&self) -> Position {
        self.lock().tell_loss()
    }

    /// The event that tells the client that the rest of what it asked for will not come, with the position that
    /// acknowledges it. `None`: it may still come, or an ordinary gap signal is right.
    pub(crate) fn give_up(&self, gap: &Gap) -> Option<(String, Position)> {
        let failure = self.origin.exchange.as_ref()?.failure(gap)?;
        let position = self.lock().give_up_exchange(gap.reason)?;
        Some((failure, position))
    }

    /// The inner service refuses to go on with the exchange. Returns whether its client can be told so by an event.
    pub(crate) fn take_refusal(&self) -> bool {
        let gap = Gap::producer_lost(self.end_position().offset);
        let exchange = self.origin.exchange.as_ref();
        let can_tell = exchange.is_some_and(|exchange| exchange.failure(&gap).is_some());
        if can_tell {
            self.lock().refuse_exchange();
        }
        can_tell
    }

    /// Whether the inner body is still read.
    pub(crate) fn is_live(&self) -> bool {
        self.summary().state == StreamState::Live
    }

    /// Lets go of the inner body if nobody reads. `None`: there was none to let go of.
    pub(crate) fn release_unread(self: &Arc<Self>) -> Option<Released> {
        self.with(State::release_unread)
    }

    /// The task that drove this inner body has dropped it.
    pub(crate) fn has_let_go(self: &Arc<Self>, body: u32) {
        self.with(|state, _| state.has_let_go(body));
    }

    /// Ends all other responses of the stream than that of `reader`: the newest connection wins.
    pub(crate) fn supersede(self: &Arc<Self>, reader: usize) {
        self.with(|state, fx| state.supersede(reader, Close::Clean(Some(SUPERSEDED_RETRY)), fx));
    }

    /// Whether somebody goes on with the stream, and it has nothing after `position` before that is decided.
    pub(crate) fn waits_for_takeover(&self, position: Position) -> bool {
        let state = self.lock();
        let has_payload = self.config.rules.retention.payload;
        state.is_undecided() && (!has_payload || state.log.last() == position.offset)
    }

    /// Whether somebody goes on with the stream, and `position` says that its loss was told: then it is known only
    /// later whether that is where the next generation begins, or the end.
    pub(crate) fn waits_for_loss(&self, position: Position) -> bool {
        self.lock().waits_for_loss(position)
    }

    /// Whether a takeover is claimed.
    pub(crate) fn is_undecided(&self) -> bool {
        self.lock().is_undecided()
    }

    /// Goes on under the next generation, with an inner body that the caller drives or [places](Self::place). The inner
    /// service was called for a client at `position`, under the claim of this number.
    fn adopt(self: &Arc<Self>, claim: u32, body: InnerBody, position: Position) -> Option<Task> {
        self.with(|state, fx| {
            // It may have been purged meanwhile.
            if !state.is_claimed_by(claim) {
                return None;
            }
            let now = Instant::now();
            let has_payload = self.config.rules.retention.payload;
            let rewinds = !has_payload
                && state.log.last() != position.offset
                && state.log.rewind(position.offset, now);
            state.leave_behind(rewinds.then_some(position.offset + 1), has_payload);
            let seam = state.log.seam(&self.registry.keys);
            let gap = seam.is_none().then_some(GapReason::ProducerLost);
            let generation = state.next_generation();
            let line = IdLine::new(&self.config.marker, &self.token, generation);
            state.log.begin_generation(generation, line, gap, seam, now);
            state.adopted(fx);
            state.follow_all(self);
            state.adopted_by_nobody(|| self.permit_linger(), fx);
            fx.observations.push(Observation::TakenOver);
            Some(Task::new(self, body, state.body()))
        })
    }

    // Operators, handlers, time

    /// How a response ends when the layer is drained: its client is to come back, but not at once with all others.
    pub(crate) fn drained(&self) -> Close {
        let retry = jitter(self.config.retry.unwrap_or(DRAIN_RETRY), self.config.jitter);
        let retry = Some(retry.as_millis() as u64);
        if self.config.clean_close {
            Close::Clean(retry)
        } else {
            Close::Broken(ResumeErrorKind::Drained, retry)
        }
    }

    /// Ends all responses of the stream, once what is published now was sent. The inner body is not touched.
    pub(crate) fn close_all(self: &Arc<Self>, how: impl Fn() -> Close) {
        self.with(|state, fx| state.close_all(how, fx));
    }

    /// Ends the stream and forgets all of it.
    pub(crate) fn purge(self: &Arc<Self>) {
        self.with(State::purge);
    }

    /// How many responses read it now.
    pub(crate) fn readers(&self) -> usize {
        self.lock().readers.len()
    }

    /// What an operator sees of it.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = self.lock().summary();
        if !self.config.rules.retention.payload {
            summary.events = summary.events.never_recorded();
        }
        summary
    }

    /// In which order it is evicted.
    pub(crate) fn eviction_class(&self) -> EvictionClass {
        self.lock().eviction_class()
    }

    /// What it holds is put on this account from now on. Returns where it is in the order of eviction, and what it
    /// holds.
    pub(crate) fn enter(&self, account: &Arc<Account>) -> (EvictionClass, usize) {
        self.lock().enter(account)
    }

    /// It is on no account any more. Returns what it held on one.
    pub(crate) fn leave(&self) -> usize {
        self.lock().leave()
    }

    /// Does what time brings. Returns whether the stream is over and can be forgotten.
    pub(crate) fn sweep(self: &Arc<Self>, now: Instant) -> bool {
        self.with(|state, fx| state.sweep(self, now, fx))
    }

    /// Gives up the oldest events that nobody has still to read. Returns whether there were any.
    pub(crate) fn give_up_oldest(self: &Arc<Self>) -> bool {
        self.with(|state, _| state.give_up_oldest(self))
    }

    pub(crate) fn observe(&self, observation: Observation) {
        self.config.observer.tell(observation);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.registry.shrink(state.accounted());
    }
}
