//! Asks a server once more that has not noticed yet that its last stream was let go of, or whose client's leaving was not
//! noticed here yet.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::McpBody;
use crate::exchange::Replaces;
use crate::time::{self, Timer};

/// The first wait; each next one is twice as long. In all, about a second and a half.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const MOST_WAITS: u32 = 6;

/// What the preset puts just around the server: a `GET` that takes the place of a stream, and that the
/// server refuses with `409 Conflict`, is made again, a few times.
#[derive(Clone, Debug)]
pub(super) struct Again<S> {
    inner: S,
}

impl<S> Again<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<McpBody<B>>> for Again<S>
where
    S: Service<Request<McpBody<B>>, Response = Response<R>> + Clone,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = AgainFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<McpBody<B>>) -> Self::Future {
        let may_repeat = request.method() == Method::GET && request.body().is_end_stream();
        let replaces = request.extensions().get::<Replaces>().filter(|_| may_repeat).cloned();
        let repeat = replaces.map(|replaces| {
            let (mut copy, ()) = Request::new(()).into_parts();
            copy.method = request.method().clone();
            copy.uri = request.uri().clone();
            copy.version = request.version();
            copy.headers = request.headers().clone();
            copy.extensions = request.extensions().clone();
            let request = Request::from_parts(copy, ());
            Repeat { request, replaces, service: self.inner.clone(), waits: 0 }
        });
        let step = Step::Call { call: self.inner.call(request) };
        AgainFuture { repeat, step, body: std::marker::PhantomData }
    }
}

/// What it takes to make a request again.
struct Repeat<S> {
    request: Request<()>,
    replaces: Replaces,
    service: S,
    waits: u32,
}

pin_project! {
    /// Response future of [`Again`].
    pub(super) struct AgainFuture<S, B, F> {
        repeat: Option<Repeat<S>>,
        #[pin]
        step: Step<F>,
        body: std::marker::PhantomData<fn(B)>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<F> {
        Call { #[pin] call: F },
        Wait { wait: Timer },
        Ready,
    }
}

impl<S, B, R, E> Future for AgainFuture<S, B, S::Future>
where
    S: Service<Request<McpBody<B>>, Response = Response<R>, Error = E>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Call { call } => {
                    let response = ready!(call.poll(cx))?;
                    let repeat = this.repeat.as_mut().filter(|repeat| repeat.is_due(&response));
                    match repeat.and_then(Repeat::wait) {
                        None => return Poll::Ready(Ok(response)),
                        Some(wait) => this.step.set(Step::Wait { wait }),
                    }
                }
                StepProj::Wait { wait } => {
                    ready!(wait.poll(cx).unwrap_or(Poll::Ready(())));
                    this.step.set(Step::Ready);
                }
                StepProj::Ready => {
                    let Some(repeat) = this.repeat.as_mut() else { return Poll::Pending };
                    ready!(repeat.service.poll_ready(cx))?;
                    repeat.replaces.release();
                    let request = repeat.request.clone().map(|()| McpBody::empty());
                    let call = repeat.service.call(request);
                    this.step.set(Step::Call { call });
                }
            }
        }
    }
}

impl<S> Repeat<S> {
    fn is_due<R>(&self, response: &Response<R>) -> bool {
        response.status() == StatusCode::CONFLICT && self.waits < MOST_WAITS
    }

    /// `None`: there is no time.
    fn wait(&mut self) -> Option<Timer> {
        let runtime = time::runtime()?;
        let wait = FIRST_WAIT * 2_u32.pow(self.waits);
        self.waits += 1;
        Some(Timer::after(&runtime, wait))
    }
}
