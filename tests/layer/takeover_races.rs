//! What may happen while a stream is being taken over, and right after its inner body was let go of.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Method;
use support::app::{App, TestClient, request};
use support::client::settle;
use support::scripted::event_stream;
use tower::Service;
use tower_sse_resume::{Linger, Retention, SseResumeLayer, StreamHandle};

fn without_linger() -> App {
    App::with(SseResumeLayer::new().linger(Linger::none()))
}

/// A stream with one event whose only client was cut; returns its last event ID.
async fn cut(app: &mut App) -> String {
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read();
    client.last_event_id()
}

/// Panics rather than hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), future).await.expect("it hangs")
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_takeover_goes_on_when_the_stream_is_purged() {
    let mut app = without_linger();
    let id = cut(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let _claimant = app.service.call(request(Method::GET, &id));
    let waits = app.service.call(request(Method::GET, &id));
    let waits = tokio::spawn(waits);
    settle().await;
    assert_eq!(app.inner.calls(), 2, "the second one waits for the first one's call");
    app.handle.purge_all();
    let response = soon(waits).await.unwrap().unwrap();
    assert_eq!(response.headers()["sse-resume"], "fresh");
    gate.open();
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_takeover_leaves_no_linger_and_no_body() {
    let mut app = App::new();
    let id = cut(&mut app).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let gate = app.inner.hold_next(event_stream());
    drop(app.service.call(request(Method::GET, &id)));
    app.handle.purge_all();
    gate.open();
    soon(app.body().dropped()).await;
    settle().await;
    assert_eq!((app.handle.stats().lingering, app.handle.stats().bytes), (0, 0));
}

/// Clients of one stream, so that a task drives it.
async fn two(app: &mut App) -> (TestClient, TestClient) {
    let mut first = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    first.read();
    let id = first.last_event_id();
    let second = app.get(&id).await;
    settle().await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_that_was_let_go_of_never_speaks_in_the_next_generation() {
    // On the worker, so that all of it comes before the old task's next poll.
    let test = tokio::spawn(async {
        let mut app = without_linger();
        let (first, second) = two(&mut app).await;
        let id = first.last_event_id();
        let old = app.body();
        drop((first, second));
        // The new call's task takes the place in front of the one that is to let go of the old body.
        let mut client = app.get(&id).await;
        let new = app.body();
        old.send("id: x\ndata: of the old body\n\n");
        new.send("id: b\ndata: 2\n\n");
        client.read_events(1).await;
        settle().await;
        client.read();
        assert_eq!(client.data(), ["2"]);
        old.dropped().await;
        assert!(!new.is_dropped());
    });
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("it hangs").unwrap();
}

#[tokio::test]
async fn many_that_gave_up_waiting_leave_nothing_behind() {
    struct Counted;
    impl std::task::Wake for Counted {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let mut app = without_linger();
    let id = cut(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let _claimant = app.service.call(request(Method::GET, &id));
    let wakers: Vec<_> = (0..100).map(|_| std::sync::Arc::new(Counted)).collect();
    for waker in &wakers {
        let mut waits = pin!(app.service.call(request(Method::GET, &id)));
        let waker = Waker::from(std::sync::Arc::clone(waker));
        let polled = waits.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Pending));
    }
    assert!(wakers.iter().all(|waker| std::sync::Arc::strong_count(waker) == 1));
    gate.open();
}

#[tokio::test]
async fn a_handler_that_opts_out_of_a_takeover_is_passed_as_it_is() {
    let mut app = without_linger();
    let id = cut(&mut app).await;
    let gate = app.inner.hold_next(event_stream());
    let call = tokio::spawn(app.service.call(request(Method::GET, &id)));
    settle().await;
    let stream = app.inner.call(1).extensions.get::<StreamHandle>().cloned().unwrap();
    assert!(stream.do_not_record());
    gate.open();
    app.body().send("id: b\ndata: secret\n\n");
    app.body().end();
    let mut client = support::Client::new(call.await.unwrap().unwrap());
    client.read_to_end().await;
    assert_eq!(client.received, "id: b\ndata: secret\n\n");
}

#[tokio::test]
async fn where_no_payload_is_kept_who_is_ahead_of_a_takeover_is_ended() {
    let mut app = App::with(SseResumeLayer::new().retention(Retention::ids_only()));
    let (mut first, mut second) = {
        let (mut first, second) = two(&mut app).await;
        app.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\n");
        first.read_events(3).await;
        (first, second)
    };
    app.body().fail();
    settle().await;
    // Neither has been told yet that the inner body broke, when somebody comes who has only the first event.
    let id = first.events()[0].id.clone();
    let mut third = app.get(&id).await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n");
    third.read_events(3).await;
    assert_eq!(third.data(), ["2", "3", "4"]);
    first.settle().await;
    second.settle().await;
    assert_eq!(first.data(), ["1", "2", "3"]);
    assert!(first.is_broken());
    // The second one did not read, had no more than the third, and gets the same.
    assert_eq!(second.data(), ["2", "3", "4"]);
}

#[tokio::test]
async fn half_a_frame_that_is_too_large_is_never_gone_on_with_by_the_next_inner_body() {
    let limits = tower_sse_resume::Limits::new().frame(1_000);
    let mut app = App::with(SseResumeLayer::new().limits(limits));
    let (mut first, mut second) = two(&mut app).await;
    let id = first.last_event_id();
    app.body().send(format!("data: {}\n", "x".repeat(2_000)));
    settle().await;
    first.read();
    app.body().fail();
    settle().await;
    let mut third = app.get(&id).await;
    app.body().send("id: b\ndata: of the next\n\n");
    third.read_until(|client| client.data().contains(&"of the next".to_owned())).await;
    first.settle().await;
    second.settle().await;
    assert!(first.is_broken());
    assert_eq!(first.data(), ["1"]);
    assert!(second.gaps()[0].contains("oversize"), "it had nothing of that frame");
    assert_eq!(second.data().last().unwrap(), "of the next");
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_a_client_that_panics_while_it_reads_the_inner_body() {
    let panics = |observation: &tower_sse_resume::Observation| {
        assert!(!matches!(observation, tower_sse_resume::Observation::Evicted { .. }));
    };
    let limits = tower_sse_resume::Limits::new().bytes(64 * 1024);
    let mut app = App::with(SseResumeLayer::new().limits(limits).observe(panics));
    let mut ended = app.get("").await;
    app.body().send("data: x\n\n".repeat(500));
    app.body().end();
    ended.read_to_end().await;
    drop(ended);
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read();
    let id = client.last_event_id();
    // Half a frame: there is nothing to send, and so the inner body is to be polled again.
    app.body().send(format!("data: {}", "x".repeat(60 * 1024)));
    let read = std::panic::AssertUnwindSafe(|| client.read());
    assert!(std::panic::catch_unwind(read).is_err());
    drop(client);
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("replay"));
    app.body().send("\n\ndata: 2\n\n");
    client.read_until(|client| client.data().len() == 2).await;
    assert_eq!(client.data()[1], "2");
}
