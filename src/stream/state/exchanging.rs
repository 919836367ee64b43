//! What a stream knows of the exchange that it answers: whether that can go on, and whether it was given up.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Ending, Phase, State};
use crate::exchange::Exchange;
use crate::resume::GapReason;
use crate::resume::event_id::can_be_sent;
use crate::resume::position::Position;

/// Kept only for streams that answer an exchange.
pub(super) struct Exchanging {
    exchange: Arc<dyn Exchange>,
    /// The last event ID that the running inner body was asked for with.
    asked_from: Vec<u8>,
    /// Whether the last inner body brought nothing.
    is_stuck: bool,
    /// Whether the inner service will not go on.
    is_refused: bool,
    /// The position under which the client was told that the rest will not come.
    lost_at: Option<Position>,
    /// Dropped once the task that drives the inner body of this number has let go of it.
    released: Option<(u32, oneshot::Sender<()>)>,
}

impl Exchanging {
    pub(super) fn new(exchange: Arc<dyn Exchange>, inner_id: &[u8]) -> Self {
        Self {
            exchange,
            asked_from: inner_id.to_vec(),
            is_stuck: false,
            is_refused: false,
            lost_at: None,
            released: None,
        }
    }
}

impl Exchanging {
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.asked_from.capacity() + self.exchange.heap_bytes()
    }
}

impl State {
    /// How an inner body ended, in the eyes of the exchange that it answers.
    pub(super) fn judge(&self, ending: Ending) -> Ending {
        let Some(exchanging) = &self.exchanging else { return ending };
        // What is not retained cannot be judged: an oversize frame may well be the answer.
        let has_last = self.log.last() == 0 || self.log.has_last();
        let frames = || self.log.frames().collect::<Vec<_>>();
        let is_answered = has_last.then(|| exchanging.exchange.is_answered(&frames())).flatten();
        match (ending, is_answered) {
            (Ending::Finished(_), Some(false)) => Ending::Suspended,
            (Ending::Aborted(_), Some(true)) => Ending::Finished(None),
            (ending, _) => ending,
        }
    }

    /// Whether the last event answers the exchange: nothing that counts still comes, though the inner body goes on.
    pub(in crate::stream) fn is_answered_by_last(&self) -> bool {
        let Some(exchanging) = &self.exchanging else { return false };
        let answers = |frame| exchanging.exchange.is_answered(&[frame]) == Some(true);
        matches!(self.phase, Phase::Live) && self.log.frames().last().is_some_and(answers)
    }

    /// Is told when the task that drives the inner body has let go of it.
    pub(super) fn await_release(&mut self) -> Option<oneshot::Receiver<()>> {
        let body = self.bodies;
        let exchanging = self.exchanging.as_mut()?;
        let (sender, receiver) = oneshot::channel();
        exchanging.released = Some((body, sender));
        Some(receiver)
    }

    /// The task of this inner body has let go of it.
    pub(in crate::stream) fn has_let_go(&mut self, body: u32) {
        if let Some(exchanging) = &mut self.exchanging {
            exchanging.released.take_if(|(of, _)| *of == body);
        }
    }

    /// Notes whether the inner body that has just ended brought anything.
    pub(super) fn end_exchange(&mut self) {
        let Some(exchanging) = &mut self.exchanging else { return };
        let first = self.log.first_of(self.log.generation()).unwrap_or(1);
        exchanging.is_stuck =
            self.log.last() < first && self.log.inner_id() == exchanging.asked_from;
    }

    /// The inner service is asked to go on from its own last event ID.
    pub(super) fn go_on_exchange(&mut self) {
        if let Some(exchanging) = &mut self.exchanging {
            exchanging.asked_from = self.log.inner_id().to_vec();
        }
    }

    /// The inner service will not go on with what it answered.
    pub(in crate::stream) fn refuse_exchange(&mut self) {
        if let Some(exchanging) = &mut self.exchanging {
            exchanging.is_refused = true;
        }
    }

    /// Whether the inner service may be asked to go on with what it answered: it must be able to know where it was, and
    /// it must not have been asked in vain.
    pub(in crate::stream) fn exchange_can_go_on(&self) -> bool {
        let can = |exchanging: &Exchanging| {
            !exchanging.is_stuck && !exchanging.is_refused && exchanging.lost_at.is_none()
        };
        self.exchanging.as_deref().is_some_and(can) && can_be_sent(self.log.inner_id())
    }

    /// The position under which the client was told that the rest will not come.
    pub(super) fn exchange_lost_at(&self) -> Option<Position> {
        self.exchanging.as_ref()?.lost_at
    }

    /// Gives the exchange up for what is missing. `None`: what counts of it is there, or may still come.
    pub(in crate::stream) fn give_up_exchange(&mut self, reason: GapReason) -> Option<Position> {
        let may_come = match &self.phase {
            Phase::Live => reason == GapReason::Oversize,
            Phase::Finished(_) => self.log.has_last(),
            Phase::Suspended | Phase::Aborted(_) => self.exchange_can_go_on(),
            Phase::Purged => true,
        };
        if may_come {
            return None;
        }
        let position = Position { generation: self.log.generation() + 1, offset: self.log.last() };
        Some(*self.exchanging.as_mut()?.lost_at.get_or_insert(position))
    }
}
