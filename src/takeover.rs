//! Goes on with an aborted stream: calls the inner service again, once for all who come back.

use std::future::Future;

use http::{Response, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;

use crate::answer;
use crate::body::ResumeBody;
use crate::driver::{self, Task};
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::handle::StreamHandle;
use crate::resume::position::Position;
use crate::resumed::Resumed;
use crate::stream::Claim;

/// What came of a call.
enum Outcome<B, E> {
    /// The stream goes on with this, unless its client is told otherwise in the stream's own way.
    Adopted(Option<Task>),
    /// The claim was passed on, or the stream is over.
    Lost,
    /// The inner service answered with no event stream, which is passed on.
    Other(Result<Response<B>, E>),
}

/// How the call went, for who waits for it with nothing to replay.
enum Decision<B, E> {
    GoesOn,
    Lost,
    Other(Result<Response<B>, E>),
}

/// Goes on with the stream of `resumed`, which was claimed, with what `call` answers.
///
/// The call runs in a task, so that its caller may leave. Where nothing is left to replay, the head waits for that of
/// the inner response, and if that is no event stream it is passed on.
pub(crate) fn start<F, B, E>(
    call: F,
    resumed: Resumed,
    claim: Claim,
    handle: StreamHandle,
) -> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    E: Send + 'static,
{
    let position = resumed.position();
    let Some(runtime) = resumed.stream().runtime.clone() else {
        // Nothing can make it let go of its call but its caller.
        return ResponseFuture::boxed(Box::pin(async move {
            match adopt(call.await, &claim, position, &handle) {
                Outcome::Adopted(task) => task.into_iter().for_each(Task::place),
                Outcome::Lost => {}
                Outcome::Other(other) => return pass_on(other, &resumed),
            }
            Ok(resumed.response())
        }));
    };
    let (decided, decision) = oneshot::channel();
    runtime.spawn(async move {
        let outcome = match claim.hold(call).await {
            Some(answer) => adopt(answer, &claim, position, &handle),
            None => Outcome::Lost,
        };
        drop(claim);
        let (decision, task) = match outcome {
            Outcome::Adopted(task) => (Decision::GoesOn, task),
            Outcome::Lost => (Decision::Lost, None),
            Outcome::Other(other) => (Decision::Other(other), None),
        };
        // Whoever asked may have left.
        drop(decided.send(decision));
        if let Some(task) = task {
            task.drive().await;
        }
    });
    if !resumed.is_at_end() {
        return ResponseFuture::ready(resumed.response());
    }
    ResponseFuture::boxed(Box::pin(async move {
        match decision.await {
            Ok(Decision::GoesOn) => Ok(resumed.response()),
            Ok(Decision::Other(other)) => pass_on(other, &resumed),
            Ok(Decision::Lost) => {
                while resumed.stream().is_undecided() {
                    resumed.stream().claim_decided(false).await;
                }
                Ok(resumed.response())
            }
            // The inner service panicked in its task.
            Err(_) => Ok(answer::failed()),
        }
    }))
}

/// Begins the next generation if the answer is an event stream; else gives the answer back. A handler that opted out gets
/// its answer passed on, too. Without a task, the inner service refuses to go on with an exchange, which the resumed
/// response tells in its own way.
fn adopt<B, E>(
    answer: Result<Response<B>, E>,
    claim: &Claim,
    position: Position,
    handle: &StreamHandle,
) -> Outcome<B, E>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    match answer {
        Ok(response) if answer::is_event_stream(&response) && !handle.is_opted_out() => {
            let Some(task) = claim.adopt(driver::erase(response.into_body()), position) else {
                return Outcome::Lost;
            };
            handle.bind(task.stream());
            Outcome::Adopted(Some(task))
        }
        Ok(response) if refuses(response.status()) && claim.stream().take_refusal() => {
            Outcome::Adopted(None)
        }
        other => Outcome::Other(other),
    }
}

/// Whether this will not be answered otherwise when it is asked again. Other errors of a client are about who asks, how
/// often, or whether there is anything at all.
fn refuses(status: StatusCode) -> bool {
    use StatusCode as Status;
    let may_change = [
        Status::UNAUTHORIZED,
        Status::FORBIDDEN,
        Status::NOT_FOUND,
        Status::REQUEST_TIMEOUT,
        Status::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !may_change.contains(&status)
}

fn pass_on<B, E>(
    other: Result<Response<B>, E>,
    resumed: &Resumed,
) -> Result<Response<ResumeBody<B>>, E> {
    let config = &resumed.stream().config;
    other.map(|response| answer::passed(response, resumed.gap_if_passed(), config))
}
