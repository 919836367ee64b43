//! What nobody has read yet: how much of it is kept, for how long, and what becomes of sources that cannot wait.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use support::app::{App, request};
use support::client::{Client, settle};
use tokio::sync::broadcast;
use tokio::time::sleep;
use tokio_stream::wrappers::BroadcastStream;
use tower::{Layer, Service, service_fn};
use tower_sse_resume::{EventIds, Observation, Retention, SseResumeLayer};

const SECOND: Duration = Duration::from_secs(1);

/// What a layer has observed.
#[derive(Clone, Default)]
struct Observed(Arc<Mutex<Vec<Observation>>>);

impl Observed {
    fn of(layer: SseResumeLayer) -> (SseResumeLayer, Self) {
        let observed = Self::default();
        let seen = observed.clone();
        (layer.observe(move |what| seen.0.lock().unwrap().push(*what)), observed)
    }

    fn times_held_back(&self) -> usize {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|what| **what == Observation::HeldBack).count()
    }
}

/// What a client gets that had the first five events of a broadcast channel of 100, ten of them a second, and was away for
/// 15 seconds: its data, and the gaps that it was told.
async fn away_from_a_broadcast_channel(layer: SseResumeLayer) -> (Vec<String>, Vec<String>) {
    let (events, _) = broadcast::channel::<u32>(100);
    let subscribe = events.clone();
    let mut app = layer.layer(service_fn(move |_: Request<()>| {
        let events = BroadcastStream::new(subscribe.subscribe());
        let events = events.filter_map(|event| std::future::ready(event.ok()));
        let frame = |event| Bytes::from(format!("data: {event}\n\n"));
        let body = StreamBody::new(
            events.map(move |event| Ok::<_, Infallible>(Frame::data(frame(event)))),
        );
        let head = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(head.body(body).unwrap()))
    }));
    let mut client = Client::new(app.call(request(Method::GET, "")).await.unwrap());
    for event in 1..=5 {
        events.send(event).unwrap();
        settle().await;
        client.read();
    }
    let id = client.last_event_id();
    drop(client);
    for event in 6..=155 {
        sleep(SECOND / 10).await;
        events.send(event).unwrap();
        settle().await;
    }
    let mut client = Client::new(app.call(request(Method::GET, &id)).await.unwrap());
    client.read_until(|client| client.data().last().is_some_and(|data| data == "155")).await;
    (client.data(), client.gaps())
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_wait_loses_nothing_within_the_bound_on_bytes() {
    let layer = SseResumeLayer::new().retention(Retention::new().events(10));
    let (layer, observed) = Observed::of(layer);
    let (data, gaps) = away_from_a_broadcast_channel(layer).await;
    assert_eq!((data, gaps), (numbers(6..=155), vec![]));
    assert_eq!(observed.times_held_back(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_read_on_what_a_source_that_cannot_wait_said_too_much_is_told() {
    let layer = SseResumeLayer::new().retention(Retention::new().events(10)).read_on(true);
    let (layer, observed) = Observed::of(layer);
    let (data, gaps) = away_from_a_broadcast_channel(layer).await;
    assert_eq!(gaps, [r#"{"requested":5,"resumed":145,"missed":140,"reason":"evicted"}"#]);
    assert_eq!(data[1..], numbers(146..=155));
    assert_eq!(observed.times_held_back(), 0);
}

#[tokio::test(start_paused = true)]
async fn that_a_source_is_held_back_while_nobody_reads_is_observed_once() {
    let (layer, observed) =
        Observed::of(SseResumeLayer::new().retention(Retention::new().bytes(500)));
    let (data, _) = away_from_a_broadcast_channel(layer).await;
    assert!(data.len() < 150, "the channel dropped some");
    assert_eq!(observed.times_held_back(), 1);
}

#[tokio::test(start_paused = true)]
async fn that_a_slow_client_holds_the_inner_body_back_is_not_observed() {
    let layer = SseResumeLayer::new().retention(Retention::new().bytes(500));
    let (layer, observed) = Observed::of(layer.share(|_| Some("feed".to_owned())));
    let mut app = App::with(layer);
    let _slow = app.get("").await;
    for _ in 0..100 {
        app.body().send("data: 1\n\n");
    }
    settle().await;
    assert!(!app.body().is_drained());
    assert_eq!(observed.times_held_back(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_last_client_has_not_read_is_kept_and_holds_the_inner_body_back() {
    for ids in [EventIds::Assign, EventIds::Preserve] {
        let layer = SseResumeLayer::new().retention(Retention::new().events(4).bytes(2_000));
        let mut app = App::with(layer.event_ids(ids).owner(|_| Some("me".to_owned())));
        let mut client = app.get("").await;
        app.body().send("data: 1\n\n");
        client.read();
        let id = client.last_event_id();
        drop(client);
        for number in 2..=100 {
            app.body().send(format!("data: {number}\n\n"));
        }
        settle().await;
        assert!(!app.body().is_drained() && app.body().pending() < 90);
        let mut client = app.get(&id).await;
        assert_eq!(client.header("sse-resume"), Some("replay"));
        client.read_events(99).await;
        assert_eq!(client.data(), numbers(2..=100), "{ids:?}");
        assert!(app.body().is_drained());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_did_not_arrive_is_kept_beside_what_nobody_has_read() {
    let mut app = App::with(SseResumeLayer::new().retention(Retention::new().events(10)));
    let mut client = app.get("").await;
    for number in 1..=20 {
        app.body().send(format!("data: {number}\n\n"));
        client.read();
    }
    // The last ones were in the buffers of a connection that broke.
    let id = client.events()[13].id.clone();
    drop(client);
    for number in 21..=60 {
        app.body().send(format!("data: {number}\n\n"));
    }
    settle().await;
    let mut client = app.get(&id).await;
    client.read_events(46).await;
    assert_eq!(client.data(), numbers(15..=60));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_bounded_by_events_also_if_no_other_one_comes() {
    let layer = SseResumeLayer::new().retention(Retention::new().events(10).age(80 * SECOND));
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    let from = client.header("sse-resume-from").unwrap().to_owned();
    app.body().send("data: 1\n\n".repeat(50));
    client.read();
    sleep(20 * SECOND).await;
    let mut late = app.get(&from).await;
    late.read_events(11).await;
    assert!(late.gaps()[0].contains(r#""missed":40,"reason":"evicted""#), "{:?}", late.gaps());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_read_expires_while_nobody_is_there_and_its_client_is_told() {
    let retention = Retention::new().age(8 * SECOND).bytes(500);
    let (layer, _) = Observed::of(SseResumeLayer::new().retention(retention).linger(600 * SECOND));
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    for number in 2..=40 {
        app.body().send(format!("data: {number}\n\n"));
    }
    settle().await;
    assert!(!app.body().is_drained(), "it is held back");
    while !app.body().is_drained() {
        sleep(SECOND).await;
    }
    sleep(20 * SECOND).await;
    app.body().send("data: 41\n\n");
    settle().await;
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("gap"));
    client.read_events(2).await;
    assert_eq!(client.gaps(), [r#"{"requested":1,"resumed":40,"missed":39,"reason":"expired"}"#]);
    assert_eq!(client.data()[1], "41");
}

#[tokio::test(start_paused = true)]
async fn what_a_connected_client_has_not_read_does_not_expire() {
    let retention = Retention::new().age(8 * SECOND);
    let layer = SseResumeLayer::new().retention(retention).share(|_| Some("feed".to_owned()));
    let mut app = App::with(layer);
    let mut slow = app.get("").await;
    for number in 1..=20 {
        app.body().send(format!("data: {number}\n\n"));
        sleep(4 * SECOND).await;
    }
    slow.read_events(20).await;
    assert_eq!(slow.data(), numbers(1..=20));
}

#[tokio::test(start_paused = true)]
async fn a_history_of_what_nobody_has_read_stays_within_its_bytes() {
    for ids in [EventIds::Assign, EventIds::Preserve] {
        const BYTES: usize = 64 * 1024;
        let layer = SseResumeLayer::new().retention(Retention::new().events(10).bytes(BYTES));
        let mut app = App::with(layer.event_ids(ids).owner(|_| Some("me".to_owned())));
        let mut client = app.get("").await;
        app.body().send("data: 1\n\n");
        client.read();
        drop(client);
        for number in 0..10_000 {
            app.body().send(format!("id: {number}\ndata: 1\n\n"));
        }
        for _ in 0..400 {
            settle().await;
        }
        assert!(!app.body().is_drained());
        let bytes = app.handle.stats().bytes;
        assert!((BYTES / 2..BYTES + 24 * 1024).contains(&bytes), "{ids:?}: {bytes}");
    }
}
