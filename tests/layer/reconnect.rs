//! What a client gets that comes back: each row of the table, with its choices.

use http::{HeaderName, Method, Request, Response, StatusCode};
use support::app::with;
use support::{App, End, TestClient, event_stream, request, settle, status};
use tower::Service;
use tower_sse_resume::{Limits, Linger, OnFinished, OnMissing, Priming, Retention, SseResumeLayer};

const BOTH: [Method; 2] = [Method::GET, Method::POST];

fn layer() -> SseResumeLayer {
    SseResumeLayer::new().methods(BOTH)
}

fn app() -> App {
    App::with(layer())
}

/// A client that had one event of a stream, and is cut. Returns its last event ID.
async fn cut(app: &mut App, method: Method, event: &'static str) -> String {
    let mut client = app.call(method, "").await;
    app.body().send(event);
    client.read();
    client.last_event_id()
}

/// A stream of `events` that is aborted, whose client had all of them.
async fn aborted(app: &mut App, method: Method, events: &'static str) -> String {
    let mut client = app.call(method, "").await;
    app.body().send(events);
    app.body().fail();
    client.read_to_end().await;
    assert!(client.is_broken());
    client.last_event_id()
}

/// A stream of two events that has ended, whose client had both but not the end.
async fn finished(app: &mut App, method: Method) -> String {
    let mut client = app.call(method, "").await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    app.body().end();
    settle().await;
    id
}

/// `id` with another offset or generation, counted from the right.
fn moved(id: &str, generation: u32, offset: u64) -> String {
    let mut parts = id.splitn(5, '.');
    format!("{}.{}.{generation}.{offset}", parts.next().unwrap(), parts.next().unwrap())
}

fn is_bare(client: &TestClient, status: StatusCode) -> bool {
    client.status == status && client.received.is_empty()
}

// All is there

#[tokio::test]
async fn a_live_stream_is_replayed_and_then_followed() {
    for method in BOTH {
        let mut app = app();
        let id = cut(&mut app, method.clone(), "data: 1\n\n").await;
        app.body().send("data: 2\n\n");
        settle().await;
        let mut client = app.call(method, &id).await;
        assert_eq!(client.header("sse-resume"), Some("replay"));
        assert_eq!(client.header("sse-resume-from"), Some(&*id));
        client.read_events(1).await;
        app.body().send("data: 3\n\n");
        client.read_events(2).await;
        assert_eq!(client.data(), ["2", "3"]);
        assert_eq!(app.inner.calls(), 1);
    }
}

#[tokio::test]
async fn a_finished_stream_is_replayed_and_ends_cleanly() {
    for method in BOTH {
        let mut app = app();
        let id = cut(&mut app, method.clone(), "data: 1\n\n").await;
        app.body().send("data: 2\n\n");
        app.body().end();
        settle().await;
        for _ in 0..2 {
            let mut client = app.call(method.clone(), &id).await;
            client.read_to_end().await;
            assert_eq!(client.data(), ["2"]);
            assert_eq!(client.end, End::Clean);
        }
        assert_eq!(app.inner.calls(), 1);
    }
}

#[tokio::test]
async fn a_get_may_resume_the_stream_of_a_post() {
    let mut app = app();
    let id = cut(&mut app, Method::POST, "data: 1\n\n").await;
    app.body().send("data: 2\n\n");
    let mut client = app.get(&id).await;
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(app.inner.calls(), 1);
}

// Finished, nothing left

#[tokio::test]
async fn the_end_is_told_once_and_then_the_inner_service_is_called_with_its_own_last_id() {
    let mut app = app();
    let id = finished(&mut app, Method::GET).await;
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("replay"));
    client.read_to_end().await;
    assert_eq!((client.end.clone(), client.received.len()), (End::Clean, 0));
    assert_eq!(app.inner.calls(), 1);
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("forwarded"));
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("b"));
    app.body().send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["2"], "a new stream: nothing is skipped");
    assert_ne!(client.last_event_id().split('.').nth(1), id.split('.').nth(1));
}

#[tokio::test]
async fn with_no_content_nothing_left_is_204_at_once_and_again() {
    for method in BOTH {
        let mut app = App::with(layer().on_finished(OnFinished::NoContent));
        let id = finished(&mut app, method.clone()).await;
        for _ in 0..2 {
            let mut client = app.call(method.clone(), &id).await;
            client.read_to_end().await;
            assert!(is_bare(&client, StatusCode::NO_CONTENT));
        }
        assert_eq!(app.inner.calls(), 1);
    }
}

