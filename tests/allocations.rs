//! What the layer allocates and holds, as the allocator counts it. Each thread's allocations are counted apart, and all
//! of a test here happens on its own thread.

#[allow(dead_code, unreachable_pub, reason = "a part is used")]
#[path = "../benches/support/source.rs"]
mod source;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::Request;
use http_body::Body;
use source::{Source, Sources, answer, event, read, read_with};
use support::scripted::Scripted;
use tower::{Layer, Service};
use tower_sse_resume::{Limits, Linger, ResumeBody, Retention, SseResume, SseResumeLayer};

/// The size of a block of history that is full.
const BLOCK: usize = 8 * 1024;
/// What a new block may allocate: its bytes, their exact copy when it is sealed, and room in the list of blocks.
const A_BLOCK: u64 = 4;

const EVENT: usize = 180;

fn endless() -> Sources {
    Sources { piece: event(EVENT), burst: 1 }
}

fn open<S, B>(service: &mut S, id: Option<&str>) -> (String, Pin<Box<B>>)
where
    S: Service<Request<()>, Response = http::Response<B>>,
{
    let response = answer(service, id);
    let from = response.headers()["sse-resume-from"].to_str().unwrap().to_owned();
    (from, Box::pin(response.into_body()))
}

/// A waker as runtimes have them. A clone of `Waker::noop` need not be the same waker where nothing is optimized.
fn waker() -> Waker {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())))
}

/// Asserts that most of `rounds` allocated nothing, and the others no more than a new block does.
fn assert_only_blocks(rounds: &[AllocationInfo], bytes: usize) {
    let with: Vec<_> = rounds.iter().map(|round| round.count_total).filter(|n| *n > 0).collect();
    assert!(with.len() <= bytes / BLOCK + 2, "{} of {} events", with.len(), rounds.len());
    assert!(with.iter().all(|count| *count <= A_BLOCK), "{with:?}");
    assert!(!with.is_empty(), "the history takes new blocks now and then");
}

#[test]
fn an_event_that_passes_inline_allocates_nothing_but_blocks_of_history() {
    let mut service = SseResumeLayer::new().layer(endless());
    let (_, mut body) = open(&mut service, None);
    let waker = waker();
    read_with(body.as_mut(), 3_000 * EVENT, &waker);
    let mut bytes = 0;
    let mut pass = || bytes += read_with(body.as_mut(), EVENT, &waker);
    let rounds: Vec<_> = (0..2_000).map(|_| measure(&mut pass)).collect();
    assert_only_blocks(&rounds, bytes);
}

#[test]
fn an_event_that_a_task_reads_for_two_clients_allocates_nothing_but_blocks_of_history() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let guard = runtime.enter();
    let inner = Scripted::new();
    let mut service = SseResumeLayer::new().layer(inner.clone());
    let (from, mut first) = open(&mut service, None);
    let (_, mut second) = open(&mut service, Some(&from));
    drop(guard);
    let (feed, piece) = (inner.body(0), event(EVENT));
    let mut bytes = 0;
    let mut pass = || {
        feed.send(piece.clone());
        runtime.block_on(tokio::task::yield_now());
        bytes += read_all(first.as_mut());
        read_all(second.as_mut());
    };
    (0..3_000).for_each(|_| pass());
    // What the runtime allocates to let its tasks run is none of ours.
    let of_runtime = measure(|| runtime.block_on(tokio::task::yield_now())).count_total;
    let mut rounds: Vec<_> = (0..2_000).map(|_| measure(&mut pass)).collect();
    for round in &mut rounds {
        round.count_total -= of_runtime;
    }
    assert_only_blocks(&rounds, bytes * 2 / 5);
}

#[test]
fn what_the_layer_says_it_holds_is_what_it_holds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let layer = SseResumeLayer::new();
    let mut service = layer.layer(endless());
    // The sweeper and the first interned headers are the layer's, not a stream's.
    let (_, _first) = open(&mut service, None);
    let before = layer.handle().stats().bytes;
    let streams = 100;
    let mut bodies = Vec::with_capacity(streams);
    let info = measure(|| {
        for number in 0..streams {
            let mut body = answer(&mut service, None).into_body();
            read(Pin::new(&mut body), number * number / 4 * EVENT);
            bodies.push(body);
        }
    });
    let held = usize::try_from(info.bytes_current).unwrap();
    let said = layer.handle().stats().bytes - before;
    // Not said: the inner body's own box, reference counts beside bytes, and the empty half of a hash map. Not held:
    // nothing. That is less than a quarter of a kilobyte a stream, and independent of its events.
    let unsaid = streams * 256;
    assert!(said <= held + streams * 64 && held <= said + unsaid, "held {held}, said {said}");
}

