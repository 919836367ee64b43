//! Room for new streams: who comes while it is being made for somebody else finds some, too.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;

use http::{HeaderMap, Method, Request};
use support::Scripted;
use support::app::{request, with};
use tower::{Layer, Service};
use tower_sse_resume::{Limits, Observation, SseResume, SseResumeLayer};

/// The answer to a request whose client then leaves, so that its stream can make room. Without a runtime all of it
/// happens now.
fn come_and_go(service: &mut SseResume<Scripted>, request: Request<()>) -> HeaderMap {
    let mut call = Box::pin(service.call(request));
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response.unwrap().into_parts().0.headers,
        Poll::Pending => unreachable!("the inner service answers at once"),
    }
}

fn get() -> Request<()> {
    request(Method::GET, "")
}

#[test]
fn who_is_called_because_a_stream_was_evicted_finds_room_for_another_one() {
    let layer = SseResumeLayer::new().limits(Limits::new().streams(1));
    let service: Arc<OnceLock<Mutex<SseResume<Scripted>>>> = Arc::default();
    let (answers, is_first) = (Arc::new(Mutex::new(Vec::new())), AtomicBool::new(true));
    let (called, heard) = (Arc::clone(&service), Arc::clone(&answers));
    let layer = layer.observe(move |what| {
        if matches!(what, Observation::Evicted { .. }) && is_first.swap(false, Ordering::Relaxed) {
            let mut service = called.get().unwrap().lock().unwrap().clone();
            heard.lock().unwrap().push(come_and_go(&mut service, get()));
        }
    });
    let mut outside = layer.layer(Scripted::new());
    assert!(service.set(Mutex::new(outside.clone())).is_ok());
    let fresh = |headers: &HeaderMap| headers["sse-resume"] == "fresh";
    assert!(fresh(&come_and_go(&mut outside, get())));
    assert!(fresh(&come_and_go(&mut outside, get())));
    assert!(answers.lock().unwrap().iter().all(fresh));
    assert_eq!(answers.lock().unwrap().len(), 1);
}

#[test]
fn of_many_who_come_at_once_at_a_limit_each_finds_room() {
    const AT_ONCE: usize = 4;
    const ROUNDS: usize = 300;
    for limits in [Limits::new().streams(256), Limits::new().sessions(256)] {
        let layer = SseResumeLayer::new().session_header("session".parse().unwrap()).limits(limits);
        let service = layer.layer(Scripted::new());
        let (start, number) = (Barrier::new(AT_ONCE), AtomicUsize::new(0));
        let come = || {
            let mut service = service.clone();
            let rounds = (0..ROUNDS).filter(|_| {
                start.wait();
                let session = number.fetch_add(1, Ordering::Relaxed).to_string();
                let request = with(get(), "session", session);
                come_and_go(&mut service, request)["sse-resume"] == "fresh"
            });
            rounds.count()
        };
        let found: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(come)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(found, AT_ONCE * ROUNDS, "streams were refused");
        assert_eq!(layer.handle().stats().streams, 256);
    }
}

#[test]
fn an_observer_that_panics_does_not_end_the_bound_on_bytes() {
    let is_first = AtomicBool::new(true);
    let layer = SseResumeLayer::new().limits(Limits::new().bytes(100_000)).observe(move |what| {
        let is_first =
            matches!(what, Observation::Evicted { .. }) && is_first.swap(false, Ordering::Relaxed);
        assert!(!is_first, "an observer panics");
    });
    let mut service = layer.layer(Scripted::new());
    let panics = (0..500)
        .filter(|_| {
            let call = std::panic::AssertUnwindSafe(|| come_and_go(&mut service, get()));
            std::panic::catch_unwind(call).is_err()
        })
        .count();
    assert_eq!(panics, 1);
    let bytes = layer.handle().stats().bytes;
    assert!((1..=100_000).contains(&bytes), "{bytes}");
}
