//! What scanning costs per event, beside finding newlines with memchr and beside the parsers of
//! other crates.
//!
//! `cargo bench --bench scanner` prints nanoseconds per event, the best of several interleaved
//! rounds. `--quick` takes fewer rounds, `--alone` leaves the other parsers out; other words select
//! the rows that contain one of them.
//!
//! `memchr` walks the newlines with `memchr_iter`, `memchr2` both line endings with `memchr2_iter`
//! (what any scanner for this format must look for), `count` is `memchr_iter(..).count()`, which
//! tells no positions.

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use sse_stream::SseStream;
use tower_sse_resume::sse::{BlockKind, Scanner};

/// Bytes of a stream; all of them stay in the second-level cache.
const STREAM: usize = 256 * 1024;

struct Options {
    rounds: u32,
    alone: bool,
    words: Vec<String>,
}

fn main() {
    let (flags, words): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let flag = |name| flags.iter().any(|flag| flag == name);
    let options =
        Options { rounds: if flag("--quick") { 5 } else { 40 }, alone: flag("--alone"), words };
    println!("nanoseconds per event, best of {} rounds", options.rounds);
    println!(
        "{:<24} {:>9} {:>9} {:>6} {:>9} {:>6} {:>9} {:>6} {:>10} {:>12}",
        "event, ending, piece",
        "scanner",
        "memchr",
        "ratio",
        "memchr2",
        "ratio",
        "count",
        "ratio",
        "sse-stream",
        "eventsource"
    );
    for (name, event) in events() {
        for (ending_name, ending) in [("LF", "\n"), ("CRLF", "\r\n")] {
            let event = event.replace('\n', ending);
            for piece in [event.len(), 64, 1460, 16384] {
                let piece_name =
                    if piece == event.len() { "event".to_owned() } else { piece.to_string() };
                let row = format!("{name}, {ending_name}, {piece_name}");
                if options.words.is_empty() || options.words.iter().any(|word| row.contains(word)) {
                    measure(&row, &event, piece, &options);
                }
            }
        }
    }
}

/// Name and bytes, with LF.
fn events() -> Vec<(&'static str, String)> {
    let data = |length: usize| format!("data: {}\n\n", "x".repeat(length - 8));
    let line = |line: usize| format!("data: \"key{line}\": \"{}\",", "v".repeat(line));
    let many = (0..30).map(line).collect::<Vec<_>>().join("\n");
    vec![
        ("180 B", data(180)),
        ("12 B", data(12)),
        ("600 B", data(600)),
        ("64 KiB", data(65536)),
        ("30 lines", format!("event: message\n{many}\n\n")),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn measure(row: &str, event: &str, piece: usize, options: &Options) {
    let events = STREAM.div_ceil(event.len());
    let stream = Bytes::from(event.repeat(events));
    let pieces: Vec<Bytes> = (0..stream.len())
        .step_by(piece)
        .map(|at| stream.slice(at..stream.len().min(at + piece)))
        .collect();
    let newlines = memchr::memchr_iter(b'\n', &stream).count();

    let mut best = [Duration::MAX; 6];
    for round in 0..options.rounds {
        assert_eq!(timed(&mut best[0], || scanner(&pieces)), events);
        assert_eq!(timed(&mut best[1], || newlines_one_by_one(&pieces)), newlines);
        assert_eq!(timed(&mut best[2], || both_endings_one_by_one(&pieces)), newlines);
        assert_eq!(timed(&mut best[3], || newlines_counted(&pieces)), newlines);
        // The slow ones need no more than a few rounds.
        if round < 5 && !options.alone {
            assert_eq!(
                timed(&mut best[4], || drain(SseStream::from_bytes_stream(body(&pieces)))),
                events
            );
            assert_eq!(timed(&mut best[5], || drain(body(&pieces).eventsource())), events);
        }
    }

    let [ours, newline, ending, count, others @ ..] =
        best.map(|time| time.as_nanos() as f64 / events as f64);
    print!("{row:<24} {ours:>9.1}");
    for peer in [newline, ending, count] {
        print!(" {peer:>9.1} {:>6.2}", ours / peer);
    }
    match others {
        _ if options.alone => println!(),
        [sse_stream, eventsource] => println!(" {sse_stream:>10.1} {eventsource:>12.1}"),
    }
}

fn timed(best: &mut Duration, run: impl FnOnce() -> usize) -> usize {
    let start = Instant::now();
    let result = black_box(run());
    *best = start.elapsed().min(*best);
    result
}

/// How many events there are; where each one ends is used, too.
#[inline(never)]
fn scanner(pieces: &[Bytes]) -> usize {
    let mut scanner = Scanner::new();
    let mut events = 0;
    for piece in pieces {
        let mut input = &piece[..];
        while let Some(frame) = scanner.scan(input) {
            events += usize::from(frame.kind() == BlockKind::Event);
            black_box((frame.len, frame.blank, frame.id_line.is_some()));
            input = &input[frame.end..];
        }
    }
    events
}

#[inline(never)]
fn newlines_one_by_one(pieces: &[Bytes]) -> usize {
    let mut newlines = 0;
    for piece in pieces {
        for newline in memchr::memchr_iter(b'\n', piece) {
            newlines += 1;
            black_box(newline);
        }
    }
    newlines
}

#[inline(never)]
fn both_endings_one_by_one(pieces: &[Bytes]) -> usize {
    let mut newlines = 0;
    for piece in pieces {
        for ending in memchr::memchr2_iter(b'\n', b'\r', piece) {
            newlines += usize::from(piece[ending] == b'\n');
            black_box(ending);
        }
    }
    newlines
}

#[inline(never)]
fn newlines_counted(pieces: &[Bytes]) -> usize {
    pieces.iter().map(|piece| memchr::memchr_iter(b'\n', piece).count()).sum()
}

fn body(pieces: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> + Unpin {
    stream::iter(pieces.iter().cloned().map(Ok))
}

fn drain(stream: impl Stream) -> usize {
    stream.count().now_or_never().expect("the pieces are all there")
}
