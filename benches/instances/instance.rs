//! An instance of the layer around a service that says what it is told to, and clients of it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tower::{Layer, Service};
use tower_sse_resume::store::Store;
use tower_sse_resume::{
    LayerHandle, Limits, Persistence, ResumeBody, Retention, SseResume, SseResumeLayer,
};

/// So that each answers for the other's IDs.
pub const SECRET: [u8; 32] = [7; 32];

pub fn persistence(store: impl Store + 'static) -> Persistence {
    Persistence::with_secret(store, SECRET)
}

/// An instance, with one stream at most.
pub struct Instance {
    service: SseResume<Spoken>,
    pub handle: LayerHandle,
}

impl Instance {
    pub fn start(persistence: Option<Persistence>) -> Self {
        let retention = Retention::new().events(10_000).bytes(64 << 20);
        let layer = SseResumeLayer::new().retention(retention);
        let layer = layer.limits(Limits::new().bytes(usize::MAX));
        let layer = persistence.into_iter().fold(layer, SseResumeLayer::store);
        Self { service: layer.layer(Spoken::default()), handle: layer.handle() }
    }

    /// Begins the stream.
    pub async fn open(&mut self) -> (Speaker, Client) {
        let (speaker, spoken) = mpsc::unbounded_channel();
        *self.service.get_ref().0.lock().unwrap() = Some(spoken);
        let response = self.call("").await;
        let from = response.headers()["sse-resume-from"].to_str().unwrap().to_owned();
        (Speaker(speaker), Client { from, body: Box::pin(response.into_body()) })
    }

    /// Comes back to a stream, once this instance can know of it.
    pub async fn resume(&mut self, id: &str) -> Client {
        loop {
            let response = self.call(id).await;
            if response.headers().get("sse-resume").is_some_and(|outcome| outcome == "replay") {
                return Client { from: id.to_owned(), body: Box::pin(response.into_body()) };
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn call(&mut self, id: &str) -> Response<ResumeBody<Said>> {
        let mut request = Request::get("/events");
        if !id.is_empty() {
            request = request.header("last-event-id", id);
        }
        self.service.call(request.body(()).unwrap()).await.unwrap()
    }

    /// Waits until the store has so many events.
    pub async fn has_stored(&self, events: u64) {
        while self.handle.stats().stored < events {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Says events in a stream.
pub struct Speaker(UnboundedSender<Bytes>);

impl Speaker {
    pub fn say(&self, event: Bytes) {
        self.0.send(event).unwrap();
    }
}

/// A response that is being read.
pub struct Client {
    /// The ID that it began with.
    pub from: String,
    body: Pin<Box<ResumeBody<Said>>>,
}

impl Client {
    pub async fn read(&mut self) -> Bytes {
        self.body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    /// Reads until so many events have come. Returns how many bytes they had.
    pub async fn read_events(&mut self, count: usize) -> usize {
        let (mut come, mut bytes) = (0, 0);
        while come < count {
            let data = self.read().await;
            come += blank_lines(&data);
            bytes += data.len();
        }
        bytes
    }

    pub async fn read_bytes(&mut self, count: usize) {
        let mut come = 0;
        while come < count {
            come += self.read().await.len();
        }
    }

    /// Reads on for as long as there is something to read.
    pub fn read_on(mut self) {
        tokio::spawn(async move { while self.body.frame().await.is_some() {} });
    }
}

fn blank_lines(data: &[u8]) -> usize {
    data.windows(2).filter(|two| two == b"\n\n").count()
}

/// Answers with what a speaker says. While there is none, it answers with nothing at all.
#[derive(Clone, Default)]
struct Spoken(Arc<Mutex<Option<UnboundedReceiver<Bytes>>>>);

impl Service<Request<()>> for Spoken {
    type Response = Response<Said>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Said>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let said = Said(self.0.lock().unwrap().take());
        let kind = if said.0.is_some() { "text/event-stream" } else { "text/plain" };
        ready(Ok(Response::builder().header("content-type", kind).body(said).unwrap()))
    }
}

struct Said(Option<UnboundedReceiver<Bytes>>);

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Some(said) => said.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data)))),
            None => Poll::Ready(None),
        }
    }
}
