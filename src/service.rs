//! The service: a request in, and it is passed, resumed or wrapped.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::runtime::Handle;
use tower_service::Service;

use crate::answer;
use crate::ask::{self, Asked};
use crate::binding::Binding;
use crate::body::ResumeBody;
use crate::config::{Config, EventIds, OnFinished, OnMissing};
use crate::cors;
use crate::error::BoxError;
use crate::exchange::{self, Replaces};
use crate::future::ResponseFuture;
use crate::handle::StreamId;
use crate::observer::Observation;
use crate::registry::Shared;
use crate::resume::event_id::EventId;
use crate::resume::plan::Plan;
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::resumed::Resumed;
use crate::sharing::{self, Join};
use crate::stream::{Released, Stream};
use crate::takeover;
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
    shared: Arc<Shared>,
    config: Arc<Config>,
}

/// What to do with a request.
enum Course {
    /// Call the inner service, and make its answer resumable.
    Forward(Wrap),
    /// The same, once these inner bodies are dropped.
    Replace(Vec<Released>, Wrap),
    /// Answer without the inner service.
    Resume(Resumed),
    /// Call the inner service to go on with an aborted stream.
    TakeOver(Resumed),
    /// Somebody else does; wait for it, and decide again.
    Wait(Arc<Stream>, EventId),
    /// `410`.
    Reject,
    /// `204`.
    NoContent,
}

