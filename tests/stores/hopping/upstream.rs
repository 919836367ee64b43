//! A server behind the proxies, that numbers its events.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::{Stream, stream};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::watch;

use support::random::Random;

/// How many events a stream has; then comes one `end`.
pub(crate) const EVENTS: u64 = 80;
/// How many of them are said before the next proxy ends.
pub(crate) const ROUND: u64 = 8;

/// What a stream does when it is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// It goes on after the ID that it is asked with.
    WithIds,
    /// It has no IDs, and goes on with what comes next.
    Live,
}

impl Kind {
    pub(crate) fn path(self, stream: usize) -> String {
        match self {
            Self::WithIds => format!("/ids/{stream}"),
            Self::Live => format!("/live/{stream}"),
        }
    }
}

/// The data of an event: some are short, some are long.
pub(crate) fn content(kind: Kind, stream: usize, event: u64) -> String {
    if event > EVENTS {
        return format!("{} end", kind.path(stream));
    }
    let length = Random::new((stream as u64) << 32 | event).within(0..300) as usize;
    format!("{} {event} {}", kind.path(stream), "-".repeat(length))
}

/// The server, seen from outside.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

#[derive(Clone, Default)]
struct Shared {
    /// The last event that may be said.
    released: watch::Sender<u64>,
    streams: Arc<Mutex<HashMap<(Kind, usize), Said>>>,
}

/// What was said of a stream.
#[derive(Default)]
struct Said {
    calls: usize,
    /// The last event.
    last: u64,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared::default();
        let app = Router::new()
            .route("/ids/{stream}", get(with_ids))
            .route("/live/{stream}", get(live))
            .with_state(shared.clone());
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).expect("an option"));
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, shared }
    }

    /// Lets all streams say their events up to this one.
    pub(crate) fn release(&self, event: u64) {
        self.shared.released.send_replace(event);
    }

    /// How often a stream was asked for.
    pub(crate) fn calls(&self, kind: Kind, stream: usize) -> usize {
        let streams = self.shared.streams.lock().expect("not poisoned");
        streams.get(&(kind, stream)).map_or(0, |said| said.calls)
    }
}

type Events = Result<Event, io::Error>;

async fn with_ids(
    State(shared): State<Shared>,
    Path(stream): Path<usize>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Events>> {
    let last = headers.get("last-event-id").map_or(Some(0), |id| id.to_str().ok()?.parse().ok());
    let last = last.expect("an ID of this server");
    shared.called(Kind::WithIds, stream);
    let pace = Random::new(stream as u64);
    Sse::new(stream::try_unfold((last, pace), move |(last, mut pace)| {
        let shared = shared.clone();
        async move {
            let event = last + 1;
            if last > EVENTS {
                return Ok(None);
            }
            shared.until_released(event, &mut pace).await;
            let data = content(Kind::WithIds, stream, event);
            Ok(Some((Event::default().id(event.to_string()).data(data), (event, pace))))
        }
    }))
}

async fn live(
    State(shared): State<Shared>,
    Path(stream): Path<usize>,
) -> Sse<impl Stream<Item = Events>> {
    let call = shared.called(Kind::Live, stream);
    let pace = Random::new(stream as u64);
    Sse::new(stream::try_unfold((false, pace), move |(is_over, mut pace)| {
        let shared = shared.clone();
        async move {
            if is_over {
                return Ok(None);
            }
            let last = shared.said(Kind::Live, stream, |said| said.last);
            let event = (last + 1).min(EVENTS + 1);
            shared.until_released(event, &mut pace).await;
            let is_last_call = shared.said(Kind::Live, stream, |said| {
                said.last = event.max(said.last);
                said.calls == call
            });
            if !is_last_call {
                return Err(io::Error::other("the stream was asked for again"));
            }
            let data = content(Kind::Live, stream, event);
            Ok(Some((Event::default().data(data), (event > EVENTS, pace))))
        }
    }))
}

impl Shared {
    fn said<T>(&self, kind: Kind, stream: usize, what: impl FnOnce(&mut Said) -> T) -> T {
        what(self.streams.lock().expect("not poisoned").entry((kind, stream)).or_default())
    }

    /// Counts a call. Returns its number.
    fn called(&self, kind: Kind, stream: usize) -> usize {
        self.said(kind, stream, |said| {
            said.calls += 1;
            said.calls
        })
    }

    /// Waits until it is time for an event, and a moment more, so that streams do not go in step.
    async fn until_released(&self, event: u64, pace: &mut Random) {
        let mut released = self.released.subscribe();
        released.wait_for(|released| *released >= event).await.expect("it is there");
        tokio::time::sleep(Duration::from_millis(pace.within(0..20))).await;
    }
}
