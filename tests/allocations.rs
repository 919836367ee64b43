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
use http::{HeaderName, Request, Response};
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
    S: Service<Request<()>, Response = Response<B>>,
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
    const STREAMS: usize = 400;
    let limits = Limits::new().bytes(1024 * 1024);
    let mut service = SseResumeLayer::new().limits(limits).layer(endless());
    let mut bodies: Vec<_> = (0..STREAMS).map(|_| open(&mut service, None).1).collect();
    // More than a block, and less than a list of all streams.
    let is_walk = |round: &AllocationInfo| round.bytes_total > 3 * BLOCK as u64;
    let mut events = Vec::new();
    for _ in 0..40 {
        events.extend(bodies.iter_mut().map(|body| {
            measure(|| {
                read(body.as_mut(), EVENT);
            })
        }));
    }
    let walks = events.iter().filter(|round| is_walk(round)).count();
    assert!((1..=events.len() / STREAMS).contains(&walks), "{walks} of {} events", events.len());
}

// What others may cost

/// The bytes that requests allocate, of streams whose clients leave at once: each of the last so many.
fn bytes_of_requests(limits: Limits, before: usize, sessions: impl Fn(usize) -> usize) -> u64 {
    const REQUESTS: usize = 512;
    let session = HeaderName::from_static("x-session");
    let layer = SseResumeLayer::new().session_header(session).limits(limits.bytes(usize::MAX));
    let mut service = layer.layer(endless());
    let mut come_and_go = |number: usize| {
        let request = Request::get("/").header("x-session", sessions(number).to_string());
        let call = std::pin::pin!(service.call(request.body(()).unwrap()));
        match call.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => drop(response.unwrap()),
            Poll::Pending => unreachable!("the inner service answers at once"),
        }
    };
    (0..before).for_each(&mut come_and_go);
    measure(|| (before..before + REQUESTS).for_each(&mut come_and_go)).bytes_total
}

#[test]
fn a_request_at_a_limit_costs_no_more_however_many_streams_there_are() {
    for streams in [1_000, 8_000] {
        let below = bytes_of_requests(Limits::new(), streams, |number| number);
        let at = [
            bytes_of_requests(Limits::new().streams(streams), streams, |number| number),
            bytes_of_requests(Limits::new().sessions(streams), streams, |number| number),
            // All but the last ones are of others.
            bytes_of_requests(Limits::new().streams_per_session(64), streams, |number| {
                if number < streams - 64 { number } else { 0 }
            }),
        ];
        assert!(at.iter().all(|at| *at <= 2 * below), "{streams}: {at:?}, below them {below}");
    }
}

/// Answers each request with an event stream of this event, and keeps nothing of the request.
#[derive(Clone)]
struct OneEvent(Bytes);

impl<B> Service<Request<B>> for OneEvent {
    type Response = Response<Source>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let head = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok(head.body(Source::new(self.0.clone(), 1)).unwrap()))
    }
}

#[test]
fn idle_clients_with_large_requests_take_no_room_from_others() {
    const LIMIT: usize = 4 * 1024 * 1024;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let layer = SseResumeLayer::new().limits(Limits::new().bytes(LIMIT));
    let mut service = layer.layer(OneEvent(event(EVENT)));
    let mut answer = |id: String| {
        let request = Request::get("/").header("last-event-id", id).body(()).unwrap();
        let response = std::pin::pin!(service.call(request));
        match response.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => unreachable!("the inner service answers at once"),
        }
    };
    let mut idle = Vec::with_capacity(50);
    let (mut come, mut told_of_gaps) = ((0, 0), false);
    let info = measure(|| {
        let victim = answer("1".to_owned());
        let from = victim.headers()["sse-resume-from"].to_str().unwrap().to_owned();
        let mut victim = Box::pin(victim.into_body());
        for _ in 0..9 {
            come.0 += events_in(&next(&mut victim));
        }
        drop(victim);
        for number in 0..50 {
            idle.push(answer(format!("{number}{}", "x".repeat(100_000))).into_body());
        }
        let mut again = Box::pin(answer(from).into_body());
        while come.1 < 9 {
            let piece = next(&mut again);
            come.1 += events_in(&piece);
            told_of_gaps |= piece.windows(10).any(|bytes| bytes == b"resume-gap");
        }
    });
    assert_eq!((come, told_of_gaps), ((9, 9), false), "the victim misses nothing");
    assert!(info.bytes_max < 5 * 1024 * 1024, "{info:?}");
    assert!(info.bytes_current < 512 * 1024, "of the requests nothing is kept: {info:?}");
    let said = u64::try_from(layer.handle().stats().bytes).unwrap();
    assert!(said >= info.bytes_current.unsigned_abs() * 3 / 4, "{said} of {info:?}");
}

#[cfg(feature = "mcp")]
#[test]
fn small_calls_of_a_protocol_are_counted_as_they_are_held() {
    use http_body_util::{BodyExt, Full};
    use tower_sse_resume::McpBody;

    type Call = Request<McpBody<Full<Bytes>>>;
    let answer = tower::service_fn(|request: Call| async move {
        let session = request.headers()["mcp-session-id"].clone();
        let _ = request.into_body().collect().await;
        let said = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
        let head = Response::builder().header("content-type", "text/event-stream");
        let head = head.header("mcp-session-id", session);
        Ok::<_, std::convert::Infallible>(head.body(Full::new(Bytes::from(said))).unwrap())
    });
    let layer = SseResumeLayer::mcp();
    let mut service = layer.layer(answer);
    let mut call = |number: usize| {
        let message = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call"}}"#);
        let request = Request::post("/mcp").header("mcp-session-id", format!("session-{number}"));
        let request = request.header("mcp-protocol-version", "2025-06-18");
        let call = service.call(request.body(Full::new(Bytes::from(message))).unwrap());
        let whole = async { call.await.unwrap().into_body().collect().await.unwrap() };
        futures_util::FutureExt::now_or_never(whole).expect("nothing to wait for");
    };
    call(0);
    let before = layer.handle().stats().bytes;
    let calls = 2_000;
    let info = measure(|| (1..=calls).for_each(&mut call));
    let held = usize::try_from(info.bytes_current).unwrap();
    let said = layer.handle().stats().bytes - before;
    assert!(held <= said * 9 / 8 && said <= held * 5 / 4, "held {held}, said {said}");
    assert!(held / calls < 3 * 1024, "{} each", held / calls);
}
