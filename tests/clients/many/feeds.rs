//! A server of event streams behind the layer, that counts how often its handlers run and when they end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::sse::{self, Sse};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::{Stream, StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower_sse_resume::SseResumeLayer;

use support::random::Random;

/// How many events a stream has that ends; then comes one `end`.
pub(crate) const EVENTS: u64 = 60;
/// The events of the shared feed before which its readers come.
pub(crate) const JOIN_BEFORE: u64 = 20;

/// The data of an event: some are short, some are long.
pub(crate) fn content(feed: usize, event: u64) -> String {
    let length = Random::new((feed as u64) << 32 | event).within(0..300) as usize;
    let number = format!("{feed}.{event}.");
    number.repeat(1 + length / number.len())
}

/// The server, seen from outside.
pub(crate) struct Feeds {
    pub(crate) address: SocketAddr,
    /// How many clients have begun to read.
    pub(crate) begun: watch::Sender<usize>,
    /// How many events of the shared feed were sent.
    pub(crate) progress: watch::Sender<u64>,
    runs: Arc<Mutex<BTreeMap<usize, usize>>>,
    ended: mpsc::UnboundedReceiver<()>,
}

#[derive(Clone)]
struct Shared {
    begun: watch::Sender<usize>,
    progress: watch::Sender<u64>,
    wait_for: usize,
    runs: Arc<Mutex<BTreeMap<usize, usize>>>,
    ended: mpsc::UnboundedSender<()>,
}

/// A handler's stream that is there.
struct Running(mpsc::UnboundedSender<()>);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.send(());
    }
}

impl Feeds {
    /// Streams that end wait until so many clients have begun to read.
    pub(crate) async fn serve(layer: SseResumeLayer, wait_for: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, progress, runs) =
            (watch::Sender::new(0), watch::Sender::new(0), Arc::default());
        let (ending, ended) = mpsc::unbounded_channel();
        let shared = Shared {
            begun: begun.clone(),
            progress: progress.clone(),
            wait_for,
            runs: Arc::clone(&runs),
            ended: ending,
        };
        let app = Router::new()
            .route("/jobs/{feed}", get(job))
            .route("/endless/{feed}", get(endless))
            .route("/shared", get(feed))
            .layer(layer)
            .with_state(shared);
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, begun, progress, runs, ended }
    }

    /// How often each feed's handler ran.
    pub(crate) fn runs(&self) -> Vec<usize> {
        self.runs.lock().unwrap().values().copied().collect()
    }

    /// Waits until so many handlers' streams were dropped.
    pub(crate) async fn ended(&mut self, count: usize) {
        for _ in 0..count {
            self.ended.recv().await;
        }
    }
}

type Events = Result<sse::Event, Infallible>;

impl Shared {
    /// Says what `content` has, at an uneven pace, for as long as it is read.
    fn run(self, feed: usize, wait_at: u64, count: u64) -> Sse<impl Stream<Item = Events>> {
        *self.runs.lock().unwrap().entry(feed).or_default() += 1;
        let running = Running(self.ended.clone());
        let mut pace = Random::new(feed as u64);
        let events = stream::iter(1..=count).then(move |event| {
            let _running = &running;
            let (shared, pause) = (self.clone(), Duration::from_millis(pace.within(0..10)));
            async move {
                tokio::time::sleep(pause).await;
                if event == wait_at {
                    let all = |begun: &usize| *begun >= shared.wait_for;
                    shared.begun.subscribe().wait_for(all).await.unwrap();
                }
                shared.progress.send_replace(event);
                content(feed, event)
            }
        });
        let end = stream::iter(["end".to_owned()]);
        Sse::new(events.chain(end).map(|data| Ok(sse::Event::default().data(data))))
    }
}

async fn job(
    State(shared): State<Shared>,
    Path(feed): Path<usize>,
) -> Sse<impl Stream<Item = Events>> {
    shared.run(feed, 1, EVENTS)
}

async fn feed(State(shared): State<Shared>) -> Sse<impl Stream<Item = Events>> {
    shared.run(0, JOIN_BEFORE, EVENTS)
}

async fn endless(
    State(shared): State<Shared>,
    Path(feed): Path<usize>,
) -> Sse<impl Stream<Item = Events>> {
    shared.run(feed, 0, u64::MAX)
}
