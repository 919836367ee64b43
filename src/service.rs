//! The service: a request in, and it is passed, resumed or wrapped.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::answer;
use crate::ask::{self, Asked};
use crate::body::ResumeBody;
use crate::config::Config;
use crate::cors;
use crate::course::{Chooser, Course, may_take_over};
use crate::elsewhere::Claimed;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::registry::Shared;
use crate::resumed::Resumed;
use crate::sharing::{self, Join};
use crate::stream::{Claim, Stream};
use crate::takeover;
use crate::time;
use crate::wrap::Wrap;

/// Middleware that makes the event streams of an inner service resumable; made by
/// [`SseResumeLayer`](crate::SseResumeLayer).
///
/// Works around any service of HTTP requests that can be cloned. Clones, and other services of the same layer, know the
/// same streams.
///
/// It is ready when the inner service is. A request that is answered from a history drops the instance that was ready.
#[derive(Clone)]
pub struct SseResume<S> {
    inner: S,
    chooser: Chooser,
}

impl<S> SseResume<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>, config: Arc<Config>) -> Self {
        Self { inner, chooser: Chooser { shared, config } }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, exclusively.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives back the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SseResume<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    ReqBody: Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ResumeBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // The instance that was polled ready is the one to call.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let request = match &self.chooser.config.sessions {
            Some(keeper) => keeper.introduce(request, &self.chooser.config, &self.chooser.shared),
            None => request,
        };
        Self { inner: ready, chooser: self.chooser.clone() }.answer(request)
    }
}

impl<S> SseResume<S> {
    /// Answers one request with the inner service, which is ready.
    fn answer<ReqBody, ResBody>(
        mut self,
        request: Request<ReqBody>,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let is_ours = self.chooser.config.methods.contains(request.method());
        if !is_ours {
            let asks = cors::asks_for_last_event_id(request.method(), request.headers());
            let call = self.inner.call(self.chooser.less_ours(request));
            return if asks { ResponseFuture::preflight(call) } else { ResponseFuture::pass(call) };
        }
        let (mut parts, body) = request.into_parts();
        if self.chooser.config.only.as_ref().is_some_and(|only| !only(&parts)) {
            return ResponseFuture::pass(self.inner.call(Request::from_parts(parts, body)));
        }
        let (config, keys) = (&self.chooser.config, &self.chooser.shared.registry.keys);
        let asked = if config.only_gets_resume && parts.method != Method::GET {
            ask::leave_out(&mut parts, config, keys);
            Asked::NotOurs
        } else {
            Asked::take(&mut parts, config, keys)
        };
        let course = self.chooser.course(&mut parts, asked);
        self.take(course, parts, body)
    }

    /// Does what was decided.
    fn take<ReqBody, ResBody>(
        self,
        course: Course,
        mut parts: http::request::Parts,
        body: ReqBody,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        match course {
            Course::Reject => ResponseFuture::ready(answer::rejected(&self.chooser.config)),
            Course::Unavailable => ResponseFuture::ready(answer::unavailable()),
            Course::NoContent => ResponseFuture::ready(answer::no_content()),
            Course::Resume(resumed) => ResponseFuture::ready(resumed.response()),
            Course::Forward(wrap) => self.forward(Request::from_parts(parts, body), wrap),
            Course::Replace(released, wrap) => ResponseFuture::boxed(Box::pin(async move {
                for released in released {
                    released.wait().await;
                }
                self.forward(Request::from_parts(parts, body), wrap).await
            })),
            Course::TakeOver(resumed, claim) => {
                self.take_over(Request::from_parts(parts, body), resumed, claim)
            }
            Course::LookUp(binding, id) => ResponseFuture::boxed(Box::pin(async move {
                let chooser = self.chooser.clone();
                let course = chooser.look_up(&mut parts, binding, &id).await;
                self.take(course, parts, body).await
            })),
            Course::Claim(stream, resumed, id) => ResponseFuture::boxed(Box::pin(async move {
                let chooser = self.chooser.clone();
                let course = chooser.claim(&mut parts, &stream, resumed, id).await;
                self.take(course, parts, body).await
            })),
            Course::Wait(stream, id) => ResponseFuture::boxed(Box::pin(async move {
                let may_claim = may_take_over(&parts, &stream);
                if let Some(claim) = stream.claim_decided(may_claim).await {
                    let resumed = self.chooser.take_over(&parts, &claim, id.position);
                    let request = Request::from_parts(parts, body);
                    return self.take_over(request, resumed, claim).await;
                }
                ask::put_back(&mut parts.headers, &stream, id.position);
                self.answer(Request::from_parts(parts, body)).await
            })),
        }
    }