#[tokio::test]
async fn with_no_content_the_rest_of_a_finished_stream_is_replayed() {
    let mut app = App::with(layer().on_finished(OnFinished::NoContent));
    let id = finished(&mut app, Method::GET).await;
    let mut client = app.get(&moved(&id, 1, 1)).await;
    client.read_to_end().await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(client.end, End::Clean);
}

#[tokio::test]
async fn a_post_whose_end_was_told_gets_204() {
    let mut app = app();
    let id = finished(&mut app, Method::POST).await;
    let mut client = app.call(Method::POST, &id).await;
    client.read_to_end().await;
    assert_eq!(client.end, End::Clean);
    assert!(is_bare(&app.call(Method::POST, &id).await, StatusCode::NO_CONTENT));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_get_never_calls_the_inner_service_for_the_stream_of_a_post() {
    let mut app = app();
    let id = finished(&mut app, Method::POST).await;
    app.get(&id).await.read_to_end().await;
    assert!(is_bare(&app.get(&id).await, StatusCode::NO_CONTENT));
    assert!(is_bare(&app.get(&moved(&id, 2, 2)).await, StatusCode::NO_CONTENT));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_primed_client_gets_the_end_as_an_id_and_that_id_means_delivered() {
    let mut app = App::with(layer().priming(Priming::Always));
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    app.body().end();
    let text = client.read();
    let end = client.last_event_id();
    assert_eq!(end, format!("{}.a", moved(&end, 2, 1)));
    assert!(text.ends_with(&format!("\n\nid: {end}\n\n")));
    assert_eq!(client.end, End::Clean);
    let client = app.get(&end).await;
    assert_eq!(client.header("sse-resume"), Some("forwarded"));
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("a"));
}

#[tokio::test]
async fn a_primed_client_that_missed_the_end_still_gets_it_after_another_was_told() {
    let mut app = App::with(layer().priming(Priming::Always));
    let id = finished(&mut app, Method::GET).await;
    let mut client = app.get(&moved(&id, 1, 1)).await;
    client.read_to_end().await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(client.last_event_id(), format!("{}.b", moved(&id, 2, 2)));
}

// Aborted

#[tokio::test]
async fn a_get_goes_on_with_a_new_call_and_what_that_resends_is_skipped() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n").await;
    let mut client = app.get(&moved(&id, 1, 1)).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    settle().await;
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("b"));
    app.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    client.read_events(2).await;
    assert_eq!(client.data(), ["2", "3"]);
    assert_eq!(client.last_event_id(), format!("{}.c", moved(&id, 2, 3)));
    assert!(client.gaps().is_empty());
}

#[tokio::test]
async fn without_inner_ids_the_takeover_begins_with_a_gap_whose_id_acknowledges_it() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "data: 1\n\ndata: 2\n\n").await;
    let mut client = app.get(&moved(&id, 1, 1)).await;
    settle().await;
    assert_eq!(app.inner.call(1).last_event_id(), None);
    app.body().send("data: 1\n\n");
    client.read_events(3).await;
    let gap = r#"{"requested":2,"resumed":2,"missed":null,"reason":"producer-lost"}"#;
    assert_eq!(client.data(), ["2", gap, "1"]);
    assert_eq!(client.events()[1].id, moved(&id, 2, 2));
    assert_eq!(client.events()[2].id, moved(&id, 2, 3));
    let mut acknowledged = app.get(&moved(&id, 2, 2)).await;
    acknowledged.read_events(1).await;
    assert_eq!(acknowledged.data(), ["1"]);
    let mut not_told = app.get(&id).await;
    not_told.read_events(2).await;
    assert_eq!(not_told.data(), [gap, "1"]);
}

#[tokio::test]
async fn a_position_that_its_generation_never_had_is_unknown() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
    let mut client = app.get(&id).await;
    app.body().send("id: b\ndata: 2\n\n");
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    let calls = app.inner.calls();
    let client = app.get(&moved(&id, 1, 2)).await;
    assert_eq!(client.header("sse-resume"), Some("gap"));
    assert_eq!(app.inner.calls(), calls + 1);
}

