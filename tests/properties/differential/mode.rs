//! What stands between the inner service and its clients.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::{Method, Request};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{
    Durability, EventIds, LayerHandle, Persistence, Priming, Retention, SseReconnectLayer,
    SseResumeLayer, StartAt,
};

use super::inner::Inner;
use support::scripted::Failure;

pub(crate) type Erased = UnsyncBoxBody<Bytes, String>;
type Erasing = BoxCloneSyncService<Request<Full<Bytes>>, Response<Erased>, Failure>;

/// How the layer is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Assign,
    Preserve,
    IdsOnly,
    Share,
    ShareIdsOnly,
    /// The layer that reconnects, alone.
    Reconnect,
    /// The same inside the one that resumes.
    ReconnectInside,
    Mcp,
    /// Several instances with one store.
    Mirrored(Durability),
}

/// What a case sets, beside its mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) events: u64,
    pub(crate) linger: Duration,
    pub(crate) read_on: bool,
    pub(crate) priming: Priming,
}

/// All that a client can be connected to.
pub(crate) struct Deployment {
    pub(crate) mode: Mode,
    services: Vec<Erasing>,
    handles: Vec<LayerHandle>,
}

impl Mode {
    /// Whether clients get the layer's own IDs.
    pub(crate) fn assigns(self) -> bool {
        !matches!(self, Self::Preserve | Self::Reconnect)
    }

    pub(crate) fn is_mirrored(self) -> bool {
        matches!(self, Self::Mirrored(_))
    }

    pub(crate) fn is_mcp(self) -> bool {
        self == Self::Mcp
    }

    /// The first request of a client, and each further one.
    pub(crate) fn request(self, last_event_id: &[u8]) -> Request<Full<Bytes>> {
        let request = Request::get("/events").header("host", "a.example");
        let mut request = request.header("authorization", "Bearer a");
        if self.is_mcp() {
            request = request.header("mcp-protocol-version", "2025-11-25");
            request = request.header("mcp-session-id", "one").header("accept", "text/event-stream");
        }
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id);
        }
        let mut body = Bytes::new();
        if self.is_mcp() && last_event_id.is_empty() {
            request = request.method(Method::POST).header("content-type", "application/json");
            body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
        }
        request.body(Full::from(body)).unwrap()
    }
}

impl Deployment {
    pub(crate) fn new(mode: Mode, settings: Settings, inner: &Inner, instances: usize) -> Self {
        let mut it = Self { mode, services: Vec::new(), handles: Vec::new() };
        let layer = layer(mode, settings);
        let reconnecting = || SseReconnectLayer::new().layer(inner.clone());
        match mode {
            Mode::Assign | Mode::Preserve | Mode::IdsOnly | Mode::Share | Mode::ShareIdsOnly => {
                it.add(layer.handle(), layer.layer(inner.clone()));
            }
            Mode::Reconnect => it.services.push(erase(reconnecting())),
            Mode::ReconnectInside => it.add(layer.handle(), layer.layer(reconnecting())),
            Mode::Mcp => {
                let layer = SseResumeLayer::mcp();
                it.add(layer.handle(), layer.layer(inner.clone()));
            }
            Mode::Mirrored(durability) => {
                let store = MemoryStore::new();
                for _ in 0..instances {
                    let persistence = Persistence::with_secret(store.clone(), [7; 32]);
                    let layer = layer.clone().store(persistence.durability(durability));
                    it.add(layer.handle(), layer.layer(inner.clone()));
                }
            }
        }
        it
    }

    fn add<S, B>(&mut self, handle: LayerHandle, service: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Failure>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: ToString,
    {
        self.handles.push(handle);
        self.services.push(erase(service));
    }

    pub(crate) fn instances(&self) -> usize {
        self.services.len()
    }

    /// One of the instances, as one connection to it is.
    pub(crate) fn instance(&self, number: usize) -> Erasing {
        self.services[number].clone()
    }

    /// Forgets all streams, as if the instances had been started anew.
    pub(crate) fn forget(&self) {
        for handle in &self.handles {
            handle.purge_all();
        }
    }
}

fn layer(mode: Mode, settings: Settings) -> SseResumeLayer {
    let retention = match mode {
        Mode::IdsOnly | Mode::ShareIdsOnly => Retention::ids_only(),
        _ => Retention::new().events(settings.events),
    };
    let layer = SseResumeLayer::new()
        .secret([7; 32])
        .retention(retention)
        .linger(settings.linger)
        .read_on(settings.read_on)
        .priming(settings.priming);
    match mode {
        Mode::Preserve => layer.event_ids(EventIds::Preserve),
        Mode::Share | Mode::ShareIdsOnly => {
            layer.share(|_| Some("feed".to_owned())).start_at(StartAt::Earliest)
        }
        _ => layer,
    }
}

fn erase<S, B>(service: S) -> Erasing
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Failure>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: ToString,
{
    let erased = |response: Response<B>| {
        response.map(|body| body.map_err(|error| error.to_string()).boxed_unsync())
    };
    BoxCloneSyncService::new(service.map_response(erased))
}
