//! What the layer adds to an event that passes, with an ID and a place in the history.
//!
//! `cargo bench --bench passthrough` prints, side by side and interleaved in one run:
//! - in process: the body polled by hand, nanoseconds per event of 180 bytes, bare and through the layer. `always`:
//!   each poll finds an event. `live`: each event is followed by a poll that finds nothing, as under a server. `16`:
//!   each poll finds a piece of 16 events. With `--instructions`, also instructions as callgrind counts them.
//! - over HTTP: CPU time of a whole axum server per event and stream, read from `/proc`, with 10, 100 and 1,000 live
//!   streams and one write an event, and with events that are all ready at once (`bulk`).
//!
//! `--quick` takes fewer rounds; other words (`process`, `http`, `bulk`) select parts.

mod support;

use std::pin::pin;
use std::process::Command;
use std::time::Instant;

use support::client::{self, Crowd};
use support::rounds::{Options, Times, each};
use support::server::{Server, serve_if_asked};
use support::source::{Sources, answer, event, read};
use tower::Layer;
use tower_sse_resume::SseResumeLayer;

const EVENT: usize = 180;
/// Events of one round in process.
const EVENTS: usize = 20_000;
/// Streams of a layer have their 1,000 events of history after that.
const WARM: usize = 5_000;

fn main() {
    serve_if_asked();
    count_if_asked();
    let options = Options::of_args();
    if options.wants("process") {
        in_process(&options);
    }
    if options.wants("http") || options.wants("bulk") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(over_http(&options));
    }
}

/// How the events come: name, events in a piece, pieces before a poll that finds nothing.
const SHAPES: [(&str, usize, usize); 3] =
    [("always", 1, usize::MAX), ("live", 1, 1), ("16", 16, usize::MAX)];

fn in_process(options: &Options) {
    println!("in process, nanoseconds per event (target: <= 70 added, <= 700 instructions)");
    println!("{:<8} {:>8} {:>8} {:>8} {:>14}", "shape", "bare", "layered", "added", "instructions");
    for (number, (name, events, burst)) in SHAPES.into_iter().enumerate() {
        let (bare, layered) = polled(events, burst, options.rounds(200));
        let [bare, layered] = [bare, layered].map(|times| each(times.best(), EVENTS));
        let added = layered - bare;
        let instructions = if options.instructions {
            format!("{:.0}", instructions(number, true) - instructions(number, false))
        } else {
            "-".to_owned()
        };
        println!("{name:<8} {bare:>8.1} {layered:>8.1} {added:>8.1} {instructions:>14}");
    }
}

fn polled(events: usize, burst: usize, rounds: usize) -> (Times, Times) {
    let piece = event(EVENT).repeat(events).into();
    let mut sources = Sources { piece, burst };
    let mut layered = SseResumeLayer::new().layer(sources.clone());
    let mut bare_body = pin!(answer(&mut sources, None).into_body());
    let mut layered_body = pin!(answer(&mut layered, None).into_body());
    // Our bodies are longer: what counts is events, so each is read by its own bytes.
    let longer = longer_by(layered_body.as_mut());
    let (mut bare_times, mut layered_times) = (Times::default(), Times::default());
    for _ in 0..rounds {
        let start = Instant::now();
        read(bare_body.as_mut(), EVENTS * EVENT);
        bare_times.push(start.elapsed());
        let start = Instant::now();
        read(layered_body.as_mut(), EVENTS * (EVENT + longer));
        layered_times.push(start.elapsed());
    }
    (bare_times, layered_times)
}

/// Warms a layered body up. Returns by how much its events are longer from now on.
fn longer_by<B>(mut body: std::pin::Pin<&mut B>) -> usize
where
    B: http_body::Body<Data = bytes::Bytes>,
{
    // Up to the offset 1,000,000, so that all further ones have as many digits.
    let id = "id: r1.0123456789abcdef012345.1.\n".len();
    let digits = |digits: u32| 9 * 10_usize.pow(digits - 1) * digits as usize;
    let bytes = 999_999 * (EVENT + id) + (1..=6).map(digits).sum::<usize>();
    read(body.as_mut(), bytes);
    id + 7
}

