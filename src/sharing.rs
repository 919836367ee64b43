//! One inner response for many requests: who leads, and who joins.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use http::Response;
use http_body::Body;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::answer;
use crate::binding::Binding;
use crate::body::ResumeBody;
use crate::config::Linger;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::jitter::FOR_EVER;
use crate::registry::{LingerPermit, Registry};
use crate::resume::event_id::Token;
use crate::stream::{Stream, standing_time};
use crate::time::{self, Timer};
use crate::wrap::Wrap;

/// The shared streams of a layer, by what requests must have in common.
#[derive(Default)]
pub(crate) struct Sharing(Mutex<HashMap<Binding, Shared>>);

enum Shared {
    Starting(Starting),
    Running(Token),
}

/// The inner service is being called for a stream that others wait for.
struct Starting {
    /// Who leads: the lead of this number.
    number: u32,
    start: watch::Sender<Start>,
    /// Until when that lead stands if others wait.
    until: Instant,
    /// Tells the leader by being dropped that it leads no more.
    stands: oneshot::Sender<()>,
    /// Closes when its call is dropped.
    gone: oneshot::Receiver<()>,
}

/// How the call of a leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Undecided,
    Running,
    Failed,
}

/// What a request for a shared stream is to do.
pub(crate) enum Join {
    /// Call the inner service for all.
    Lead(Lead),
    /// Wait for somebody who does.
    Wait(Waiting),
    /// Read a stream that is there.
    Stream(Arc<Stream>),
}

/// The duty to call the inner service for all who wait. Dropped without a stream, they call by themselves.
///
/// It stands for the linger; then it passes to the first who waits for it, and its call is dropped.
pub(crate) struct Lead {
    registry: Arc<Registry>,
    binding: Binding,
    number: u32,
    /// Closes when it has passed on.
    passed: oneshot::Receiver<()>,
    /// Closes when the call of the lead before is dropped.
    former: Option<oneshot::Receiver<()>>,
    /// Says by being dropped that this one's call is.
    _gone: oneshot::Sender<()>,
}

/// See [`Join::Wait`].
pub(crate) struct Waiting {
    start: watch::Receiver<Start>,
    until: Instant,
}

impl Waiting {
    /// Waits until there is a stream to join, or a lead to be had. `false`: the call led to no event stream.
    pub(crate) async fn decided(mut self) -> bool {
        let decided = self.start.wait_for(|start| *start != Start::Undecided);
        let decided = time::until(time::runtime().as_ref(), self.until, decided).await;
        !matches!(decided, Some(Ok(start)) if *start == Start::Failed)
    }
}

impl Sharing {
    fn lock(&self) -> MutexGuard<'_, HashMap<Binding, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a stream, so that the next request leads.
    pub(crate) fn forget(&self, stream: &Stream) {
        let mut streams = self.lock();
        if let Some(Shared::Running(token)) = streams.get(&stream.origin.binding) {
            if *token == stream.token {
                streams.remove(&stream.origin.binding);
            }
        }
    }
}

/// Decides what a request does that shares by `binding`. A lead stands for so long before it is passed on; twice as long
/// each time, lest a service that takes its time is asked for ever.
pub(crate) fn join(registry: &Arc<Registry>, binding: Binding, linger: Linger) -> Join {
    let now = Instant::now();
    let mut streams = registry.sharing.lock();
    let (number, start, former) = match streams.remove(&binding) {
        None => (0, watch::channel(Start::Undecided).0, None),
        Some(Shared::Starting(starting)) if starting.until > now => {
            let waiting = Waiting { start: starting.start.subscribe(), until: starting.until };
            streams.insert(binding, Shared::Starting(starting));
            return Join::Wait(waiting);
        }
        Some(Shared::Starting(Starting { number, start, stands, gone, .. })) => {
            (number + 1, start, Some((stands, gone)))
        }
        Some(Shared::Running(token)) => {
            if let Some(stream) = registry.get(&token).filter(|stream| stream.can_be_joined()) {
                streams.insert(binding, Shared::Running(token));
                return Join::Stream(stream);
            }
            (0, watch::channel(Start::Undecided).0, None)
        }
    };
    let ((stands, passed), (is_there, gone)) = (oneshot::channel(), oneshot::channel());
    let until = now + standing_time(linger, number);
    let starting = Starting { number, start, until, stands, gone };
    streams.insert(binding, Shared::Starting(starting));
    drop(streams);
    let former = former.map(|(stands, gone)| {
        drop(stands);
        gone
    });
    let registry = Arc::clone(registry);
    Join::Lead(Lead { registry, binding, number, passed, former, _gone: is_there })
}

