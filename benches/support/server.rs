//! An axum application in a process of its own, bare or with the layer, so that its CPU time can be told from that of
//! its clients.
//!
//! It runs on one thread. `/run` makes it send events to all streams that are open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;
use tower_sse_resume::SseResumeLayer;

/// With `data: ` and the blank line, an event of 180 bytes.
const DATA: &str = match std::str::from_utf8(&[b'x'; 172]) {
    Ok(data) => data,
    Err(_) => panic!("ASCII"),
};

/// A server in a process of its own, which ends with it.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(layered: bool) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(if layered { SERVE_LAYERED } else { SERVE_BARE })
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// CPU time that the process has taken so far.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let ran = tasks.map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(ran.sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVE_BARE: &str = "--serve-bare";
const SERVE_LAYERED: &str = "--serve-layered";

/// To be called first: if this process is to be a server, it is one, and this does not return.
pub fn serve_if_asked() {
    match std::env::args().nth(1).as_deref() {
        Some(SERVE_BARE) => serve(false),
        Some(SERVE_LAYERED) => serve(true),
        _ => {}
    }
}

fn serve(layered: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, app(layered)).await.unwrap();
    });
    std::process::exit(0);
}

fn app(layered: bool) -> Router {
    let feeds = Arc::new(Feeds {
        streams: Mutex::default(),
        untaken: AtomicUsize::new(0),
        all_taken: Notify::new(),
        broadcast: broadcast::Sender::new(64),
    });
    let streams = Router::new()
        .route("/events", get(events))
        .route("/bulk", get(bulk))
        .route("/broadcast", get(subscribe));
    let streams = if layered { streams.layer(SseResumeLayer::new()) } else { streams };
    streams.route("/run", get(run)).route("/reset", get(reset)).with_state(feeds)
}

/// Who is sent events.
struct Feeds {
    streams: Mutex<Vec<mpsc::UnboundedSender<()>>>,
    /// Streams that have not taken the last event yet.
    untaken: AtomicUsize,
    all_taken: Notify,
    broadcast: broadcast::Sender<()>,
}

/// An inner stream: one event each time the application is told to.
struct Fed {
    feeds: Arc<Feeds>,
    events: mpsc::UnboundedReceiver<()>,
}

impl Stream for Fed {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if ready!(self.events.poll_recv(cx)).is_none() {
            return Poll::Ready(None);
        }
        if self.feeds.untaken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.feeds.all_taken.notify_one();
        }
        Poll::Ready(Some(Ok(Event::default().data(DATA))))
    }
}

async fn events(State(feeds): State<Arc<Feeds>>) -> Sse<Fed> {
    let (sender, events) = mpsc::unbounded_channel();
    feeds.streams.lock().unwrap().push(sender);
    Sse::new(Fed { feeds, events })
}

async fn subscribe(
    State(feeds): State<Arc<Feeds>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(feeds.broadcast.subscribe());
    Sse::new(events.map(|_| Ok(Event::default().data(DATA))))
}

/// `events`, and `pace`: milliseconds between them, or 0: the next one as soon as all streams have taken the last.
type Amounts = Query<HashMap<String, usize>>;

/// Many events that are all ready at once.
async fn bulk(Query(amounts): Amounts) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::repeat_with(|| Ok(Event::default().data(DATA)));
    Sse::new(events.take(amounts["events"]))
}

/// Sends each open stream so many events, one at a time: each one is one write.
async fn run(State(feeds): State<Arc<Feeds>>, Query(amounts): Amounts) {
    let pace = Duration::from_millis(amounts["pace"] as u64);
    for _ in 0..amounts["events"] {
        if feeds.broadcast.receiver_count() > 0 {
            let _ = feeds.broadcast.send(());
        } else {
            send_to_all(&feeds).await;
        }
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
    }
}

async fn send_to_all(feeds: &Feeds) {
    {
        let streams = feeds.streams.lock().unwrap();
        feeds.untaken.store(streams.len(), Ordering::Relaxed);
        if streams.is_empty() {
            return;
        }
        for stream in &*streams {
            if stream.send(()).is_err() {
                feeds.untaken.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
    feeds.all_taken.notified().await;
}

/// Ends all open streams.
async fn reset(State(feeds): State<Arc<Feeds>>) {
    feeds.streams.lock().unwrap().clear();
}
