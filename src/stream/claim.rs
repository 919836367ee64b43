//! The right, and the duty, to call the inner service for a stream's next inner body.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::decision::Decision;
use super::{Drive, Effects, Stream};
use crate::driver::{InnerBody, Task};
use crate::resume::position::Position;
use crate::time::{self, Timer};

/// A claim on an aborted stream. If it is dropped before it has led to a new inner body, the stream is aborted again,
/// unless somebody else has the claim by then.
pub(crate) struct Claim {
    stream: Arc<Stream>,
    number: u32,
    /// Closes when the call of the claim before is dropped.
    former: Option<oneshot::Receiver<()>>,
    /// Says by being dropped that this one's call is.
    _gone: oneshot::Sender<()>,
}

/// How a claimed takeover stands, for a request that waits for it.
pub(in crate::stream) enum Standing {
    /// Nobody has claimed it.
    Decided,
    /// The request has it now.
    Passed(Claim),
    /// Somebody else has it, perhaps only until then.
    Claimed(Decision, Option<Instant>),
}

impl Claim {
    /// `former` is what the claim before has left.
    pub(super) fn new(
        stream: &Arc<Stream>,
        number: u32,
        former: Option<oneshot::Receiver<()>>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (gone, is_gone) = oneshot::channel();
        (Self { stream: Arc::clone(stream), number, former, _gone: gone }, is_gone)
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Whether the call of the claim before is dropped: the inner service is never called twice at once.
    pub(crate) fn is_alone(&mut self) -> bool {
        let is_open = |former: &mut oneshot::Receiver<()>| {
            matches!(former.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        };
        !self.former.as_mut().is_some_and(is_open)
    }

    /// Waits until that is so.
    pub(crate) async fn alone(&mut self) {
        if let Some(former) = self.former.take() {
            // Nothing is ever sent: it closes.
            let _ = former.await;
        }
    }

    /// Waits for a call, as long as this claim stands: `None` if it was passed on, or its stream is over.
    ///
    /// While there is a reader, it stands for the linger, and then until somebody waits for it; without one, as long as an
    /// inner body would linger.
    pub(crate) async fn hold<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        self.stream.with(|state, fx| state.begin_call(self.number, &self.stream.config, fx));
        let (mut call, mut timer) = (pin!(call), None);
        poll_fn(|cx| {
            if self.poll_over(&mut timer, cx).is_ready() {
                return Poll::Ready(None);
            }
            call.as_mut().poll(cx).map(Some)
        })
        .await
    }

    fn poll_over(&self, timer: &mut Option<(Instant, Timer)>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = match self.stand(cx.waker()) {
                Drive::Stop => return Poll::Ready(()),
                Drive::Pause(until) | Drive::Poll(until) => until,
                Drive::Yield => None,
            };
            let Some((until, runtime)) = until.zip(self.stream.runtime.as_ref()) else {
                return Poll::Pending;
            };
            if timer.as_ref().is_none_or(|(at, _)| *at != until) {
                *timer = Some((until, Timer::at(runtime, until)));
            }
            match timer.as_mut().and_then(|(_, timer)| timer.poll(cx)) {
                Some(Poll::Ready(())) => {}
                _ => return Poll::Pending,
            }
        }
    }

    fn stand(&self, waker: &Waker) -> Drive {
        let now = Instant::now();
        self.stream.with(|state, fx| state.stand(self.number, waker, now, fx))
    }

    /// Goes on under the next generation with this inner body, asked for on behalf of a client at `position`. `None`: the
    /// claim was passed on, or the stream is over.
    pub(crate) fn adopt(&self, body: InnerBody, position: Position) -> Option<Task> {
        self.stream.adopt(self.number, body, position)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let number = self.number;
        self.stream.with(|state, fx: &mut Effects| state.release_claim(number, fx));
    }
}

impl Stream {
    /// Claims the takeover of an aborted stream. `None`: somebody else has, or it is not aborted any more.
    pub(crate) fn claim(self: &Arc<Self>) -> Option<Claim> {
        self.with(|state, fx| state.claim(self, fx))
    }

    /// Waits until no takeover is claimed, or its call begins. With `may_claim` the claim itself may be had instead, if it is passed on: one of
    /// all who wait gets it.
    pub(crate) async fn claim_decided(self: &Arc<Self>, may_claim: bool) -> Option<Claim> {
        loop {
            let now = may_claim.then(Instant::now);
            let (decision, until) = match self.with(|state, fx| state.standing(self, now, fx)) {
                Standing::Decided => return None,
                Standing::Passed(claim) => return Some(claim),
                Standing::Claimed(decision, until) => (decision, until),
            };
            let Some(until) = until.filter(|_| may_claim) else {
                decision.made().await;
                return None;
            };
            // Somebody may have claimed it anew by then: it is to be looked at anew, too.
            if time::until(self.runtime.as_ref(), until, decision.made()).await.is_some() {
                return None;
            }
        }
    }

    /// Whether the claim would be passed on to a request that waited for it.
    pub(crate) fn has_overdue_claim(&self) -> bool {
        self.lock().has_overdue_claim(Instant::now())
    }

    /// Whether the inner service may be called again for it.
    pub(crate) fn can_go_on(&self) -> bool {
        self.origin.repeatable || self.lock().exchange_can_go_on()
    }
}