/// The stream that a leader joins whose lead has passed on, once it is there.
async fn joined(registry: &Arc<Registry>, binding: &Binding) -> Option<Arc<Stream>> {
    loop {
        let mut start = match registry.sharing.lock().get(binding)? {
            Shared::Starting(starting) => starting.start.subscribe(),
            Shared::Running(token) => return registry.get(token),
        };
        let decided = start.wait_for(|start| *start != Start::Undecided).await;
        if decided.is_ok_and(|start| *start == Start::Failed) {
            return None;
        }
    }
}

impl Lead {
    /// Whether the call of the lead before is dropped.
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

    /// Takes the place in the table away from this lead, if it still has it.
    fn take(&self, streams: &mut HashMap<Binding, Shared>) -> Option<Starting> {
        match streams.remove(&self.binding) {
            Some(Shared::Starting(starting)) if starting.number == self.number => Some(starting),
            other => {
                other.map(|other| streams.insert(self.binding, other));
                None
            }
        }
    }

    /// The inner service has answered: from now on the lead is not passed on. `false`: it was.
    fn is_answered(&self) -> bool {
        let mut streams = self.registry.sharing.lock();
        let Some(starting) = self.take(&mut streams) else { return false };
        let until = starting.until + FOR_EVER;
        streams.insert(self.binding, Shared::Starting(Starting { until, ..starting }));
        true
    }

    fn running(self, stream: &Stream) {
        let mut streams = self.registry.sharing.lock();
        let Some(starting) = self.take(&mut streams) else { return };
        streams.insert(self.binding, Shared::Running(stream.token));
        drop(streams);
        starting.start.send_replace(Start::Running);
    }

    /// Leaves the lead to the first who waits for it.
    fn leave(self) {
        let starting = self.take(&mut self.registry.sharing.lock());
        drop(starting);
    }

    /// Waits for a call, as long as this lead stands, and somebody may want what it leads to: `leader` is open, or was
    /// not so long ago.
    async fn hold<T, R>(
        &mut self,
        call: impl Future<Output = T>,
        leader: &mut oneshot::Sender<R>,
        permit: impl Fn() -> Option<(LingerPermit, Timer)>,
    ) -> Held<T> {
        let (mut call, mut lingering) = (pin!(call), None);
        poll_fn(|cx| {
            if Pin::new(&mut self.passed).poll(cx).is_ready() {
                return Poll::Ready(Held::Passed);
            }
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(Held::Answered(answer));
            }
            if lingering.is_none() && leader.poll_closed(cx).is_ready() {
                lingering = permit();
                if lingering.is_none() {
                    return Poll::Ready(Held::Left);
                }
            }
            match lingering.as_mut().and_then(|(_, timer)| timer.poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Held::Left),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

/// What came of a leader's call.
enum Held<T> {
    Answered(T),
    /// The lead has passed on.
    Passed,
    /// The leader has left, and nobody waits for it any more.
    Left,
}

impl Drop for Lead {
    fn drop(&mut self) {
        let starting = self.take(&mut self.registry.sharing.lock());
        if let Some(starting) = starting {
            starting.start.send_replace(Start::Failed);
        }
    }
}

/// What the leader itself gets.
enum Answer<B, E> {
    Response(Result<Response<ResumeBody<B>>, E>),
    /// The lead has passed on: it joins the others.
    Joins(Box<Wrap>),
}

/// Answers the leader with what `call` answers, in a task, so that the leader may leave.
pub(crate) fn lead<F, B, E>(
    runtime: &Handle,
    call: F,
    wrap: Wrap,
    mut lead: Lead,
) -> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    E: Send + 'static,
{
    let (mut decided, decision) = oneshot::channel();
    let (registry, binding, of_timer) = (Arc::clone(&lead.registry), lead.binding, runtime.clone());
    runtime.spawn(async move {
        let permit = || wrap.permit_linger(&of_timer);
        let response = match lead.hold(call, &mut decided, permit).await {
            Held::Answered(Ok(response)) if lead.is_answered() => response,
            Held::Answered(Err(error)) => {
                return drop(decided.send(Answer::Response(Err(error))));
            }
            Held::Answered(Ok(_)) | Held::Passed => {
                return drop(decided.send(Answer::Joins(Box::new(wrap))));
            }
            Held::Left => return lead.leave(),
        };
        let (response, driven) = if wrap.commits_first() {
            wrap.stored_shared_response(response).await
        } else {
            wrap.shared_response(response)
        };
        if let Some(task) = &driven {
            lead.running(task.stream());
        }
        // Without the leader, its reader is dropped with the response, and the stream lingers.
        drop(decided.send(Answer::Response(Ok(response))));
        if let Some(task) = driven {
            task.drive().await;
        }
    });
    ResponseFuture::boxed(Box::pin(async move {
        match decision.await {
            Ok(Answer::Response(response)) => response,
            Ok(Answer::Joins(wrap)) => Ok(match joined(&registry, &binding).await {
                Some(stream) => wrap.joined(&stream),
                None => answer::unavailable(),
            }),
            // The inner service panicked in its task.
            Err(_) => Ok(answer::failed()),
        }
    }))
}
