//! The service: calls the inner one, and keeps what it takes to call it again.

use std::task::{Context, Poll};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::SseReconnectLayer;
use super::again::again;
use super::body::{Origin, ReconnectBody};
use super::future::ReconnectFuture;
use super::relay::Relay;
use crate::ask;
use crate::error::BoxError;

/// Middleware that goes on with event streams whose body breaks; made by [`SseReconnectLayer`].
#[derive(Clone, Debug)]
pub struct SseReconnect<S> {
    inner: S,
    layer: SseReconnectLayer,
}

impl<S> SseReconnect<S> {
    pub(super) fn new(inner: S, layer: SseReconnectLayer) -> Self {
        Self { inner, layer }
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

    /// What it takes to make a request with these parts again.
    fn origin<ReqBody, ResBody>(&self, parts: Parts) -> Origin<ResBody>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        ReqBody: Default,
    {
        let relay = Relay::new(&self.layer, ask::inner_id(&parts.headers));
        Origin { config: self.layer.config, relay, again: again(self.inner.clone(), parts) }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SseReconnect<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    ReqBody: Body + Default,
    ResBody: Body,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ReconnectBody<ResBody>>;
    type Error = S::Error;
    type Future = ReconnectFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Later calls are made by clones of a clone: this instance is ready, and is the one to call now.
        if request.method() != Method::GET || !request.body().is_end_stream() {
            return ReconnectFuture::new(self.inner.call(request), None);
        }
        let (parts, body) = request.into_parts();
        let origin = self.origin(parts.clone());
        ReconnectFuture::new(self.inner.call(Request::from_parts(parts, body)), Some(origin))
    }
}