#[tokio::test]
async fn a_post_gets_its_replay_then_the_loss_as_a_gap_then_an_error_then_204() {
    let mut app = app();
    let id = aborted(&mut app, Method::POST, "data: 1\n\ndata: 2\n\n").await;
    let mut client = app.call(Method::POST, &moved(&id, 1, 1)).await;
    client.read_to_end().await;
    let gap = r#"{"requested":2,"resumed":2,"missed":null,"reason":"producer-lost"}"#;
    assert_eq!(client.data(), ["2", gap]);
    assert!(client.is_broken());
    let told = client.last_event_id();
    assert_eq!(told, moved(&id, 2, 2));
    assert!(is_bare(&app.call(Method::POST, &told).await, StatusCode::NO_CONTENT));
    let mut untold = app.call(Method::POST, &id).await;
    untold.read_to_end().await;
    assert_eq!(untold.data(), [gap]);
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn the_stream_of_a_get_that_a_post_finds_aborted_is_lost_to_it() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
    let mut client = app.call(Method::POST, &id).await;
    client.read_to_end().await;
    assert_eq!(client.gaps().len(), 1);
    assert!(client.is_broken());
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn who_had_only_a_head_comes_back_to_a_stream_that_goes_on_with_a_new_call() {
    let mut app = app();
    let client = app.get("").await;
    let id = client.header("sse-resume-from").unwrap().to_owned();
    drop(client);
    settle().await;
    assert!(app.body().is_dropped(), "nothing was asked of its body: it does not linger");
    let mut client = app.get(&id).await;
    app.body().send("data: 1\n\n");
    client.read_events(2).await;
    let gap = r#"{"requested":0,"resumed":0,"missed":null,"reason":"producer-lost"}"#;
    assert_eq!(client.data(), [gap, "1"]);
    assert_eq!((client.header("sse-resume"), app.inner.calls()), (Some("takeover"), 2));
}

#[tokio::test]
async fn who_was_told_the_loss_waits_to_hear_whether_somebody_goes_on_with_the_stream_after_all() {
    for (answer, expected) in [
        (event_stream(), StatusCode::OK),
        (status(StatusCode::SERVICE_UNAVAILABLE), StatusCode::NO_CONTENT),
    ] {
        let mut app = app();
        let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
        let mut client = app.call(Method::POST, &id).await;
        client.read_to_end().await;
        let gate = app.inner.hold_next(answer);
        let takeover = tokio::spawn(app.service.call(request(Method::GET, &id)));
        settle().await;
        let told = request(Method::POST, &client.last_event_id());
        let told = tokio::spawn(app.service.call(told));
        settle().await;
        assert!(!told.is_finished());
        gate.open();
        let _takeover = takeover.await.unwrap().unwrap();
        let mut told = TestClient::new(told.await.unwrap().unwrap());
        assert_eq!(told.status, expected);
        if expected == StatusCode::OK {
            app.body().send("id: b\ndata: 2\n\n");
            told.read_events(1).await;
            assert_eq!(told.data(), ["2"]);
        }
    }
}

#[tokio::test]
async fn a_restarted_counter_of_the_inner_service_is_a_gap_and_nothing_is_skipped() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: 1\ndata: a\n\nid: 2\ndata: b\n\n").await;
    let mut client = app.get(&id).await;
    app.body().send("id: 1\ndata: x\n\nid: 2\ndata: b\n\n");
    client.read_events(3).await;
    let gap = r#"{"requested":2,"resumed":2,"missed":null,"reason":"diverged"}"#;
    assert_eq!(client.data(), [gap, "x", "b"]);
}

#[tokio::test]
async fn what_is_resent_is_known_beyond_what_is_retained() {
    let mut app = App::with(few(2));
    let mut client = app.get("").await;
    for id in ["a", "b", "c", "d"] {
        app.body().send(format!("id: {id}\ndata: {id}\n\n"));
        client.read();
    }
    app.body().fail();
    client.read();
    let mut client = app.get(&client.last_event_id()).await;
    for id in ["b", "c", "d", "e"] {
        app.body().send(format!("id: {id}\ndata: {id}\n\n"));
    }
    client.settle().await;
    assert_eq!(client.data(), ["e"]);
}

// Part is gone

fn few(events: u64) -> SseResumeLayer {
    layer().retention(Retention::new().events(events))
}

