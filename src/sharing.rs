//! One inner response for many requests: who leads, and who joins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Response;
use http_body::Body;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::answer;
use crate::binding::Binding;
use crate::body::ResumeBody;
use crate::driver;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::registry::Registry;
use crate::resume::event_id::Token;
use crate::stream::Stream;
use crate::wrap::Wrap;

/// The shared streams of a layer, by what requests must have in common.
#[derive(Default)]
pub(crate) struct Sharing(Mutex<HashMap<Binding, Shared>>);

enum Shared {
    /// The inner service is being called; these wait to hear whether it answers with an event stream.
    Starting(watch::Receiver<Start>),
    Running(Token),
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
pub(crate) struct Lead {
    registry: Arc<Registry>,
    binding: Binding,
    start: watch::Sender<Start>,
}

/// See [`Join::Wait`].
pub(crate) struct Waiting(watch::Receiver<Start>);

impl Waiting {
    /// Whether there is a stream to join.
    pub(crate) async fn decided(mut self) -> bool {
        let decided = self.0.wait_for(|start| *start != Start::Undecided).await;
        decided.is_ok_and(|start| *start == Start::Running)
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

/// Decides what a request does that shares by `binding`.
pub(crate) fn join(registry: &Arc<Registry>, binding: Binding) -> Join {
    let (start, started) = watch::channel(Start::Undecided);
    match registry.sharing.lock().entry(binding) {
        Entry::Vacant(free) => {
            free.insert(Shared::Starting(started));
        }
        Entry::Occupied(mut taken) => match taken.get() {
            Shared::Starting(starting) => return Join::Wait(Waiting(starting.clone())),
            Shared::Running(token) => {
                if let Some(stream) = registry.get(token).filter(|stream| stream.can_be_joined()) {
                    return Join::Stream(stream);
                }
                taken.insert(Shared::Starting(started));
            }
        },
    }
    Join::Lead(Lead { registry: Arc::clone(registry), binding, start })
}

impl Lead {
    fn running(self, stream: &Stream) {
        self.registry.sharing.lock().insert(self.binding, Shared::Running(stream.token));
        self.start.send_replace(Start::Running);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if *self.start.borrow() == Start::Undecided {
            self.registry.sharing.lock().remove(&self.binding);
            self.start.send_replace(Start::Failed);
        }
    }
}

/// Answers the leader with what `call` answers, in a task, so that the leader may leave.
pub(crate) fn lead<F, B, E>(
    runtime: &Handle,
    call: F,
    wrap: Wrap,
    lead: Lead,
) -> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    E: Send + 'static,
{
    let (decided, decision) = oneshot::channel();
    runtime.spawn(async move {
        let response = match call.await {
            Ok(response) => response,
            Err(error) => return drop(decided.send(Err(error))),
        };
        let (response, driven) = if wrap.commits_first() {
            wrap.stored_shared_response(response).await
        } else {
            wrap.shared_response(response)
        };
        match driven {
            None => drop(decided.send(Ok(response))),
            Some((stream, body)) => {
                lead.running(&stream);
                // Without the leader, its reader is dropped with the response, and the stream lingers.
                drop(decided.send(Ok(response)));
                driver::drive(stream, body, 1).await;
            }
        }
    });
    ResponseFuture::boxed(Box::pin(async move {
        // The inner service panicked in its task.
        decision
            .await
            .unwrap_or_else(|_| Ok(answer::failed::<B>()) as Result<Response<ResumeBody<B>>, E>)
    }))
}
