//! Who makes room where a limit leaves none: never somebody who holds less than others.

use std::sync::{Arc, Mutex};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use support::app::with;
use support::{App, TestClient, request, settle};
use tower_sse_resume::{LimitKind, Limits, Linger, Observation, OnMissing, SseResumeLayer};

/// What limits and their streams were told of.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Observation>>>);

impl Told {
    fn limits(&self) -> Vec<LimitKind> {
        let told = self.0.lock().unwrap();
        let limit = |what: &Observation| match what {
            Observation::LimitReached { limit } => Some(*limit),
            _ => None,
        };
        told.iter().filter_map(limit).collect()
    }

    /// How many streams were evicted, each time that some were.
    fn evicted(&self) -> Vec<u64> {
        let told = self.0.lock().unwrap();
        let evicted = |what: &Observation| match what {
            Observation::Evicted { streams } => Some(*streams),
            _ => None,
        };
        told.iter().filter_map(evicted).collect()
    }
}

fn with_limits(limits: Limits) -> (App, Told) {
    let told = Told::default();
    let note = told.clone();
    let layer = SseResumeLayer::new()
        .on_missing(OnMissing::Reject)
        .linger(Linger::none())
        .session_header(HeaderName::from_static("x-session"))
        .limits(limits)
        .observe(move |what| note.0.lock().unwrap().push(*what));
    (App::with(layer), told)
}

fn of(owner: &'static str, session: &str, id: &str) -> Request<()> {
    let mut request = request(Method::GET, id);
    if !owner.is_empty() {
        request = with(request, "authorization", owner);
    }
    if session.is_empty() { request } else { with(request, "x-session", session) }
}

/// Begins a stream, and returns the position before its one event.
async fn begin(app: &mut App, owner: &'static str, session: &str) -> (TestClient, String) {
    let mut client = app.send(of(owner, session, "")).await;
    app.body().send("data: 1\n\n");
    client.read();
    let from = client.header("sse-resume-from").unwrap_or_default().to_owned();
    (client, from)
}

/// A stream that has ended, by the position before its one event.
async fn finished(app: &mut App, owner: &'static str, session: &str) -> String {
    let (mut client, from) = begin(app, owner, session).await;
    app.body().end();
    client.read();
    from
}

/// The same of one whose client has left: without linger it is aborted.
async fn aborted(app: &mut App, owner: &'static str, session: &str) -> String {
    begin(app, owner, session).await.1
}

async fn is_there(app: &mut App, owner: &'static str, session: &str, id: &str) -> bool {
    app.send(of(owner, session, id)).await.status == StatusCode::OK
}

#[tokio::test]
async fn another_owner_of_the_same_session_name_evicts_nothing() {
    let (mut app, told) = with_limits(Limits::new().streams_per_session(2));
    let victims = [finished(&mut app, "v", "s").await, finished(&mut app, "v", "s").await];
    for _ in 0..5 {
        finished(&mut app, "a", "s").await;
        finished(&mut app, "", "s").await;
    }
    for id in &victims {
        assert!(is_there(&mut app, "v", "s", id).await);
    }
    assert!(told.limits().iter().all(|limit| *limit == LimitKind::StreamsPerSession));
    assert_eq!(told.evicted().iter().sum::<u64>(), 6, "three of each of the two others");
    assert_eq!(app.handle.stats().sessions, 1, "one name");
    assert_eq!(app.handle.purge_session("s"), 6);
    assert_eq!(app.handle.stats().sessions, 0);
}

#[tokio::test]
async fn who_opens_sessions_without_end_evicts_its_own() {
    let (mut app, told) = with_limits(Limits::new().sessions(8));
    let victim = finished(&mut app, "v", "mine").await;
    for session in 0..30 {
        finished(&mut app, "a", &session.to_string()).await;
    }
    assert!(is_there(&mut app, "v", "mine", &victim).await);
    assert!(told.limits().contains(&LimitKind::Sessions));
    assert_eq!(app.handle.stats().sessions, 8);
}

