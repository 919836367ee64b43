//! What a stream's lock protects.

mod driving;
mod exchanging;
mod keeping;
mod reading;
mod storing;
mod takeover;

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Step;
use super::readers::Readers;
use crate::config::StartAt;
use crate::driver::InnerBody;
use crate::error::{BoxError, ResumeError, ResumeErrorKind};
use crate::exchange::Exchange;
use crate::log::{Cursor, EventCounts, Log};
use crate::registry::{Account, LingerPermit};
use crate::resume::plan::{StreamState, View};
use crate::resume::position::Position;

use exchanging::Exchanging;
pub(crate) use storing::ForStore;
pub(super) use storing::Storing;
pub(super) use takeover::Claimed;
pub(crate) use takeover::standing_time;

pub(super) struct State {
    pub(super) log: Log,
    pub(super) readers: Readers,
    producer: Producer,
    phase: Phase,
    /// What the inner body said and the log has had no room for. Let go of with that body: what goes on with the stream
    /// says it again, or clients are told that it is lost.
    rest: Bytes,
    /// The waker of the task that drives the inner body.
    driver: Option<Waker>,
    /// Whether that task holds the inner body back.
    paused: bool,
    lingering: Option<Box<Lingering>>,
    exchanging: Option<Box<Exchanging>>,
    /// `None`: no store is to have it.
    storing: Option<Box<Storing>>,
    /// Readers get the events before this one.
    visible: u64,
    /// How many claims there were: who had an earlier one has no say.
    claims: u32,
    /// Closes when the call of the last claim is dropped.
    last_call: Option<oneshot::Receiver<()>>,
    /// How many inner bodies there were, with the running one: who drives an earlier one has no say.
    bodies: u32,
    /// How often the reconnection time has changed.
    retry_changes: u32,
    /// Where the last reader stood when it left.
    left: Cursor,
    end_told: bool,
    loss_told: bool,
    ended_at: Option<Instant>,
    /// What the registry was told of this stream's memory.
    accounted: usize,
    /// Where the registry has it, if it does.
    registered: Option<Registered>,
}

/// A stream that the registry has.
struct Registered {
    account: Arc<Account>,
    /// The class that it was told of.
    class: EvictionClass,
}

/// What the registry has to be told of.
pub(crate) struct Change {
    /// How many bytes more the stream holds.
    pub(crate) growth: isize,
    /// On whose account, if it is on one.
    pub(crate) account: Option<Arc<Account>>,
    /// Whether it has another place in the order of eviction.
    pub(crate) is_moved: bool,
}

/// Who polls the inner body.
enum Producer {
    /// Nobody: there is none.
    None,
    /// The readers do.
    Inline(InnerBody),
    /// A reader has taken it out to poll it. A task is to have it afterwards if a second reader came in between.
    Lent { to: usize, to_task: bool },
    /// A task does.
    Task,
    /// The inner service is being called for the next one.
    Claimed(Box<Claimed>),
}

/// Whether the inner body goes on.
enum Phase {
    Live,
    Finished(Option<Box<HeaderMap>>),
    /// The inner body ended cleanly, but what it answers is not whole.
    Suspended,
    Aborted(Option<Arc<BoxError>>),
    Purged,
}

/// An inner body that is read on without a reader.
struct Lingering {
    until: Instant,
    _permit: LingerPermit,
    /// Whether the inner body was held back meanwhile.
    was_held_back: bool,
}

/// How an inner body ended.
pub(crate) enum Ending {
    /// Cleanly, perhaps with trailers.
    Finished(Option<Box<HeaderMap>>),
    /// Cleanly, before what it answers is whole.
    Suspended,
    /// With an error of its own, or because it was dropped.
    Aborted(Option<BoxError>),
}

/// What an operator sees of a stream.
pub(crate) struct Summary {
    pub(crate) state: StreamState,
    pub(crate) clients: usize,
    pub(crate) events: EventCounts,
    pub(crate) bytes: usize,
}