impl<S> SseResume<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>, config: Arc<Config>) -> Self {
        Self { inner, shared, config }
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
        Self { inner: ready, shared: Arc::clone(&self.shared), config: Arc::clone(&self.config) }
            .answer(request)
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
        let is_ours = self.config.methods.contains(request.method());
        if !is_ours {
            let asks = cors::asks_for_last_event_id(request.method(), request.headers());
            let call = self.inner.call(request);
            return if asks { ResponseFuture::preflight(call) } else { ResponseFuture::pass(call) };
        }
        let (mut parts, body) = request.into_parts();
        if self.config.only.as_ref().is_some_and(|only| !only(&parts)) {
            return ResponseFuture::pass(self.inner.call(Request::from_parts(parts, body)));
        }
        let mut asked = Asked::take(&mut parts, &self.config, &self.shared.registry.keys);
        if self.config.only_gets_resume && parts.method != Method::GET {
            asked = Asked::NotOurs;
        }
        match self.course(&mut parts, asked) {
            Course::Reject => ResponseFuture::ready(answer::rejected(&self.config)),
            Course::NoContent => ResponseFuture::ready(answer::no_content()),
            Course::Resume(resumed) => ResponseFuture::ready(resumed.response()),
            Course::Forward(wrap) => self.forward(Request::from_parts(parts, body), wrap),
            Course::Replace(released, wrap) => ResponseFuture::boxed(Box::pin(async move {
                for released in released {
                    released.wait().await;
                }
                self.forward(Request::from_parts(parts, body), wrap).await
            })),
            Course::TakeOver(resumed) => self.take_over(Request::from_parts(parts, body), resumed),
            Course::Wait(stream, id) => ResponseFuture::boxed(Box::pin(async move {
                stream.claim_decided().await;
                ask::put_back(&mut parts.headers, &stream, id.position);
                self.answer(Request::from_parts(parts, body)).await
            })),
        }
    }

    fn take_over<ReqBody, ResBody>(
        mut self,
        request: Request<ReqBody>,
        resumed: Resumed,
    ) -> ResponseFuture<S::Future, ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let handle = resumed.prepare(&mut parts);
        takeover::start(self.inner.call(Request::from_parts(parts, body)), resumed, handle)
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
        let runtime = Handle::try_current().ok().filter(|_| wrap.is_shared);
        let Some(runtime) = runtime else {
            return ResponseFuture::wrap(self.inner.call(request), wrap);
        };
        match sharing::join(&self.shared.registry, wrap.binding) {
            Join::Lead(lead) => sharing::lead(&runtime, self.inner.call(request), wrap, lead),
            Join::Stream(stream) if stream.claim() => {
                let resumed = Resumed::joining(&stream, &wrap);
                self.take_over(request, resumed)
            }
            Join::Stream(stream) if !stream.is_undecided() => {
                ResponseFuture::ready(wrap.joined(&stream))
            }
            Join::Stream(stream) => ResponseFuture::boxed(Box::pin(async move {
                stream.claim_decided().await;
                self.forward(request, wrap).await
            })),
            Join::Wait(waiting) => ResponseFuture::boxed(Box::pin(async move {
                // Where the leader got no event stream, each calls by itself.
                wrap.is_shared = waiting.decided().await;
                self.forward(request, wrap).await
            })),
        }
    }

    /// Decides what a request gets.
    fn course(&self, parts: &mut Parts, asked: Asked) -> Course {
        let keys = &self.shared.registry.keys;
        let binding = Binding::shared(parts, &self.config, keys)
            .unwrap_or_else(|| Binding::of(parts, &self.config, keys));
        let id = match asked {
            Asked::NotOurs => return self.not_ours(parts, binding),
            Asked::Malformed => return self.unknown(parts, binding, None),
            Asked::Id(id) => id,
        };
        let Some(stream) = self.find(parts, &binding, &id) else {
            return self.unknown(parts, binding, Some(&id));
        };
        self.resume(parts, binding, &stream, &id)
    }

    fn wrap(&self, parts: &mut Parts, binding: Binding) -> Wrap {
        let mut wrap = Wrap::of(parts, binding, &self.config, &self.shared);
        wrap.is_shared = Binding::shared(parts, &self.config, &self.shared.registry.keys).is_some();
        wrap
    }

    fn not_ours(&self, parts: &mut Parts, binding: Binding) -> Course {
        if let Some((stream, id)) = self.find_by_inner_id(parts, &binding) {
            return self.resume(parts, binding, &stream, &id);
        }
        let released = self.release_lingering(parts, &binding);
        let wrap = self.wrap(parts, binding);
        if released.is_empty() { Course::Forward(wrap) } else { Course::Replace(released, wrap) }
    }

    /// Lets go of what a client has left behind that begins anew.
    fn release_lingering(&self, parts: &mut Parts, binding: &Binding) -> Vec<Released> {
        let begins = parts.method == Method::GET && !parts.headers.contains_key(ask::LAST_EVENT_ID);
        if !self.config.releases_lingering || !begins {
            return Vec::new();
        }
        let streams = self.shared.registry.bound_to(binding).into_iter();
        let is_one = |stream: &Arc<Stream>| stream.origin.repeatable && stream.is_live();
        let (mut released, mut read) = (Vec::new(), Vec::new());
        for stream in streams.filter(is_one) {
            match stream.release_unread() {
                Some(body) => released.push(body),
                None => read.push(Arc::downgrade(&stream)),
            }
        }
        if !released.is_empty() || !read.is_empty() {
            parts.extensions.insert(Replaces::when_noticed(move || {
                for stream in read.iter().filter_map(Weak::upgrade) {
                    let _ = stream.release_unread();
                }
            }));
        }
        released
    }

    /// The stream of an ID, if this request may resume it.
    fn find(&self, parts: &Parts, binding: &Binding, id: &EventId) -> Option<Arc<Stream>> {
        let stream = id.authentic.then(|| self.shared.registry.get(&id.token)).flatten()?;
        let is_its = stream.origin.binding == *binding;
        (is_its && self.may_resume(parts, &stream)).then_some(stream)
    }

    fn may_resume(&self, parts: &Parts, stream: &Stream) -> bool {
        let authorize = self.config.authorize_resume.as_ref();
        authorize.is_none_or(|authorize| authorize(parts, &StreamId::of(stream)))
    }

    /// The one stream that has an event with the inner service's ID that the request comes back with.
    fn find_by_inner_id(&self, parts: &Parts, binding: &Binding) -> Option<(Arc<Stream>, EventId)> {
        if self.config.rules.ids != EventIds::Preserve {
            return None;
        }
        let inner_id = ask::given_inner_id(parts, &self.config)?;
        let streams = self.shared.registry.bound_to(binding).into_iter();
        let streams = streams.filter(|stream| self.may_resume(parts, stream));
        let mut found = streams.filter_map(|stream| Some((stream.find(&inner_id)?, stream)));
        let (position, stream) = found.next()?;
        if found.next().is_some() {
            return None;
        }
        let id = EventId { token: stream.token, authentic: true, position, inner: None };
        Some((stream, id))
    }

    /// What an ID gets that is unknown, somebody else's, or malformed: the same for all.
    fn unknown(&self, parts: &mut Parts, binding: Binding, id: Option<&EventId>) -> Course {
        self.config.observer.tell(Observation::Missed);
        if parts.method != Method::GET || self.config.on_missing != OnMissing::Signal {
            return Course::Reject;
        }
        let inner_id = id.and_then(|id| id.inner.as_ref()).map(|inner| inner.as_bytes().to_vec());
        ask::set_inner_id(&mut parts.headers, inner_id.as_deref().unwrap_or_default());
        let mut wrap = self.wrap(parts, binding);
        let requested = id.map(|id| id.position.offset);
        let gap = Gap { requested, resumed: 0, missed: None, reason: GapReason::Unknown };
        wrap.gap_if_joined = Some(gap);
        if inner_id.is_none() {
            wrap.gap = Some(gap);
            wrap.answer = answer::Answer::Gap;
        }
        Course::Forward(wrap)
    }

    fn resume(
        &self,
        parts: &mut Parts,
        binding: Binding,
        stream: &Arc<Stream>,
        id: &EventId,
    ) -> Course {
        let position = id.position;
        let repeatable = stream.origin.repeatable;
        let (no_content, at_once) = match self.config.on_finished {
            OnFinished::Forward => (false, false),
            OnFinished::NoContent => (true, false),
            OnFinished::NoContentUnlessGet => (!repeatable, repeatable),
        };
        let plan = stream.plan(position);
        let reject_gaps = self.config.on_missing == OnMissing::Reject;
        let resumed = |plan| Course::Resume(self.resumed(parts, stream, position, plan));
        match plan {
            Plan::Unknown if stream.waits_for_loss(position) => {
                Course::Wait(Arc::clone(stream), id.clone())
            }
            Plan::Unknown => self.unknown(parts, binding, Some(id)),
            Plan::Replay { gap: true }
            | Plan::Lost { gap: true }
            | Plan::TakeOver { gap: true, .. }
                if reject_gaps =>
            {
                self.config.observer.tell(Observation::Missed);
                Course::Reject
            }
            Plan::Replay { .. } if stream.waits_for_takeover(position) => {
                Course::Wait(Arc::clone(stream), id.clone())
            }
            Plan::Replay { .. } | Plan::Lost { .. } => resumed(plan),
            Plan::End if no_content => Course::NoContent,
            Plan::End if !at_once => resumed(plan),
            // Only a `GET` may call the inner service, and only for the stream of one.
            Plan::End | Plan::Over if no_content || parts.method != Method::GET || !repeatable => {
                Course::NoContent
            }
            Plan::End | Plan::Over => {
                ask::set_inner_id(&mut parts.headers, &stream.inner_id());
                let mut wrap = self.wrap(parts, binding);
                wrap.answer = answer::Answer::Forwarded;
                Course::Forward(wrap)
            }
            Plan::LossTold => Course::NoContent,
            // Only a `GET` may call the inner service again.
            Plan::TakeOver { gap, .. } if parts.method != Method::GET => {
                resumed(Plan::Lost { gap })
            }
            Plan::TakeOver { .. } if stream.claim() => {
                Course::TakeOver(self.resumed(parts, stream, position, plan))
            }
            Plan::TakeOver { .. } => self.resume(parts, binding, stream, id),
        }
    }

    fn resumed(
        &self,
        parts: &Parts,
        stream: &Arc<Stream>,
        position: Position,
        plan: Plan,
    ) -> Resumed {
        let exchange = exchange::of(&parts.extensions);
        let primer = match &exchange {
            Some(exchange) => exchange.primer(),
            None => ask::primer(parts, &self.config),
        };
        Resumed::new(stream, position, plan, primer)
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for SseResume<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseResume").field("inner", &self.inner).finish_non_exhaustive()
    }
}