#[tokio::test]
async fn a_session_that_is_read_again_does_not_make_room() {
    let (mut app, _) = with_limits(Limits::new().sessions(2));
    let first = finished(&mut app, "", "first").await;
    let _reading = app.send(of("", "first", &first)).await;
    let second = finished(&mut app, "", "second").await;
    finished(&mut app, "", "third").await;
    assert!(is_there(&mut app, "", "first", &first).await);
    assert!(!is_there(&mut app, "", "second", &second).await);
}

#[tokio::test]
async fn who_opens_streams_without_end_evicts_its_own() {
    let (mut app, told) = with_limits(Limits::new().streams(8));
    let victim = finished(&mut app, "v", "").await;
    let live = begin(&mut app, "v", "").await;
    for _ in 0..30 {
        aborted(&mut app, "a", "").await;
    }
    assert!(is_there(&mut app, "v", "", &victim).await, "though it has ended");
    assert!(is_there(&mut app, "v", "", &live.1).await);
    assert!(told.limits().contains(&LimitKind::Streams));
}

#[tokio::test]
async fn all_who_have_no_owner_are_one() {
    let (mut app, _) = with_limits(Limits::new().streams(8));
    let first = aborted(&mut app, "", "").await;
    let victim = finished(&mut app, "v", "").await;
    for _ in 0..10 {
        aborted(&mut app, "", "").await;
    }
    assert!(is_there(&mut app, "v", "", &victim).await);
    assert!(!is_there(&mut app, "", "", &first).await, "the one that came first goes first");
}

#[tokio::test]
async fn at_the_limit_on_bytes_the_owner_who_holds_most_makes_room() {
    let (mut app, told) = with_limits(Limits::new().bytes(64 * 1024));
    let victim = finished(&mut app, "v", "").await;
    for _ in 0..40 {
        let (mut client, _) = begin(&mut app, "a", "").await;
        app.body().send(format!("data: {}\n\n", "x".repeat(4_000)));
        client.read();
    }
    assert!(is_there(&mut app, "v", "", &victim).await);
    assert!(told.limits().contains(&LimitKind::Bytes));
    assert!(app.handle.stats().bytes <= 72 * 1024);
}

#[tokio::test]
async fn of_one_owner_what_has_ended_goes_before_what_broke_off() {
    let (mut app, _) = with_limits(Limits::new().streams(3));
    let aborted = aborted(&mut app, "a", "").await;
    let finished_one = finished(&mut app, "a", "").await;
    let _read = begin(&mut app, "a", "").await;
    let _next = begin(&mut app, "a", "").await;
    assert!(!is_there(&mut app, "a", "", &finished_one).await);
    assert!(is_there(&mut app, "a", "", &aborted).await);
}

