//! Retention without payload: each return calls the inner service, and what it resends is skipped.

use support::app::App;
use support::client::settle;
use tower_sse_resume::{EventIds, Retention, SseResumeLayer, StartAt};

fn app() -> App {
    App::with(SseResumeLayer::new().retention(Retention::ids_only()))
}

#[tokio::test]
async fn the_inner_body_is_dropped_with_its_last_reader() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read();
    drop(client);
    assert!(app.inner.body(0).is_dropped());
}

#[tokio::test]
async fn a_return_calls_the_inner_service_with_the_id_that_the_client_had_last() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    client.read();
    // The last event was sent, but did not reach the client.
    let had = client.events()[1].id.clone();
    drop(client);
    let mut client = app.get(&had).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("b"));
    app.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n");
    client.read_until(|client| client.data().len() == 2).await;
    assert_eq!(client.data(), ["3", "4"]);
}

#[tokio::test]
async fn an_inner_service_that_resends_everything_is_heard_once() {
    let mut app = app();
    let mut client = app.get("").await;
    let events: Vec<_> = (1..=9).map(|n| format!("id: {n}\ndata: {n}\n\n")).collect();
    app.body().send(events[..4].concat());
    client.read();
    let mut id = client.last_event_id();
    drop(client);
    let mut seen = vec![];
    for upto in [6, 7, 9] {
        let mut client = app.get(&id).await;
        app.body().send(events[..upto].concat());
        client.read_until(|client| client.data().last() == Some(&upto.to_string())).await;
        seen.extend(client.data());
        id = client.last_event_id();
    }
    assert_eq!(seen, ["5", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn nothing_of_the_payload_is_kept() {
    let mut app = app();
    let mut client = app.get("").await;
    client.read();
    app.body().send(format!("id: a\ndata: {}\n\n", "x".repeat(20_000)));
    client.read();
    let before = app.handle.stats().bytes;
    for n in 0..40 {
        app.body().send(format!("id: {n}\ndata: {}\n\n", "x".repeat(20_000)));
        client.read();
    }
    assert!(app.handle.stats().bytes < before + 40 * 100);
}

/// Three events, each in a piece of its own.
fn send(feed: &support::scripted::Feed, numbers: std::ops::RangeInclusive<u32>) {
    for n in numbers {
        feed.send(format!("id: {n}\ndata: {n}\n\n"));
    }
}

/// A client that had two events, and whose connection then broke off.
async fn had_two(app: &mut App) -> String {
    let mut client = app.get("").await;
    send(&app.body(), 1..=2);
    client.read();
    client.last_event_id()
}

#[tokio::test]
async fn what_a_takeover_says_before_its_client_asks_for_it_is_not_lost() {
    for ids in [EventIds::Assign, EventIds::Preserve] {
        let layer = SseResumeLayer::new().retention(Retention::ids_only()).event_ids(ids);
        let mut app = App::with(layer.owner(|_| Some("me".to_owned())));
        let id = had_two(&mut app).await;
        let mut client = app.get(&id).await;
        assert_eq!(client.header("sse-resume"), Some("takeover"));
        send(&app.body(), 1..=5);
        settle().await;
        client.read_events(3).await;
        assert_eq!(client.data(), ["3", "4", "5"], "{ids:?}");
    }
}

#[tokio::test]
async fn what_a_takeover_says_after_going_back_is_not_lost_before_its_client_asks_for_it() {
    let mut app = app();
    let mut client = app.get("").await;
    send(&app.body(), 1..=4);
    client.read();
    let had = client.events()[1].id.clone();
    drop(client);
    let mut client = app.get(&had).await;
    send(&app.body(), 2..=5);
    settle().await;
    client.read_events(3).await;
    assert_eq!(client.data(), ["3", "4", "5"]);
}

#[tokio::test]
async fn a_shared_response_loses_nothing_before_its_clients_ask_for_it() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let mut app = App::with(layer.share(|_| Some("feed".to_owned())));
    let mut first = app.get("").await;
    let mut second = app.get("").await;
    send(&app.body(), 1..=3);
    settle().await;
    first.read_events(3).await;
    let mut late = app.get("").await;
    send(&app.body(), 4..=5);
    settle().await;
    for (client, from) in [(&mut second, 1), (&mut late, 4), (&mut first, 1)] {
        let all: Vec<_> = (from..=5).map(|n| n.to_string()).collect();
        client.read_events(all.len()).await;
        assert_eq!(client.data(), all);
    }
}

#[tokio::test]
async fn one_that_joins_from_the_earliest_event_gets_what_comes() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let layer = layer.share(|_| Some("feed".to_owned())).start_at(StartAt::Earliest);
    let mut app = App::with(layer);
    let mut first = app.get("").await;
    send(&app.body(), 1..=2);
    first.read_events(2).await;
    let mut second = app.get("").await;
    send(&app.body(), 3..=4);
    settle().await;
    second.read_events(2).await;
    assert_eq!(second.data(), ["3", "4"]);
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_holds_the_inner_body_back() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let mut app = App::with(layer.share(|_| Some("feed".to_owned())));
    let mut client = app.get("").await;
    for n in 0..100 {
        app.body().send(format!("id: {n}\ndata: {}\n\n", "x".repeat(1_000)));
    }
    settle().await;
    assert!(app.body().pending() > 90, "{} are left", app.body().pending());
    assert!(app.handle.stats().bytes < 8 * 1024);
    client.read_events(100).await;
    assert!(client.events().iter().all(|event| event.event == "message"));
    assert!(app.body().is_drained());
}

#[tokio::test]
async fn many_small_events_that_come_at_once_are_all_sent() {
    for is_shared in [false, true] {
        let layer = SseResumeLayer::new().retention(Retention::ids_only());
        let mut app = App::with(layer.share(move |_| is_shared.then(|| "feed".to_owned())));
        let mut client = app.get("").await;
        let events: String =
            (0..6_000).fold(String::new(), |all, n| all + &format!("data: {n}\n\n"));
        app.body().send(events);
        settle().await;
        client.read_until(|client| client.received.ends_with(b".6000\n\n")).await;
        let all: Vec<_> = (0..6_000).map(|n| n.to_string()).collect();
        assert_eq!(client.data(), all);
    }
}

#[tokio::test]
async fn a_slow_client_is_told_once_what_it_lost_while_another_one_went_on() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let mut app = App::with(layer.share(|_| Some("feed".to_owned())));
    let mut slow = app.get("").await;
    let mut quick = app.get("").await;
    send(&app.body(), 1..=1);
    slow.read_events(1).await;
    for n in 2..=20 {
        app.body().send(format!("id: {n}\ndata: {}\n\n", "x".repeat(10_000)));
        quick.read_events(n).await;
    }
    // It asks for one thing, and then for nothing for a while.
    assert!(slow.poll(std::task::Waker::noop()));
    assert_eq!(slow.gaps().len(), 1, "{:?}", slow.data());
    send(&app.body(), 21..=23);
    quick.read_events(23).await;
    slow.read_events(5).await;
    assert!(slow.gaps()[0].contains("too-slow"));
    assert_eq!(slow.data()[2..], ["21", "22", "23"]);
}

#[tokio::test]
async fn events_that_come_after_one_that_a_client_cannot_have_are_not_part_of_the_gap() {
    let retention = Retention::ids_only().events(10);
    let layer = SseResumeLayer::new().retention(retention).dedupe_window(10);
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    send(&app.body(), 1..=50);
    client.read();
    let had = client.events()[1].id.clone();
    drop(client);
    let mut client = app.get(&had).await;
    send(&app.body(), 51..=53);
    settle().await;
    client.read_events(4).await;
    assert_eq!(client.gaps().len(), 1);
    assert!(client.gaps()[0].contains(r#""requested":2,"resumed":50,"missed":48"#));
    assert_eq!(client.data()[1..], ["51", "52", "53"]);
}

#[tokio::test]
async fn the_reconnection_time_is_told_before_what_a_takeover_says_at_once() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("retry: 77\n\nid: 1\ndata: 1\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    let mut client = app.get(&id).await;
    send(&app.body(), 2..=2);
    settle().await;
    client.read_events(1).await;
    assert!(
        client.received.starts_with(b"retry: 77\nid: 2\n")
            || client.received.starts_with(b"retry: 77\ndata: 2\n"),
        "{:?}",
        client.received
    );
}