/// Instructions per event, as callgrind counts them for a process that does nothing else.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn instructions(shape: usize, layered: bool) -> f64 {
    let run = |events: usize| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().unwrap())
            .args(["--count", &shape.to_string(), &layered.to_string(), &events.to_string()])
            .output()
            .expect("valgrind");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = text.split("Collected : ").nth(1).expect("a count of instructions");
        collected.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let (few, many) = (WARM, WARM + EVENTS);
    (run(many) - run(few)) as f64 / EVENTS as f64
}

/// What [`instructions`] counts.
fn count_if_asked() {
    let args: Vec<_> = std::env::args().collect();
    let [_, flag, shape, layered, events] = &args[..] else { return };
    if flag != "--count" {
        return;
    }
    let (_, in_piece, burst) = SHAPES[shape.parse::<usize>().unwrap()];
    let events: usize = events.parse().unwrap();
    let mut sources = Sources { piece: event(EVENT).repeat(in_piece).into(), burst };
    if layered == "true" {
        let id = "id: r1.0123456789abcdef012345.1.12345\n".len();
        let mut layered = SseResumeLayer::new().layer(sources);
        read(pin!(answer(&mut layered, None).into_body()), events * (EVENT + id));
    } else {
        read(pin!(answer(&mut sources, None).into_body()), events * EVENT);
    }
    std::process::exit(0);
}

async fn over_http(options: &Options) {
    client::stay_awake();
    println!("over HTTP, server CPU in microseconds per event (target: <= 1.05, bulk <= 1.15)");
    println!("{:<14} {:>8} {:>8} {:>8}", "streams", "bare", "layered", "ratio");
    if options.wants("http") {
        for streams in [10, 100, 1_000] {
            live(streams, options).await;
        }
    }
    if options.wants("bulk") {
        bulk(options).await;
    }
}

async fn live(streams: usize, options: &Options) {
    let servers = [false, true].map(Server::start);
    let crowds = [
        Crowd::open(servers[0].address, "/events", streams).await,
        Crowd::open(servers[1].address, "/events", streams).await,
    ];
    let warm = 1_100;
    for (server, crowd) in servers.iter().zip(&crowds) {
        client::run(server.address, warm, 0).await;
        crowd.has_read((warm * streams * EVENT) as u64).await;
    }
    let events = (20_000 / streams).max(20);
    let mut times = [Times::default(), Times::default()];
    for _ in 0..options.rounds(40) {
        for (times, (server, crowd)) in times.iter_mut().zip(servers.iter().zip(&crowds)) {
            let (cpu, read) = (server.cpu(), crowd.read());
            client::run(server.address, events, 0).await;
            times.push(server.cpu().saturating_sub(cpu));
            crowd.has_read(read + (events * streams * EVENT) as u64).await;
        }
    }
    row(&format!("{streams} live"), &times, events * streams);
}

async fn bulk(options: &Options) {
    let servers = [false, true].map(Server::start);
    let events = 50_000;
    let mut times = [Times::default(), Times::default()];
    for _ in 0..options.rounds(40) {
        for (times, server) in times.iter_mut().zip(&servers) {
            let cpu = server.cpu();
            let path = format!("/bulk?events={events}");
            let mut response = client::get(server.address, &path, None).await;
            assert!(response.read_until(b"").await >= (events * EVENT) as u64);
            times.push(server.cpu().saturating_sub(cpu));
        }
    }
    row("bulk", &times, events);
}

fn row(name: &str, [bare, layered]: &[Times; 2], events: usize) {
    let ratio = layered.median_ratio(bare);
    let [bare, layered] = [bare, layered].map(|times| each(times.best(), events) / 1_000.0);
    println!("{name:<14} {bare:>8.3} {layered:>8.3} {ratio:>8.3}");
}
