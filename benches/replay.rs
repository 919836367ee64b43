//! What a resume costs: by how many events it sends, and not by how long the history is.
//!
//! `cargo bench --bench replay` prints
//! - in process: a resume from the middle of a history of 10, 1,000 and 100,000 events, from the request to the last
//!   byte, in microseconds and per replayed event; and one that has 10 events to get, whatever the history.
//! - over HTTP: a storm of clients that all come back at once for 999 events each: milliseconds until the last one has
//!   all, and the server's CPU time per replayed event, read from `/proc`.
//!
//! `--quick` takes fewer rounds; other words (`process`, `storm`) select parts.

mod support;

use std::pin::pin;
use std::time::{Duration, Instant};

use support::client;
use support::rounds::{Options, Times, each};
use support::server::{Server, serve_if_asked};
use support::source::{Sources, answer, event, read};
use tower::Layer;
use tower_sse_resume::{Limits, Retention, SseResumeLayer};

const EVENT: usize = 180;

fn main() {
    serve_if_asked();
    let options = Options::of_args();
    if options.wants("process") {
        in_process(&options);
    }
    if options.wants("storm") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(storms(&options));
    }
}

fn in_process(options: &Options) {
    println!("in process, a resume (target: <= 100 ns an event)");
    println!("{:>8} {:>8} {:>10} {:>10}", "history", "events", "us", "ns/event");
    for history in [10, 1_000, 100_000] {
        let resumes = Resumes::new(history);
        for events in [history / 2, 10] {
            let rounds = options.rounds(if events > 1_000 { 50 } else { 1_000 });
            let best = resumes.time(history - events, rounds);
            let micros = each(best, 1_000);
            println!("{history:>8} {events:>8} {micros:>10.2} {:>10.1}", each(best, events));
        }
    }
}

/// A stream whose history is full.
struct Resumes<S, B> {
    layered: std::cell::RefCell<S>,
    /// The client that is there; without it the stream would be over.
    _first: B,
    /// All IDs of the stream up to the offset.
    id: String,
    last: usize,
}

impl Resumes<(), ()> {
    #[allow(clippy::new_ret_no_self, reason = "the types of services cannot be written")]
    fn new(
        history: usize,
    ) -> Resumes<
        tower_sse_resume::SseResume<Sources>,
        std::pin::Pin<Box<tower_sse_resume::ResumeBody<support::source::Source>>>,
    > {
        let layer = SseResumeLayer::new()
            .retention(Retention::new().events(history as u64).bytes(usize::MAX))
            .limits(Limits::new().bytes(usize::MAX));
        let mut layered = layer.layer(Sources { piece: event(EVENT), burst: usize::MAX });
        let response = answer(&mut layered, None);
        let from = response.headers()["sse-resume-from"].to_str().unwrap();
        let id = from.strip_suffix('0').unwrap().to_owned();
        let mut first = Box::pin(response.into_body());
        let bytes = (1..=history).map(|offset| length(&id, offset)).sum();
        read(first.as_mut(), bytes);
        Resumes { layered: layered.into(), _first: first, id, last: history }
    }
}

/// The bytes of the event at `offset`, whose ID begins with `id`.
fn length(id: &str, offset: usize) -> usize {
    EVENT + "id: \n".len() + id.len() + offset.to_string().len()
}

impl<S, B> Resumes<S, B> {
    /// The least time of a resume from `position`.
    fn time<T>(&self, position: usize, rounds: usize) -> Duration
    where
        S: tower::Service<http::Request<()>, Response = http::Response<T>>,
        T: http_body::Body<Data = bytes::Bytes>,
    {
        let id = format!("{}{position}", self.id);
        let bytes = (position + 1..=self.last).map(|offset| length(&self.id, offset)).sum();
        let mut times = Times::default();
        for _ in 0..rounds {
            let start = Instant::now();
            let response = answer(&mut *self.layered.borrow_mut(), Some(&id));
            assert_eq!(read(pin!(response.into_body()), bytes), bytes);
            times.push(start.elapsed());
        }
        times.best()
    }
}

async fn storms(options: &Options) {
    println!("over HTTP, clients at once for 999 events each (target: 200 within 25 ms)");
    println!("{:>8} {:>12} {:>12} {:>14}", "clients", "best ms", "median ms", "CPU us/event");
    for clients in [200, 1_000] {
        let server = Server::start(true);
        let first = client::get(server.address, "/events", None).await;
        let from = first.header("sse-resume-from").unwrap();
        let id = format!("{}1", from.strip_suffix('0').unwrap());
        let drain = tokio::spawn(async move {
            let mut first = first;
            first.read_until(b"").await
        });
        client::run(server.address, 1_000, 0).await;
        let (mut times, mut cpus) = (Vec::new(), Times::default());
        for _ in 0..options.rounds(15) {
            let cpu = server.cpu();
            times.push(storm(&server, clients, &id).await);
            cpus.push(server.cpu().saturating_sub(cpu));
        }
        drain.abort();
        times.sort();
        let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (best, median) = (millis(times[0]), millis(times[times.len() / 2]));
        let cpu = each(cpus.best(), clients * 999) / 1_000.0;
        println!("{clients:>8} {best:>12.1} {median:>12.1} {cpu:>14.3}");
    }
}

/// From the first request to the last byte of the last client.
async fn storm(server: &Server, clients: usize, id: &str) -> Duration {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    let start = Instant::now();
    let resumes = connections.into_iter().map(|connection| {
        let id = id.to_owned();
        tokio::spawn(async move {
            let mut response = client::get_on(connection, "/events", Some(&id)).await;
            assert!(response.read_until(b".1.1000\n\n").await >= 999 * EVENT as u64);
        })
    });
    for resume in resumes.collect::<Vec<_>>() {
        resume.await.unwrap();
    }
    start.elapsed()
}
