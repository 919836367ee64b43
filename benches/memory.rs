//! What the layer holds: for a client that waits, for an event that is kept, and per event that passes.
//!
//! `cargo bench --bench memory` prints bytes and allocations as the allocator counts them, with and without the layer
//! in one run. Nothing here depends on time, so that one round is enough; `--quick` changes nothing.

mod support;

use std::convert::Infallible;
use std::pin::Pin;

use allocation_counter::measure;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::Request;
use support::source::{Sources, answer, event, read};
use tower::{Layer, service_fn};
use tower_sse_resume::{Limits, Retention, SseResumeLayer};

const EVENT: usize = 180;
const SUBSCRIBERS: usize = 1_000;

fn main() {
    // The sweeper's timer and the runtime's own memory come first, so that they are not counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    idle();
    retained();
    passing();
}

/// One event, then nothing more.
async fn subscribe(_: Request<()>) -> Result<Response, Infallible> {
    let event = Event::default().data("x".repeat(172));
    let events = stream::iter([Ok::<_, Infallible>(event)]).chain(stream::pending());
    Ok(Sse::new(events).into_response())
}

fn idle() {
    let bare = subscriber(service_fn(subscribe));
    let layered = subscriber(SseResumeLayer::new().layer(service_fn(subscribe)));
    let above = layered - bare;
    println!("an idle subscriber, one event sent, bytes (target: <= 1024 above, goal 512)");
    println!("bare {bare}, layered {layered}, above {above}");
}

/// Bytes for each of many responses that sent one event and wait.
fn subscriber<S, B>(mut service: S) -> i64
where
    S: tower::Service<Request<()>, Response = http::Response<B>>,
    B: http_body::Body<Data = Bytes>,
{
    let mut bodies: Vec<Pin<Box<B>>> = Vec::with_capacity(SUBSCRIBERS + 1);
    let mut open = || {
        let mut body = Box::pin(answer(&mut service, None).into_body());
        read(body.as_mut(), EVENT);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
        bodies.push(body);
    };
    open();
    let info = measure(|| (0..SUBSCRIBERS).for_each(|_| open()));
    info.bytes_current / i64::try_from(SUBSCRIBERS).unwrap()
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn retained() {
    println!("kept events of {EVENT} bytes, bytes (target: <= 5 % above what a replay sends)");
    println!("{:>8} {:>12} {:>12} {:>8} {:>12}", "events", "a replay", "held", "above", "stats()");
    for events in [10, 100, 1_000, 10_000, 100_000] {
        let layer = SseResumeLayer::new()
            .retention(Retention::new().events(events).bytes(usize::MAX))
            .limits(Limits::new().bytes(usize::MAX));
        let mut service = layer.layer(Sources { piece: event(EVENT), burst: usize::MAX });
        let mut body = Box::pin(answer(&mut service, None).into_body());
        // All but what a stream holds before it has any history.
        read(body.as_mut(), EVENT);
        let mut sent = 0;
        let info = measure(|| sent = read(body.as_mut(), events as usize * (EVENT + 35)));
        let held = info.bytes_current;
        let above = (held as f64 / sent as f64 - 1.0) * 100.0;
        let stats = layer.handle().stats().bytes;
        println!("{events:>8} {sent:>12} {held:>12} {above:>6.1} % {stats:>12}");
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn passing() {
    let sources = Sources { piece: event(EVENT), burst: 1 };
    let mut service = SseResumeLayer::new().layer(sources);
    let mut body = Box::pin(answer(&mut service, None).into_body());
    let events = 100_000;
    read(body.as_mut(), 10_000 * EVENT);
    let bytes = events * (EVENT + 37);
    let info = measure(|| {
        read(body.as_mut(), bytes);
    });
    let blocks = bytes as f64 / 8_192.0;
    println!("steady state, allocations (target: none but blocks of 8 KiB)");
    let each = info.count_total as f64 / events as f64;
    let per_block = info.count_total as f64 / blocks;
    println!("{each:.4} an event, {per_block:.2} a block");
}