    fn take_over<ReqBody, ResBody>(
        mut self,
        request: Request<ReqBody>,
        mut resumed: Resumed,
        mut claim: Claim,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        if !claim.is_alone() {
            return ResponseFuture::boxed(Box::pin(async move {
                claim.alone().await;
                self.take_over(request, resumed, claim).await
            }));
        }
        let (mut parts, body) = request.into_parts();
        let handle = resumed.prepare(&mut parts);
        let call = self.inner.call(Request::from_parts(parts, body));
        takeover::start(call, resumed, claim, handle)
    }

    /// Calls the inner service, or joins who has called it for the same.
    fn forward<ReqBody, ResBody>(
        mut self,
        request: Request<ReqBody>,
        mut wrap: Wrap,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let runtime = if wrap.is_shared { time::runtime() } else { None };
        let Some(runtime) = runtime else {
            let call = self.inner.call(request);
            if !wrap.commits_first() {
                return ResponseFuture::wrap(call, wrap);
            }
            return ResponseFuture::boxed(Box::pin(async move {
                Ok(wrap.stored_response(call.await?).await)
            }));
        };
        let linger = self.chooser.config.linger;
        match sharing::join(&self.chooser.shared.registry, wrap.binding, linger) {
            Join::Lead(mut lead) => {
                if lead.is_alone() {
                    return sharing::lead(&runtime, self.inner.call(request), wrap, lead);
                }
                ResponseFuture::boxed(Box::pin(async move {
                    lead.alone().await;
                    sharing::lead(&runtime, self.inner.call(request), wrap, lead).await
                }))
            }
            Join::Stream(stream) if !wrap.may_join(&stream) => {
                self.forward(request, wrap.by_page())
            }
            Join::Stream(stream) => self.join(stream, request, wrap),
            Join::Wait(waiting) => ResponseFuture::boxed(Box::pin(async move {
                // Where the leader got no event stream, each calls by itself.
                wrap.is_shared = waiting.decided().await;
                self.forward(request, wrap).await
            })),
        }
    }

    /// Joins a shared stream, or goes on with it.
    fn join<ReqBody, ResBody>(
        self,
        stream: Arc<Stream>,
        request: Request<ReqBody>,
        wrap: Wrap,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        if stream.is_stored() && stream.is_claimable() {
            return ResponseFuture::boxed(Box::pin(async move {
                let chooser = self.chooser.clone();
                let claimed = match chooser.elsewhere() {
                    Some(elsewhere) => elsewhere.claim(&stream).await,
                    None => Claimed::Outage,
                };
                match claimed {
                    Claimed::Yes(claim) => {
                        let resumed = Resumed::joining(&stream, &wrap);
                        return self.take_over(request, resumed, claim).await;
                    }
                    // The next one begins anew, here.
                    Claimed::Outage => self.chooser.shared.registry.remove(&stream),
                    Claimed::Taken => {}
                }
                self.forward(request, wrap).await
            }));
        }
        if let Some(claim) = stream.claim() {
            let resumed = Resumed::joining(&stream, &wrap);
            return self.take_over(request, resumed, claim);
        }
        if !stream.is_undecided() {
            return ResponseFuture::ready(wrap.joined(&stream));
        }
        ResponseFuture::boxed(Box::pin(async move {
            if let Some(claim) = stream.claim_decided(true).await {
                let resumed = Resumed::joining(&stream, &wrap);
                return self.take_over(request, resumed, claim).await;
            }
            self.forward(request, wrap).await
        }))
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for SseResume<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseResume").field("inner", &self.inner).finish_non_exhaustive()
    }
}
