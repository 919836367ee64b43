//! A layer around a scripted service, and its clients.

use http::{HeaderName, HeaderValue, Method, Request};
use tower::{Layer, Service};
use tower_sse_resume::{LayerHandle, ResumeBody, SseResume, SseResumeLayer};

use crate::client::Client;
use crate::scripted::{Failure, FedBody, Feed, Scripted};

pub type TestClient = Client<ResumeBody<FedBody>>;

/// A layer around a scripted service.
pub struct App {
    pub service: SseResume<Scripted>,
    pub inner: Scripted,
    pub handle: LayerHandle,
}

impl App {
    /// With all defaults.
    pub fn new() -> Self {
        Self::with(SseResumeLayer::new())
    }

    #[allow(clippy::needless_pass_by_value, reason = "a layer is built where it is given")]
    pub fn with(layer: SseResumeLayer) -> Self {
        let inner = Scripted::new();
        Self { service: layer.layer(inner.clone()), inner, handle: layer.handle() }
    }

    /// A `GET` with this last event ID; empty: with none.
    pub async fn get(&mut self, last_event_id: &str) -> TestClient {
        self.call(Method::GET, last_event_id).await
    }

    /// The same with another method.
    pub async fn call(&mut self, method: Method, last_event_id: &str) -> TestClient {
        self.send(request(method, last_event_id)).await
    }

    pub async fn send(&mut self, request: Request<()>) -> TestClient {
        self.try_send(request).await.unwrap()
    }

    pub async fn try_send(&mut self, request: Request<()>) -> Result<TestClient, Failure> {
        self.service.call(request).await.map(Client::new)
    }

    /// The body of the inner service's last response.
    pub fn body(&self) -> Feed {
        self.inner.body(self.inner.calls() - 1)
    }
}

/// A request for `/events` with this last event ID; empty: with none.
pub fn request(method: Method, last_event_id: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = "/events".parse().unwrap();
    if last_event_id.is_empty() {
        return request;
    }
    with(request, "last-event-id", last_event_id)
}

/// The request with a further header.
pub fn with(mut request: Request<()>, name: &'static str, value: impl AsRef<[u8]>) -> Request<()> {
    let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
    request.headers_mut().append(HeaderName::from_static(name), value);
    request
}