/// In which order streams are evicted: the first of these first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EvictionClass {
    Finished,
    Aborted,
    /// Live, without a reader.
    Unread,
    /// With a reader: it keeps its place, but gives up its oldest events.
    Read,
}

/// What a reader is to do.
pub(crate) enum Turn {
    Step(Step),
    Wait,
    /// Poll the inner body, and give it back.
    Drive(InnerBody),
}

/// An inner body that was let go of: a task may still hold it.
#[must_use]
pub(crate) struct Released(Option<oneshot::Receiver<()>>);

impl Released {
    /// Waits until the inner body is dropped.
    pub(crate) async fn wait(self) {
        if let Some(released) = self.0 {
            // Its other end says nothing: it is dropped.
            let _ = released.await;
        }
    }
}

/// What the task that drives the inner body is to do.
pub(crate) enum Drive {
    /// Poll it; if it has nothing, wait until then at the latest.
    Poll(Option<Instant>),
    /// Let the readers have what there is, and ask again.
    Yield,
    /// Wait until it is woken, or until then at the latest.
    Pause(Option<Instant>),
    /// Drop it.
    Stop,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) next: u64,
    /// The generation up to which the client knows of gaps.
    pub(crate) told: u32,
    pub(crate) retry_due: bool,
}

impl Producer {
    fn into_decided(self) -> Option<Box<Claimed>> {
        match self {
            Self::Claimed(claimed) => Some(claimed),
            _ => None,
        }
    }
}

impl Phase {
    fn into_error(self) -> Option<Arc<BoxError>> {
        match self {
            Self::Aborted(error) => error,
            _ => None,
        }
    }
}

impl State {
    pub(super) fn new(log: Log, inner_id: &[u8], exchange: Option<Arc<dyn Exchange>>) -> Self {
        Self {
            log,
            readers: Readers::default(),
            producer: Producer::None,
            phase: Phase::Live,
            rest: Bytes::new(),
            driver: None,
            paused: false,
            lingering: None,
            exchanging: exchange.map(|exchange| Box::new(Exchanging::new(exchange, inner_id))),
            storing: None,
            visible: u64::MAX,
            claims: 0,
            last_call: None,
            bodies: 1,
            retry_changes: 0,
            left: Cursor::before(1, 0),
            end_told: false,
            loss_told: false,
            ended_at: None,
            accounted: 0,
            registered: None,
        }
    }

    /// Whether the inner body is read, or about to be.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    fn stream_state(&self, repeatable: bool) -> StreamState {
        match &self.phase {
            Phase::Live => StreamState::Live,
            Phase::Finished(_) => StreamState::Finished { end_told: self.end_told },
            Phase::Suspended | Phase::Aborted(_) => {
                let repeatable = repeatable || self.exchange_can_go_on();
                // Where nobody can go on, another instance may have told so.
                let loss_told = self.loss_told || !repeatable && self.is_stored();
                StreamState::Aborted { repeatable, loss_told }
            }
            Phase::Purged => StreamState::Purged,
        }
    }

    pub(super) fn view(&self, position: Position, repeatable: bool) -> View {
        View {
            state: self.stream_state(repeatable),
            generation: self.log.generation(),
            last: self.log.last(),
            first: self.log.complete_from(),
            first_of_its: self.log.first_of(position.generation),
            first_of_next: self.log.first_after(position.generation),
            lost_at: self.exchange_lost_at(),
        }
    }

    /// Whether a request without a position can become a reader, or go on with the stream.
    pub(super) fn can_be_joined(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Suspended | Phase::Aborted(_))
    }

    /// The position that a client begins after that comes without one.
    pub(super) fn start_of(&self, start_at: StartAt) -> Position {
        let (first, last) = (self.log.first_retained(), self.log.last());
        let offset = match start_at {
            StartAt::Live => last,
            StartAt::Earliest => first - 1,
            StartAt::Last(events) => last.saturating_sub(events).max(first - 1),
        };
        Position { generation: self.log.generation_of(offset.max(1)), offset }
    }
}

fn fail(kind: ResumeErrorKind) -> Step {
    Step::Fail(ResumeError::new(kind))
}
