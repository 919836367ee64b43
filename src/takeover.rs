//! Goes on with an aborted stream: calls the inner service again, once for all who come back.

use std::future::Future;
use std::sync::Arc;

use http::{Response, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;

use crate::answer;
use crate::body::ResumeBody;
use crate::driver;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::handle::StreamHandle;
use crate::resume::position::Position;
use crate::resumed::Resumed;
use crate::stream::Stream;

/// A claim on a stream, for a client at a position: given back unless it leads to a new inner body.
struct Claim(Arc<Stream>, Position);

impl Drop for Claim {
    fn drop(&mut self) {
        // Does nothing if the claim was decided.
        self.0.release_claim();
    }
}

/// Goes on with the stream of `resumed`, which was claimed, with what `call` answers.
///
/// The call runs in a task, so that its caller may leave. Where nothing is left to replay, the head waits for that of
/// the inner response, and if that is no event stream it is passed on.
pub(crate) fn start<F, B, E>(
    call: F,
    resumed: Resumed,
    handle: StreamHandle,
) -> ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    E: Send + 'static,
{
    let claim = Claim(Arc::clone(resumed.stream()), resumed.position());
    let Some(runtime) = resumed.stream().runtime.clone() else {
        return ResponseFuture::boxed(Box::pin(async move {
            match adopt(call, claim, &handle).await {
                Ok(Some((body, _))) => {
                    resumed.stream().place(body);
                    Ok(resumed.response())
                }
                Ok(None) => Ok(resumed.response()),
                Err(other) => pass_on(other, &resumed),
            }
        }));
    };
    let (decided, decision) = oneshot::channel();
    runtime.spawn(async move {
        let stream = Arc::clone(&claim.0);
        match adopt(call, claim, &handle).await {
            Ok(Some((body, number))) => {
                let _ = decided.send(None);
                driver::drive(stream, body, number).await;
            }
            Ok(None) => {
                let _ = decided.send(None);
            }
            Err(other) => {
                let _ = decided.send(Some(other));
            }
        }
    });
    if !resumed.is_at_end() {
        return ResponseFuture::ready(resumed.response());
    }
    ResponseFuture::boxed(Box::pin(async move {
        match decision.await {
            Ok(None) => Ok(resumed.response()),
            Ok(Some(other)) => pass_on(other, &resumed),
            // The inner service panicked in its task.
            Err(_) => Ok(answer::failed()),
        }
    }))
}

/// Calls, and begins the next generation if the answer is an event stream; else gives the answer back.
/// A handler that opted out gets its answer passed on, too. `None`: the inner service refuses to go on with an exchange,
/// which the resumed response tells in its own way.
async fn adopt<F, B, E>(
    call: F,
    claim: Claim,
    handle: &StreamHandle,
) -> Result<Option<(driver::InnerBody, u32)>, Result<Response<B>, E>>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    match call.await {
        Ok(response) if answer::is_event_stream(&response) && !handle.is_opted_out() => {
            let body = driver::erase(response.into_body());
            let number = claim.0.adopt(claim.1);
            handle.bind(&claim.0);
            Ok(Some((body, number)))
        }
        Ok(response) if refuses(response.status()) && claim.0.take_refusal() => Ok(None),
        other => Err(other),
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