#[tokio::test]
async fn evicted_events_are_a_gap_before_what_is_left() {
    for method in BOTH {
        let mut app = App::with(few(2));
        let mut client = app.call(method.clone(), "").await;
        for data in 1..=5 {
            app.body().send(format!("data: {data}\n\n"));
            client.read();
        }
        let id = moved(&client.last_event_id(), 1, 1);
        let mut late = app.call(method, &id).await;
        assert_eq!(late.header("sse-resume"), Some("gap"));
        late.read_events(3).await;
        let gap = r#"{"requested":1,"resumed":3,"missed":2,"reason":"evicted"}"#;
        assert_eq!(late.data(), [gap, "4", "5"]);
        assert_eq!(late.events()[0].id, moved(&id, 1, 3));
        let expected = format!("event: resume-gap\ndata: {gap}\nid: {}\n\n", moved(&id, 1, 3));
        assert!(String::from_utf8_lossy(&late.received).starts_with(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_events_are_a_gap() {
    let age = std::time::Duration::from_secs(8);
    let mut app = App::with(layer().retention(Retention::new().age(age)));
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = moved(&client.last_event_id(), 1, 0);
    tokio::time::sleep(age + age / 2).await;
    app.body().send("data: 2\n\n");
    client.read();
    let mut late = app.get(&id).await;
    late.read_events(2).await;
    let gap = r#"{"requested":0,"resumed":1,"missed":1,"reason":"expired"}"#;
    assert_eq!(late.data(), [gap, "2"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_position_outlives_its_events() {
    let age = std::time::Duration::from_secs(8);
    let mut app = App::with(layer().retention(Retention::new().age(age)));
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    tokio::time::sleep(age * 2).await;
    let mut late = app.get(&client.last_event_id()).await;
    assert_eq!(late.header("sse-resume"), Some("replay"));
    app.body().send("data: 2\n\n");
    late.read_events(1).await;
    assert_eq!(late.data(), ["2"]);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_a_gap() {
    let mut app = App::with(layer().limits(Limits::new().frame(64)));
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    app.body().send(format!("data: {}", "x".repeat(100)));
    client.read();
    app.body().send("\n\ndata: 3\n\n");
    client.read();
    let mut late = app.get(&id).await;
    late.read_events(2).await;
    let gap = r#"{"requested":1,"resumed":2,"missed":1,"reason":"oversize"}"#;
    assert_eq!(late.data(), [gap, "3"]);
}

#[tokio::test]
async fn with_reject_missing_events_are_410() {
    for method in BOTH {
        let mut app = App::with(few(2).on_missing(OnMissing::Reject));
        let mut client = app.call(method.clone(), "").await;
        app.body().send("data: 1\n\ndata: 2\n\ndata: 3\n\n");
        client.read();
        app.body().send("data: 4\n\n");
        client.read();
        let id = client.last_event_id();
        assert!(is_bare(&app.call(method.clone(), &moved(&id, 1, 1)).await, StatusCode::GONE));
        let kept = app.call(method, &moved(&id, 1, 2)).await;
        assert_eq!(kept.header("sse-resume"), Some("replay"));
    }
}

#[tokio::test]
async fn with_reject_a_hole_after_the_position_is_410() {
    let layer = layer().limits(Limits::new().frame(64)).on_missing(OnMissing::Reject);
    let mut app = App::with(layer);
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    app.body().send(format!("data: {}", "x".repeat(100)));
    app.body().send("\n\ndata: 3\n\n");
    client.read();
    assert!(is_bare(&app.get(&id).await, StatusCode::GONE));
}

#[tokio::test]
async fn with_reject_a_takeover_that_cannot_be_exact_is_still_a_takeover() {
    let mut app = App::with(layer().on_missing(OnMissing::Reject));
    let id = aborted(&mut app, Method::GET, "data: 1\n\n").await;
    let mut client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
    client.read_events(1).await;
    assert_eq!(client.gaps().len(), 1);
}

// Unknown, foreign, malformed

/// IDs that were never given, in the order in which they get worse. `id` is one that was.
fn bad_ids(id: &str, of_another_process: &str) -> Vec<Vec<u8>> {
    let token = id.split('.').nth(1).unwrap();
    let forged = if token.as_bytes()[20] == b'A' { "B" } else { "A" };
    let forged = format!("r1.{}{forged}{}.1.1", &token[..20], &token[21..]);
    let mut bad: Vec<Vec<u8>> = [
        moved(id, 1, 99),
        moved(id, 7, 1),
        moved(id, 1, u64::MAX),
        moved(id, u32::MAX, 1),
        moved(id, 0, 1),
        forged,
        of_another_process.to_owned(),
        "r1.".to_owned(),
        "r1.x.1.1".to_owned(),
        format!("r1.{token}.01.1"),
        format!("r1.{token}.1.1."),
        format!("r1.{token}.1.-1"),
        format!("r1.{token}.1.18446744073709551616"),
        format!("r1.{token}.1.1.%0D%0Aset-cookie"),
        format!("r1.{token}.1.1.%00"),
        format!("{id}.{}", "x".repeat(10_000)),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    bad.push([id.as_bytes(), b"\xff\xfe"].concat());
    bad.push([b"r1.\xff".as_slice(), id.as_bytes()].concat());
    bad
}

/// A request with this ID, as bytes.
fn bad_request(method: Method, id: &[u8]) -> Request<()> {
    with(request(method, ""), "last-event-id", id)
}

#[tokio::test]
async fn a_get_with_an_unknown_id_is_forwarded_without_it_behind_a_gap() {
    let mut app = app();
    let id = cut(&mut app, Method::GET, "data: 1\n\n").await;
    let mut other = self::app();
    let of_another = cut(&mut other, Method::GET, "data: 1\n\n").await;
    for bad in bad_ids(&id, &of_another) {
        let calls = app.inner.calls();
        let mut client = app.send(bad_request(Method::GET, &bad)).await;
        let bad = String::from_utf8_lossy(&bad).into_owned();
        assert_eq!(app.inner.calls(), calls + 1, "{bad}");
        assert!(!app.inner.call(calls).headers.contains_key("last-event-id"), "{bad}");
        assert_eq!(client.header("sse-resume"), Some("gap"), "{bad}");
        app.body().send("data: new\n\n");
        client.read();
        let events = client.events();
        assert_eq!((&*events[0].event, &*events[1].data), ("resume-gap", "new"));
        assert!(events[0].data.ends_with(r#","resumed":0,"missed":null,"reason":"unknown"}"#));
        assert_eq!(events[0].id, moved(&events[1].id, 1, 0));
    }
}

#[tokio::test]
async fn the_gap_of_an_unknown_id_names_the_offset_where_there_is_one() {
    let mut app = app();
    let id = cut(&mut app, Method::GET, "data: 1\n\n").await;
    let mut client = app.get(&moved(&id, 1, 99)).await;
    client.read();
    let gap = r#"{"requested":99,"resumed":0,"missed":null,"reason":"unknown"}"#;
    assert_eq!(client.data(), [gap]);
    let mut client = app.get("r1.x").await;
    client.read();
    let gap = r#"{"requested":null,"resumed":0,"missed":null,"reason":"unknown"}"#;
    assert_eq!(client.data(), [gap]);
}

#[tokio::test]
async fn all_that_is_unknown_gets_one_identical_410() {
    let reject = || layer().on_missing(OnMissing::Reject);
    for (layer, method) in
        [(layer(), Method::POST), (reject(), Method::POST), (reject(), Method::GET)]
    {
        let mut app = App::with(layer);
        let id = cut(&mut app, method.clone(), "id: a\ndata: 1\n\n").await;
        let mut other = self::app();
        let of_another = cut(&mut other, Method::GET, "id: a\ndata: 1\n\n").await;
        let mut requests: Vec<_> =
            bad_ids(&id, &of_another).iter().map(|id| bad_request(method.clone(), id)).collect();
        requests.push(with(request(method.clone(), &id), "last-event-id", &id));
        requests.extend(foreign(&method, &id));
        for request in requests {
            let asked = format!("{request:?}");
            let mut client = app.send(request).await;
            client.read();
            assert!(is_bare(&client, StatusCode::GONE), "{asked}");
            let headers: Vec<_> = client.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(headers, ["cache-control"], "{asked}");
            assert_eq!(client.header("cache-control"), Some("no-store"));
            assert_eq!(client.end, End::Clean);
        }
        assert_eq!(app.inner.calls(), 1);
    }
}

#[tokio::test]
async fn an_id_in_the_query_with_a_nul_a_line_ending_or_no_utf_8_is_as_unknown_as_any_other() {
    for on_missing in [OnMissing::Reject, OnMissing::Signal] {
        let layer = layer().last_event_id_query("lastEventId").on_missing(on_missing);
        let mut app = App::with(layer);
        let id = cut(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
        for end in ["%00", "%0D", "%0A", "%0D%0A%0D%0A", "%FF%FE", &"x".repeat(10_000)] {
            let mut request = request(Method::GET, "");
            *request.uri_mut() = format!("/events?lastEventId={id}{end}").parse().unwrap();
            let calls = app.inner.calls();
            let client = app.send(request).await;
            if on_missing == OnMissing::Reject {
                assert!(is_bare(&client, StatusCode::GONE), "{end}");
                continue;
            }
            assert_eq!(client.header("sse-resume"), Some("gap"), "{end}");
            let call = app.inner.call(calls);
            assert_eq!((call.uri.to_string(), call.last_event_id()), ("/events".into(), None));
        }
    }
}

/// Requests with an ID that was given, from elsewhere.
fn foreign(method: &Method, id: &str) -> Vec<Request<()>> {
    let request = || request(method.clone(), id);
    let to = |uri: &str| {
        let mut request = request();
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    vec![
        to("/other"),
        to("/events?room=2"),
        to("http://other.example/events"),
        with(request(), "host", "other.example"),
        with(request(), "origin", "https://other.example"),
        with(request(), "authorization", "Bearer b"),
    ]
}

#[tokio::test]
async fn a_stream_is_not_for_another_target_or_owner() {
    let mut app = app();
    let id = cut(&mut app, Method::GET, "data: secret\n\ndata: secret\n\n").await;
    for request in foreign(&Method::GET, &moved(&id, 1, 1)) {
        let asked = format!("{request:?}");
        let mut client = app.send(request).await;
        client.read();
        assert_eq!(client.header("sse-resume"), Some("gap"), "{asked}");
        assert!(!String::from_utf8_lossy(&client.received).contains("secret"), "{asked}");
    }
}

#[tokio::test]
async fn a_stream_with_an_owner_is_not_for_a_request_without_one() {
    let mut app = app();
    let own = |id: &str| with(request(Method::GET, id), "authorization", "Bearer a");
    let mut client = app.send(own("")).await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    assert_eq!(app.get(&id).await.header("sse-resume"), Some("gap"));
    assert_eq!(app.send(own(&id)).await.header("sse-resume"), Some("replay"));
}

#[tokio::test]
async fn an_owner_may_renew_its_token() {
    #[derive(Clone)]
    struct User(u32);
    let owner = |parts: &http::request::Parts| parts.extensions.get::<User>().map(|user| user.0);
    let mut app = App::with(layer().owner(owner));
    let from = |user, token: &str, id: &str| {
        let mut request = with(request(Method::GET, id), "authorization", token);
        request.extensions_mut().insert(User(user));
        request
    };
    let mut client = app.send(from(1, "old", "")).await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    assert_eq!(app.send(from(1, "new", &id)).await.header("sse-resume"), Some("replay"));
    assert_eq!(app.send(from(2, "new", &id)).await.header("sse-resume"), Some("gap"));
}

#[tokio::test]
async fn a_stream_is_not_for_another_session() {
    let name = HeaderName::from_static("x-session");
    let mut app = App::with(layer().session_header(name).on_missing(OnMissing::Reject));
    let of = |session: &str, id: &str| with(request(Method::GET, id), "x-session", session);
    let mut client = app.send(of("one", "")).await;
    app.body().send("data: 1\n\n");
    client.read();
    let id = client.last_event_id();
    assert!(is_bare(&app.send(of("two", &id)).await, StatusCode::GONE));
    assert!(is_bare(&app.get(&id).await, StatusCode::GONE));
    assert_eq!(app.send(of("one", &id)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_response_may_name_the_session_that_its_stream_belongs_to() {
    let name = HeaderName::from_static("x-session");
    let mut app = App::with(layer().session_header(name).on_missing(OnMissing::Reject));
    let mut head = event_stream();
    head.headers_mut().insert("x-session", "one".parse().unwrap());
    app.inner.answer_next(head);
    let id = cut(&mut app, Method::GET, "data: 1\n\n").await;
    assert!(is_bare(&app.get(&id).await, StatusCode::GONE));
    let own = with(request(Method::GET, &id), "x-session", "one");
    assert_eq!(app.send(own).await.header("sse-resume"), Some("replay"));
    assert_eq!(app.handle.purge_session("one"), 1);
}

#[tokio::test]
async fn whom_authorize_resume_refuses_gets_what_an_unknown_id_gets() {
    let refuse = |parts: &http::request::Parts, _: &_| !parts.headers.contains_key("x-banned");
    let mut app = App::with(layer().authorize_resume(refuse).on_missing(OnMissing::Reject));
    let id = cut(&mut app, Method::GET, "data: 1\n\n").await;
    let banned = with(request(Method::GET, &id), "x-banned", "1");
    assert!(is_bare(&app.send(banned).await, StatusCode::GONE));
    assert_eq!(app.get(&id).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_id_still_tells_the_inner_services_own_id() {
    let mut before = app();
    let id = cut(&mut before, Method::GET, "id: 2024/7 \u{e9}\ndata: 1\n\n").await;
    let mut restarted = app();
    let mut client = restarted.get(&id).await;
    let sent = restarted.inner.call(0).headers["last-event-id"].clone();
    assert_eq!(sent.as_bytes(), "2024/7 \u{e9}".as_bytes());
    assert_eq!(client.header("sse-resume"), Some("fresh"));
    restarted.body().send("data: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["2"], "the inner service decides: no gap");
}

#[tokio::test]
async fn a_malformed_id_tells_nothing() {
    let mut app = app();
    let id = cut(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
    app.get(&format!("{id}.b")).await;
    assert_eq!(app.inner.call(1).last_event_id(), None);
}

#[tokio::test]
async fn with_one_secret_a_restarted_process_knows_the_ids_but_not_the_streams() {
    let secret = || layer().secret([7; 32]);
    let mut before = App::with(secret());
    let id = cut(&mut before, Method::GET, "id: a\ndata: 1\n\n").await;
    let mut restarted = App::with(secret());
    restarted.get(&id).await;
    assert_eq!(restarted.inner.call(0).last_event_id().as_deref(), Some("a"));
    assert!(is_bare(&restarted.call(Method::POST, &id).await, StatusCode::GONE));
}

#[tokio::test]
async fn what_the_history_knows_counts_and_not_the_clients_copy_of_the_inner_id() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
    let forged = format!("{}.zzz", id.strip_suffix(".a").unwrap());
    app.get(&forged).await;
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("a"));
}

// Not ours

#[tokio::test]
async fn an_id_that_is_not_ours_reaches_the_inner_service_untouched() {
    for method in BOTH {
        let mut app = app();
        let client = app.call(method, "r2.x").await;
        assert_eq!(client.header("sse-resume"), Some("fresh"));
        assert_eq!(app.inner.call(0).last_event_id().as_deref(), Some("r2.x"));
    }
}

#[tokio::test]
async fn our_ids_never_reach_the_inner_service() {
    let mut app = App::with(layer().last_event_id_query("lastEventId"));
    let id = cut(&mut app, Method::GET, "data: 1\n\n").await;
    let unknown = moved(&id, 1, 99);
    let cases = [
        ("/events", vec![unknown.clone()]),
        ("/events", vec![unknown.clone(), "7".to_owned()]),
        ("/events", vec!["7".to_owned(), unknown.clone()]),
        (&format!("/events?lastEventId={unknown}"), vec![]),
        (&format!("/events?a=1&lastEventId={unknown}"), vec![unknown.clone()]),
        (&format!("/events?lastEventId={unknown}"), vec!["7".to_owned()]),
        (&format!("/events?lastEventId=7&lastEventId={unknown}"), vec![]),
        (&format!("/events?lastEventId={}", unknown.replace('.', "%2E")), vec![]),
    ];
    for (uri, ids) in cases {
        let mut request = request(Method::GET, "");
        *request.uri_mut() = uri.parse().unwrap();
        for id in &ids {
            request = with(request, "last-event-id", id);
        }
        app.send(request).await;
        let call = app.inner.call(app.inner.calls() - 1);
        let ours = |text: &str| text.contains("r1.") || text.contains("r1%2E");
        assert!(!ours(&call.uri.to_string()), "{uri} {ids:?}: {}", call.uri);
        let seen = call.headers.get_all("last-event-id");
        assert!(!seen.iter().any(|id| ours(id.to_str().unwrap())), "{uri} {ids:?}");
    }
}

// The heads of answers

#[tokio::test]
async fn a_resumed_response_has_the_streams_headers_and_never_cookies_dates_or_traces() {
    let head = Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .header("cache-control", "no-cache, private")
        .header("vary", "origin")
        .header("vary", "accept")
        .header("x-accel-buffering", "no")
        .header("access-control-allow-origin", "https://a.example")
        .header("access-control-allow-credentials", "true")
        .header("access-control-expose-headers", "x-mine")
        .header("x-session", "s1")
        .header("x-mine", "mine")
        .header("x-other", "other")
        .header("set-cookie", "sid=1")
        .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
        .header("traceparent", "00-1-2-01");
    let layer = layer()
        .session_header(HeaderName::from_static("x-session"))
        .keep_headers([HeaderName::from_static("x-mine")]);
    let mut app = App::with(layer);
    app.inner.answer_next(head.body(()).unwrap());
    let from_a = |id: &str| with(request(Method::GET, id), "origin", "https://a.example");
    let mut first = app.send(from_a("")).await;
    assert_eq!(first.header("set-cookie"), Some("sid=1"));
    assert_eq!(first.header("x-other"), Some("other"));
    app.body().send("data: 1\n\n");
    first.read();
    let id = first.last_event_id();
    let again = app.send(with(from_a(&id), "x-session", "s1")).await;
    assert_eq!(again.status, StatusCode::OK);
    let mut headers: Vec<_> = again
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let expected = [
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://a.example",
        "access-control-expose-headers: x-mine",
        "cache-control: no-cache, private, no-store",
        "content-type: text/event-stream; charset=utf-8",
        &format!("sse-resume-from: {id}"),
        "sse-resume: replay",
        "vary: accept",
        "vary: origin",
        "x-accel-buffering: no",
        "x-mine: mine",
        "x-session: s1",
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn every_response_names_the_position_before_its_first_event() {
    let mut app = app();
    let mut client = app.send(with(request(Method::GET, ""), "last-event-id", "x")).await;
    let from = client.header("sse-resume-from").unwrap().to_owned();
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read();
    let id = client.last_event_id();
    assert_eq!(from, format!("{}.x", moved(&id, 1, 0)), "the ID that it was called with");
    assert_eq!(id, format!("{}.b", moved(&id, 1, 2)));
}

#[tokio::test]
async fn a_position_within_history_names_the_inner_id_that_was_in_force_there() {
    let mut app = app();
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read();
    let first = client.events()[0].id.clone();
    let again = app.get(&first).await;
    assert_eq!(again.header("sse-resume-from"), Some(&*first));
}

#[tokio::test]
async fn the_id_of_a_gap_signal_never_names_an_inner_id_of_events_that_are_still_to_come() {
    let mut app = App::with(few(2));
    let mut client = app.get("").await;
    for id in ["a", "b", "c", "d", "e"] {
        app.body().send(format!("id: {id}\ndata: {id}\n\n"));
        client.read();
    }
    let mut late = app.get(&moved(&client.last_event_id(), 1, 1)).await;
    late.read_events(3).await;
    let gap = late.events()[0].id.clone();
    // After a restart, "e" would hide "d" and "e" without a word.
    let mut restarted = self::app();
    restarted.get(&gap).await;
    let sent = restarted.inner.call(0).last_event_id();
    assert!(sent.is_none() || sent.as_deref() == Some("c"), "{sent:?}");
}

#[tokio::test]
async fn a_lingering_stream_without_a_client_is_resumed_by_the_position_before_its_first_event() {
    let mut app = app();
    let mut client = app.get("").await;
    let from = client.header("sse-resume-from").unwrap().to_owned();
    client.read();
    drop(client);
    app.body().send("data: 1\n\n");
    let mut client = app.get(&from).await;
    client.read_events(1).await;
    assert_eq!(client.data(), ["1"]);
}

#[tokio::test]
async fn an_answer_to_a_takeover_that_is_no_event_stream_is_passed_on() {
    let mut app = App::with(layer().linger(Linger::none()));
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\n").await;
    app.inner.answer_next(status(StatusCode::NOT_FOUND));
    let mut client = app.get(&id).await;
    assert_eq!(client.status, StatusCode::NOT_FOUND);
    assert_eq!(client.header("sse-resume"), None);
    app.body().send("no such thing");
    app.body().end();
    assert_eq!(client.read(), "no such thing");
    app.inner.answer_next(event_stream());
    let client = app.get(&id).await;
    assert_eq!(client.header("sse-resume"), Some("takeover"));
}

#[tokio::test]
async fn an_answer_that_comes_after_a_replay_and_is_no_event_stream_breaks_the_response() {
    let mut app = app();
    let id = aborted(&mut app, Method::GET, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n").await;
    app.inner.answer_next(status(StatusCode::INTERNAL_SERVER_ERROR));
    let mut client = app.get(&moved(&id, 1, 1)).await;
    client.read_to_end().await;
    assert_eq!(client.data(), ["2"]);
    assert!(client.is_broken());
    app.inner.answer_next(status(StatusCode::NOT_FOUND));
    assert_eq!(app.get(&id).await.status, StatusCode::NOT_FOUND);
}
