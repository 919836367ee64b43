//! A client that goes from proxy to proxy for as long as its stream goes on.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::PATIENCE;
use super::fleet::Addresses;
use super::model::{Gaps, Model};
use super::upstream::{EVENTS, Kind};
use support::client::{last_event_id, parse};
use support::random::Random;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many of its connections are cut at random bytes.
const CUTS: usize = 40;
/// What is shown of a client that fails or is stuck.
const JOURNAL: usize = 12;

/// How many events all clients have had, and missed, together.
#[derive(Clone, Default)]
pub(crate) struct Progress(watch::Sender<u64>);

impl Progress {
    /// Waits for so many.
    pub(crate) async fn reach(&self, events: u64) {
        let mut progress = self.0.subscribe();
        let reached = timeout(PATIENCE, progress.wait_for(|progress| *progress >= events)).await;
        let _ = reached.unwrap_or_else(|_| panic!("{} of {events} events", *self.0.borrow()));
    }
}

/// What these readers are at last.
pub(crate) async fn all(
    readers: impl IntoIterator<Item = impl Future<Output = Reader> + Send + 'static>,
) -> Vec<Reader> {
    let readers = readers.into_iter().map(tokio::spawn).collect::<Vec<_>>();
    try_join_all(readers).await.expect("no client fails")
}

/// A client, between two connections or in the middle of one.
pub(crate) struct Reader {
    path: String,
    addresses: watch::Receiver<Addresses>,
    /// The only proxy that it goes to at first.
    first: Option<usize>,
    random: Random,
    /// After how many bytes the next connections break; those after them last.
    cuts: VecDeque<u64>,
    last_event_id: String,
    /// The one that is being read, and the block of it that is unfinished.
    response: Option<(Incoming, BytesMut)>,
    /// How many it got.
    pub(crate) responses: usize,
    /// How the last one came about.
    pub(crate) answer: String,
    /// The position before its first event.
    pub(crate) beginning: String,
    pub(crate) model: Model,
    progress: Progress,
    journal: VecDeque<String>,
}

impl Reader {
    pub(crate) fn new(
        kind: Kind,
        stream: usize,
        addresses: watch::Receiver<Addresses>,
        gaps: Gaps,
        progress: &Progress,
    ) -> Self {
        Self {
            path: kind.path(stream),
            addresses,
            first: None,
            random: Random::new(stream as u64),
            cuts: VecDeque::new(),
            last_event_id: String::new(),
            response: None,
            responses: 0,
            answer: String::new(),
            beginning: String::new(),
            model: Model::new(kind, stream, gaps),
            progress: progress.clone(),
            journal: VecDeque::new(),
        }
    }

    /// Its connections are cut at random bytes, and it goes to any proxy.
    pub(crate) fn cut_at_random(mut self, mut random: Random) -> Self {
        self.cuts = (0..CUTS).map(|_| random.within(1..2_000)).collect();
        Self { random, ..self }
    }

    /// It begins with this proxy.
    pub(crate) fn at(self, first: usize) -> Self {
        Self { first: Some(first), ..self }
    }

    /// It comes back to this position.
    pub(crate) fn after(self, position: String) -> Self {
        Self { last_event_id: position, ..self }
    }

    /// Another client that is where this one is.
    pub(crate) fn another(&self) -> Self {
        Self {
            path: self.path.clone(),
            addresses: self.addresses.clone(),
            first: self.first,
            random: self.random.clone(),
            cuts: VecDeque::new(),
            last_event_id: self.last_event_id.clone(),
            response: None,
            responses: 0,
            answer: String::new(),
            beginning: String::new(),
            model: self.model.clone(),
            progress: self.progress.clone(),
            journal: VecDeque::new(),
        }
    }

    /// Reads to the end of its stream.
    pub(crate) async fn read_whole(self) -> Self {
        self.read_up_to(EVENTS + 1).await
    }

    /// Reads until it has had so many events, or missed them.
    pub(crate) async fn read_up_to(mut self, last: u64) -> Self {
        let is_read = timeout(PATIENCE, async {
            while self.model.last < last {
                self.read_some().await;
            }
        });
        if is_read.await.is_err() {
            self.fail("it gets nothing more");
        }
        self
    }