#[tokio::test]
async fn at_the_limit_on_bytes_a_stream_with_a_client_gives_up_what_was_read_before_others_suffer()
{
    let (mut app, _) = with_limits(Limits::new().bytes(64 * 1024));
    let victim = finished(&mut app, "v", "").await;
    let (mut client, from) = begin(&mut app, "a", "").await;
    for _ in 0..100 {
        app.body().send(format!("data: {}\n\n", "x".repeat(2_000)));
        client.read();
    }
    assert_eq!(client.data().len(), 101);
    assert!(is_there(&mut app, "v", "", &victim).await);
    assert!(!is_there(&mut app, "a", "", &from).await, "its beginning is gone");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_given_up_a_new_response_passes_and_later_ones_find_room() {
    let (mut app, told) = with_limits(Limits::new().bytes(32 * 1024));
    let mut reading = Vec::new();
    loop {
        let (client, _) = begin(&mut app, "", "").await;
        let is_off = client.header("sse-resume") == Some("off");
        reading.push(client);
        if is_off {
            break;
        }
    }
    let mut off = reading.pop().unwrap();
    assert!(reading.len() > 4, "{}", reading.len());
    assert_eq!(off.data(), ["1"]);
    assert!(told.limits().contains(&LimitKind::Bytes));
    assert!(app.handle.stats().bytes <= 36 * 1024, "{}", app.handle.stats().bytes);
    app.body().send("data: 2\n\n");
    off.read();
    assert_eq!(off.data(), ["1", "2"]);
    drop(reading);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let (client, _) = begin(&mut app, "", "").await;
    assert_eq!(client.header("sse-resume"), Some("fresh"));
}

#[tokio::test]
async fn each_limit_frees_a_share_at_once() {
    let (mut app, told) = with_limits(Limits::new().streams(640));
    for _ in 0..740 {
        aborted(&mut app, "", "").await;
    }
    assert_eq!(told.evicted(), [10; 10], "of streams");
    let (mut app, told) = with_limits(Limits::new().streams_per_session(640));
    for _ in 0..740 {
        aborted(&mut app, "", "s").await;
    }
    assert_eq!(told.evicted(), [10; 10], "of those of a session");
    let (mut app, told) = with_limits(Limits::new().sessions(640));
    for session in 0..740 {
        aborted(&mut app, "", &session.to_string()).await;
    }
    assert_eq!(told.evicted(), [10; 10], "of sessions");
    assert_eq!(told.limits(), [LimitKind::Sessions; 10]);
}

// What is kept of a request

fn called_with(id: &str) -> Request<()> {
    with(request(Method::GET, ""), "last-event-id", id)
}

/// What a client gets whose stream broke off before it said anything, after a call with this ID of the service's own.
async fn after_a_break(id: &str) -> (App, TestClient) {
    let mut app = App::new();
    let mut client = app.send(called_with(id)).await;
    let from = client.header("sse-resume-from").unwrap().to_owned();
    app.body().fail();
    client.read();
    let client = app.get(&from).await;
    (app, client)
}

#[tokio::test]
async fn a_short_id_that_the_service_was_called_with_is_called_with_again() {
    let (app, mut client) = after_a_break("7").await;
    app.body().send("id: 8\ndata: 8\n\n");
    client.read_events(1).await;
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("7"));
    assert_eq!((client.data(), client.gaps().len()), (vec!["8".to_owned()], 0));
}

#[tokio::test]
async fn a_long_id_that_the_service_was_called_with_is_not_kept_and_its_client_is_told() {
    let long = "x".repeat(4_000);
    let (app, mut client) = after_a_break(&long).await;
    assert_eq!(app.inner.call(0).last_event_id(), Some(long), "the service sees it");
    app.body().send("id: 8\ndata: 8\n\n");
    client.read_events(2).await;
    assert_eq!(app.inner.call(1).last_event_id(), None);
    assert!(client.gaps()[0].contains("producer-lost"), "{:?}", client.gaps());
    assert_eq!(client.data()[1], "8");
}

#[tokio::test]
async fn who_joins_a_stream_that_was_begun_with_a_long_id_is_told_unless_it_starts_live() {
    let mut app = App::with(SseResumeLayer::new().share(|_| Some("feed".to_owned())));
    let long = "x".repeat(4_000);
    let _leader = app.send(called_with(&long)).await;
    settle().await;
    let mut same = app.send(called_with(&long)).await;
    same.read();
    assert_eq!(same.gaps().len(), 1, "it is not known that it is the same");
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_header_that_is_too_long_is_not_kept_for_later_responses() {
    let names = ["x-short", "x-long"].map(HeaderName::from_static);
    let mut app = App::with(SseResumeLayer::new().keep_headers(names));
    let head = Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-long", HeaderValue::from_str(&"y".repeat(4_000)).unwrap())
        .header("x-short", "1");
    app.inner.answer_next(head.body(()).unwrap());
    let first = app.get("").await;
    assert!(first.header("x-long").is_some());
    let again = app.get(first.header("sse-resume-from").unwrap()).await;
    assert_eq!(again.header("content-type"), Some("text/event-stream"));
    assert_eq!((again.header("x-short"), again.header("x-long")), (Some("1"), None));
}