#[test]
fn memory_is_as_it_was_once_clients_and_streams_are_gone() {
    let layer = SseResumeLayer::new().linger(Linger::none());
    let mut service = layer.layer(endless());
    let mut come_and_go = || {
        let mut bodies: Vec<_> = (0..50).map(|_| open(&mut service, None).1).collect();
        for body in &mut bodies {
            read(body.as_mut(), 100 * EVENT);
        }
        drop(bodies);
        layer.handle().purge_all();
    };
    come_and_go();
    let info = measure(come_and_go);
    assert_eq!(info.count_current, 0);
    // The empty map of streams may have changed its size: where it puts them is random.
    assert!(info.bytes_current.unsigned_abs() <= 50 * 128, "{info:?}");
    assert!(info.bytes_total > 50 * 100 * EVENT as u64);
    assert_eq!(layer.handle().stats().bytes, 0);
}

#[test]
fn a_resume_allocates_the_same_whatever_the_history() {
    let [short, long] = [1_000, 50_000].map(resume_of_ten);
    assert_eq!(short.count_total, long.count_total);
    assert!(long.bytes_total.abs_diff(short.bytes_total) <= 64, "{short:?} {long:?}");
}

/// What a resume allocates that gets the last ten events of a history of so many.
fn resume_of_ten(history: usize) -> AllocationInfo {
    let layer = SseResumeLayer::new()
        .retention(Retention::new().events(history as u64).bytes(usize::MAX))
        .limits(Limits::new().bytes(usize::MAX));
    let mut service: SseResume<Sources> = layer.layer(endless());
    let (from, mut first) = open(&mut service, None);
    let base = from.strip_suffix('0').unwrap().to_owned();
    let mut last = 0;
    while last < history {
        last += events_in(&next(&mut first));
    }
    let mut resume = |last: usize| {
        let (_, mut body) = open(&mut service, Some(&format!("{base}{}", last - 10)));
        let (mut come, mut pieces) = (0, 0);
        while come < 10 {
            come += events_in(&next(&mut body));
            pieces += 1;
        }
        assert_eq!(come, 10);
        pieces
    };
    // A resume ends the open block, and each block that it gets something of counts: here it is one.
    while resume(last) > 1 {
        last += events_in(&next(&mut first));
    }
    measure(|| assert_eq!(resume(last), 1))
}

/// Polls until there is nothing, as a server does. Returns how many bytes came.
fn read_all<B>(mut body: Pin<&mut B>) -> usize
where
    B: Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let mut come = 0;
    while let Poll::Ready(frame) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()))
    {
        come += frame.unwrap().unwrap().into_data().unwrap().len();
    }
    come
}

fn next(body: &mut Pin<Box<ResumeBody<Source>>>) -> Bytes {
    loop {
        let polled = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(frame) = polled {
            return frame.unwrap().unwrap().into_data().unwrap();
        }
    }
}

fn events_in(data: &[u8]) -> usize {
    data.windows(2).filter(|two| two == b"\n\n").count()
}

#[test]
fn at_the_cap_on_bytes_not_each_event_looks_through_all_streams() {
    const STREAMS: usize = 1_000;
    // More is what the streams take by themselves, which none of them can give up.
    let limits = Limits::new().bytes(512 * 1024);
    let mut service = SseResumeLayer::new().limits(limits).layer(endless());
    let mut bodies: Vec<_> = (0..STREAMS).map(|_| open(&mut service, None).1).collect();
    // More than a block, and less than a list of all streams.
    let is_walk = |round: &AllocationInfo| round.bytes_total > STREAMS as u64 * 32;
    let events = bodies.iter_mut().map(|body| {
        measure(|| {
            read(body.as_mut(), EVENT);
        })
    });
    let walks = events.filter(is_walk).count();
    assert!((1..=STREAMS / 10).contains(&walks), "{walks} of {STREAMS} events");
}
