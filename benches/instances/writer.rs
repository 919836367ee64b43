//! How much the writer of an instance gets into its store, when all streams say as much as they can.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{Layer, Service, service_fn};
use tower_sse_resume::{Durability, SseResumeLayer};

use super::engines::Engine;
use super::instance::persistence;
use super::support::counting::{Appended, CountingStore};
use super::{EVENT, event};

const STREAMS: usize = 100;
/// Of events in memory there is a bound.
const MOST: u64 = 2_000_000;
/// Events that an inner body says before it lets others run.
const BURST: usize = 16;

/// What went into a store.
pub struct Flood {
    pub said: u64,
    pub stored: u64,
    pub not_stored: u64,
    pub appended: Appended,
    pub time: Duration,
}

pub async fn flood(engine: &Engine, durability: Durability, longest: Duration) -> Flood {
    let store = CountingStore::new(engine.connect().await);
    let layer = SseResumeLayer::new().store(persistence(store.clone()).durability(durability));
    let said = Arc::new(AtomicU64::new(0));
    let (begin, begun) = watch::channel(false);
    let mut clients = JoinSet::new();
    let counts = Arc::clone(&said);
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        let body = Busy { event: event(EVENT), said: Arc::clone(&counts), burst: 0 };
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        std::future::ready(Ok::<_, Infallible>(response.unwrap()))
    }));
    for _ in 0..STREAMS {
        let request = Request::get("/events").body(()).unwrap();
        let mut body = Box::pin(service.call(request).await.unwrap().into_body());
        let mut begun = begun.clone();
        clients.spawn(async move {
            body.frame().await;
            begun.wait_for(|begun| *begun).await.unwrap();
            while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
        });
    }
    // All streams are in the store, and no one is being written.
    let handle = layer.handle();
    while said.load(Ordering::Relaxed) < STREAMS as u64
        || handle.stats().stored < said.load(Ordering::Relaxed)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let now = || (said.load(Ordering::Relaxed), handle.stats(), store.appended(), Instant::now());
    let before = now();
    begin.send(true).unwrap();
    while before.3.elapsed() < longest && handle.stats().stored < MOST {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = now();
    Flood {
        said: after.0 - before.0,
        stored: after.1.stored - before.1.stored,
        not_stored: after.1.not_stored - before.1.not_stored,
        appended: after.2 - before.2,
        time: after.3 - before.3,
    }
}

/// A body that always has an event.
struct Busy {
    event: Bytes,
    said: Arc<AtomicU64>,
    burst: usize,
}

impl Body for Busy {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.burst == BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.burst += 1;
        self.said.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.event.clone()))))
    }
}