    /// Reads its response until that breaks off.
    pub(crate) async fn read_out(mut self) -> Self {
        let is_read = timeout(PATIENCE, async {
            while self.response.is_some() {
                self.read_some().await;
            }
        });
        if is_read.await.is_err() {
            self.fail("its response does not break off");
        }
        self
    }

    /// Reads the next piece of its response. Goes to a proxy if it has none.
    async fn read_some(&mut self) {
        let Some((mut body, mut unfinished)) = self.response.take() else {
            return self.connect().await;
        };
        // Dropped in the middle, it has left.
        let Some(frame) = body.frame().await else {
            return self.fail("a clean end before the last event");
        };
        match frame {
            Err(error) => self.note(format!("broken: {error}")),
            Ok(frame) => {
                unfinished.extend_from_slice(&frame.into_data().unwrap_or_default());
                if let Some(end) = unfinished.windows(2).rposition(|bytes| bytes == b"\n\n") {
                    self.dispatch(&unfinished.split_to(end + 2));
                }
                self.response = Some((body, unfinished));
            }
        }
    }

    async fn connect(&mut self) {
        if self.last_event_id.is_empty() {
            self.model.begin();
        }
        let (which, address) = self.any_proxy().await;
        let response = match self.request(address).await {
            Ok(response) => response,
            Err(error) => {
                self.note(format!("proxy {which}: {error}"));
                return tokio::task::yield_now().await;
            }
        };
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        let (status, resume) = (response.status(), header("sse-resume").unwrap_or("none"));
        resume.clone_into(&mut self.answer);
        let asked = &self.last_event_id;
        self.note(format!("proxy {which} asked with {asked:?}: {status}, {resume}"));
        if self.responses == 0 {
            header("sse-resume-from").unwrap_or_default().clone_into(&mut self.beginning);
        }
        if status != StatusCode::OK {
            self.fail("no event stream");
        }
        self.responses += 1;
        self.response = Some((response.into_body(), BytesMut::new()));
    }

    /// One of those that are there, as soon as one is.
    async fn any_proxy(&mut self) -> (usize, SocketAddr) {
        let which = self.first.take().unwrap_or(self.random.within(0..2) as usize);
        let is_there = |addresses: &Addresses| addresses.iter().any(Option::is_some);
        let addresses = *self.addresses.wait_for(is_there).await.expect("there are proxies");
        let found = [which, 1 - which].into_iter().find_map(|at| Some((at, addresses[at]?)));
        found.expect("one is there")
    }

    /// As a browser's `EventSource` makes it.
    async fn request(&mut self, address: SocketAddr) -> Result<Response<Incoming>, BoxError> {
        let request = Request::get(&self.path)
            .header("host", "localhost")
            .header("accept", "text/event-stream")
            .header("cache-control", "no-cache")
            .header("sec-fetch-mode", "cors");
        let request = match &*self.last_event_id {
            "" => request,
            id => request.header("last-event-id", id),
        };
        let socket = TcpStream::connect(address).await?;
        let (read, write) = socket.into_split();
        let cut = self.cuts.pop_front().unwrap_or(u64::MAX);
        let socket = TokioIo::new(join(read.take(cut), write));
        let (mut sender, connection) = http1::handshake(socket).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?)
    }

    fn dispatch(&mut self, frames: &[u8]) {
        let before = self.model.last;
        for event in parse(frames) {
            if let Err(wrong) = self.model.take(&event) {
                self.fail(&wrong);
            }
        }
        let id = last_event_id(frames);
        if !id.is_empty() {
            self.last_event_id = id;
        }
        self.progress.0.send_modify(|progress| *progress += self.model.last - before);
    }

    fn note(&mut self, what: String) {
        self.journal.truncate(JOURNAL - 1);
        self.journal.push_front(what);
    }

    fn fail(&self, wrong: &str) {
        let journal: Vec<_> = self.journal.iter().rev().map(String::as_str).collect();
        let (path, last, id) = (&self.path, self.model.last, &self.last_event_id);
        panic!("{path}, event {last}, {id}: {wrong}; before that:\n{}", journal.join("\n"));
    }
}
