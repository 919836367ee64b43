//! What operators see of streams and sessions, page by page.

use std::time::Duration;

use http::Method;
use support::app::with;
use support::{App, TestClient, request};
use tokio::time::sleep;
use tower_sse_resume::{EventCounts, Limits, Retention, SseResumeLayer, StreamKind};

async fn open(app: &mut App, session: &str) -> TestClient {
    let request = request(Method::GET, "");
    let request = if session.is_empty() { request } else { with(request, "session", session) };
    let mut client = app.send(request).await;
    app.body().send("data: 1\n\ndata: 2\n\n");
    client.read();
    client
}

fn app() -> App {
    App::with(SseResumeLayer::new().session_header("session".parse().unwrap()))
}

#[tokio::test]
async fn pages_of_streams_are_in_order_and_have_each_stream_once() {
    let mut app = app();
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(open(&mut app, "").await);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for expected in [3, 3, 1, 0] {
        let page = app.handle.streams(after, 3);
        assert_eq!(page.len(), expected);
        seen.extend(page.iter().map(|stream| stream.id));
        after = seen.last().copied();
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen.len(), 7);
    assert_eq!(app.handle.streams(None, 0), []);
}

#[tokio::test]
async fn a_stream_says_what_state_it_is_in_and_what_it_holds() {
    let mut app = app();
    let client = open(&mut app, "one").await;
    let info = app.handle.streams(None, 9)[0];
    assert_eq!((info.state, info.clients), (StreamKind::Live, 1));
    assert_eq!((info.events.counted, info.events.retained, info.events.dropped()), (2, 2, 0));
    assert!(info.session.is_some() && info.bytes > 0);
    assert_eq!(format!("{}", info.id).len(), 32);
    app.body().end();
    let mut client = client;
    client.read_to_end().await;
    drop(client);
    let info = app.handle.streams(None, 9)[0];
    assert_eq!((info.state, info.clients, info.events.retained), (StreamKind::Finished, 0, 2));
    let mut failed = open(&mut app, "").await;
    app.body().fail();
    failed.read_to_end().await;
    let kinds: Vec<_> = app.handle.streams(None, 9).iter().map(|stream| stream.state).collect();
    assert!(kinds.contains(&StreamKind::Aborted) && kinds.contains(&StreamKind::Finished));
}

#[tokio::test]
async fn pages_of_sessions_sum_up_their_streams_and_name_them_for_a_purge() {
    let mut app = app();
    let mut clients = vec![open(&mut app, "").await];
    for session in ["one", "two", "two", "three"] {
        clients.push(open(&mut app, session).await);
    }
    let first = app.handle.sessions(None, 2);
    let rest = app.handle.sessions(Some(first[1].id), 2);
    assert_eq!((first.len(), rest.len()), (2, 1));
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    assert!(all.is_sorted_by(|one, next| one.id < next.id));
    let mut streams: Vec<_> = all.iter().map(|info| (info.streams, info.clients)).collect();
    streams.sort_unstable();
    assert_eq!(streams, [(1, 1), (1, 1), (2, 2)]);
    let two = all.iter().find(|info| info.streams == 2).unwrap();
    assert!(two.bytes > 0);
    assert_eq!(app.handle.purge_session_by_id(two.id), 2);
    assert_eq!((app.handle.sessions(None, 9).len(), app.handle.stats().streams), (2, 3));
}

/// All but those that were counted: retained, evicted, expired, never recorded.
fn fates(events: EventCounts) -> [u64; 4] {
    assert_eq!(events.dropped() + events.retained, events.counted);
    [events.retained, events.evicted, events.expired, events.never_recorded]
}

#[tokio::test(start_paused = true)]
async fn an_operator_sees_why_events_cannot_be_replayed() {
    let age = Duration::from_secs(60);
    let retention = Retention::new().events(5).age(age);
    let layer = SseResumeLayer::new().retention(retention).limits(Limits::new().frame(30));
    let mut app = App::with(layer.session_header("session".parse().unwrap()));
    let mut client = open(&mut app, "one").await;
    // The second one is evicted, and the first one, as six more come; the third is a hole.
    app.body().send(format!("data: {}\n\n", "x".repeat(40)));
    app.body().send("data: 4\n\ndata: 5\n\ndata: 6\n\ndata: 7\n\n");
    client.read();
    assert_eq!(fates(app.handle.streams(None, 1)[0].events), [4, 2, 0, 1]);
    sleep(age * 2).await;
    app.body().send("data: 8\n\n");
    client.read();
    let events = app.handle.streams(None, 1)[0].events;
    assert_eq!((events.counted, fates(events)), (8, [1, 2, 4, 1]));
    assert_eq!(app.handle.sessions(None, 1)[0].events, events);
    let other = open(&mut app, "two").await;
    assert_eq!(app.handle.stats().events.counted, 10);
    assert_eq!(fates(app.handle.stats().events), [3, 2, 4, 1]);
    drop(other);
}

#[tokio::test]
async fn where_only_ids_are_kept_no_event_is_recorded() {
    let layer = SseResumeLayer::new().retention(Retention::ids_only());
    let mut app = App::with(layer);
    let _client = open(&mut app, "").await;
    assert_eq!(fates(app.handle.stats().events), [0, 0, 0, 2]);
}
