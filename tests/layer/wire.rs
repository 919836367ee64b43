//! What the bytes of a resumable stream look like.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use support::app::with;
use support::{App, End, TestClient, request};
use tower::{Layer, Service};
use tower_sse_resume::{
    Gap, GapReason, Limits, Linger, Marker, Priming, Retention, SseResumeLayer,
};

/// A client of a stream, and the start of the stream's IDs.
async fn open(app: &mut App) -> (TestClient, String) {
    let client = app.get("").await;
    let from = client.header("sse-resume-from").unwrap();
    let token = from.split('.').nth(1).unwrap();
    let stream = format!("r1.{token}");
    (client, stream)
}

/// What a client is sent for this input, with `ID` for the start of its IDs.
async fn sent(input: &str) -> String {
    sent_in_pieces(&[input]).await
}

async fn sent_in_pieces(pieces: &[&str]) -> String {
    let mut app = App::new();
    let (mut client, stream) = open(&mut app).await;
    for piece in pieces {
        app.body().send(piece.to_string());
        client.read();
    }
    String::from_utf8_lossy(&client.received).replace(&stream, "ID")
}

// Blocks without an event

#[tokio::test]
async fn a_comment_alone_goes_out_at_once_and_without_its_blank_line() {
    assert_eq!(sent(": hello\n\n").await, ": hello\n");
    assert_eq!(sent(": a\n\n: b\n\ndata: 1\n\n").await, ": a\n: b\ndata: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn a_reconnection_time_alone_goes_out_at_once_and_without_its_blank_line() {
    assert_eq!(sent("retry: 5\n\n").await, "retry: 5\n");
    assert_eq!(
        sent("retry: 5\n: a\n\ndata: 1\n\n").await,
        "retry: 5\n: a\ndata: 1\nid: ID.1.1\n\n"
    );
}

#[tokio::test]
async fn an_unfinished_comment_waits_for_its_blank_line() {
    assert_eq!(sent(": hello\n").await, "");
    assert_eq!(sent(": hello\ndata: 1\n\n").await, ": hello\ndata: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn an_id_alone_is_swallowed_and_travels_with_the_next_event() {
    assert_eq!(sent("id: a\n\n").await, "");
    assert_eq!(sent("id: a\n\ndata: 1\n\n").await, "data: 1\nid: ID.1.1.a\n\n");
}

#[tokio::test]
async fn an_event_without_data_goes_whole_and_takes_no_offset() {
    let input = "event: ping\n\ndata: 1\n\n";
    assert_eq!(sent(input).await, "event: ping\n\ndata: 1\nid: ID.1.1\n\n");
    assert_eq!(sent("event: ping\nid: a\n\n").await, "event: ping\n\n");
}

#[tokio::test]
async fn a_blank_line_that_keeps_alive_becomes_an_empty_comment() {
    assert_eq!(sent("\n").await, ":\n");
    assert_eq!(sent("data: 1\n\n\n\ndata: 2\n\n").await.matches("\n\n").count(), 2);
}

#[tokio::test]
async fn what_dispatches_nothing_is_not_replayed() {
    let mut app = App::new();
    let (mut client, stream) = open(&mut app).await;
    app.body().send("data: 1\n\n: a\n\nevent: ping\n\n\nid: b\n\ndata: 2\n\n");
    client.read();
    let mut late = app.get(&format!("{stream}.1.0")).await;
    assert_eq!(
        late.settle().await.replace(&stream, "ID"),
        "data: 1\nid: ID.1.1\n\ndata: 2\nid: ID.1.2.b\n\n"
    );
}

// IDs

#[tokio::test]
async fn the_id_line_stands_before_the_blank_line_with_the_ending_of_the_line_before() {
    assert_eq!(sent("data: 1\r\n\r\n").await, "data: 1\r\nid: ID.1.1\r\n\r\n");
    assert_eq!(sent("data: 1\r\rdata").await, "data: 1\rid: ID.1.1\r\r");
    assert_eq!(sent("event: a\r\ndata: 1\n\n").await, "event: a\r\ndata: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn a_lone_cr_at_the_end_of_a_piece_does_not_break_a_stream_of_crlf() {
    let pieces = ["data: 1\r\n\r", "\ndata: 2\r", "\n\r", "\n"];
    let expected = "data: 1\r\nid: ID.1.1\r\n\r\ndata: 2\r\nid: ID.1.2\r\n\r\n";
    assert_eq!(sent_in_pieces(&pieces).await, expected);
}

#[tokio::test]
async fn inner_ids_are_left_out_wherever_they_are_and_the_last_one_counts() {
    assert_eq!(sent("id: a\ndata: 1\n\n").await, "data: 1\nid: ID.1.1.a\n\n");
    assert_eq!(sent("data: 1\nid: a\n\n").await, "data: 1\nid: ID.1.1.a\n\n");
    let input = "id: a\ndata: 1\nid: b\ndata: 2\nid:c\n\n";
    assert_eq!(sent(input).await, "data: 1\ndata: 2\nid: ID.1.1.c\n\n");
    assert_eq!(sent("id\ndata: 1\n\n").await, "data: 1\nid: ID.1.1\n\n");
    assert_eq!(sent("id: a\ndata: 1\n\nid\ndata: 2\n\n").await.lines().nth(4), Some("id: ID.1.2"));
}

#[tokio::test]
async fn an_inner_id_stays_in_force_until_the_next_one() {
    let text = sent("id: a\ndata: 1\n\ndata: 2\n\n").await;
    assert!(text.ends_with("data: 2\nid: ID.1.2.a\n\n"));
}

#[tokio::test]
async fn an_inner_id_with_nul_is_none() {
    assert_eq!(sent("id: a\0b\ndata: 1\n\n").await, "data: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn an_inner_id_that_does_not_fit_into_128_bytes_is_left_out() {
    let text = sent(&format!("id: {}\ndata: 1\n\n", "x".repeat(200))).await;
    assert_eq!(text, "data: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn an_event_is_sent_as_it_is_but_for_its_id() {
    let input = "event:a\ndata:  b\ndata\ndata:\nfoo: bar\n: c\nretry: 7\nretry: x\nid2: 3\n";
    let expected = format!("{input}id: ID.1.1\n\n");
    assert_eq!(sent(&format!("{input}\n")).await, expected);
}

// Byte order marks

#[tokio::test]
async fn a_byte_order_mark_at_the_very_start_is_left_out() {
    assert_eq!(sent("\u{feff}data: 1\n\n").await, "data: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn a_second_byte_order_mark_stays_and_is_not_taken_for_the_first() {
    let text = sent("\u{feff}\u{feff}data: 1\n\ndata: 2\n\n").await;
    let data: Vec<_> = support::client::parse(text.as_bytes());
    assert_eq!(data.len(), 1, "the first line is none of the client's: {text:?}");
    assert_eq!(data[0].data, "2");
}

#[tokio::test]
async fn a_frame_that_begins_with_a_byte_order_mark_is_not_first_in_a_replay() {
    let mut app = App::new();
    let (mut client, stream) = open(&mut app).await;
    app.body().send("data: 1\n\n\u{feff}data: dead\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
    let mut late = app.get(&client.events()[0].id).await;
    let text = late.settle().await.replace(&stream, "ID");
    assert_eq!(text, ":\n\u{feff}data: dead\ndata: 2\nid: ID.1.2\n\n");
    assert_eq!(late.data(), ["2"]);
}

#[tokio::test]
async fn the_byte_order_mark_of_a_later_inner_response_is_left_out() {
    let mut app = App::with(SseResumeLayer::new().linger(Linger::none()));
    let (mut client, stream) = open(&mut app).await;
    app.body().send("id: a\ndata: 1\n\n");
    app.body().fail();
    client.read();
    let mut client = app.get(&client.last_event_id()).await;
    app.body().send("\u{feff}data: 2\n\n");
    client.read_events(1).await;
    let text = String::from_utf8_lossy(&client.received).replace(&stream, "ID");
    assert_eq!(text, "data: 2\nid: ID.2.2.a\n\n");
}

// Whole frames

#[tokio::test]
async fn a_frame_is_sent_when_its_blank_line_has_come() {
    assert_eq!(sent_in_pieces(&["da", "ta: 1\n"]).await, "");
    assert_eq!(sent_in_pieces(&["da", "ta: 1\n", "\nda"]).await, "data: 1\nid: ID.1.1\n\n");
}

#[tokio::test]
async fn what_is_unfinished_at_the_end_is_never_sent() {
    for end in ["end", "fail"] {
        let mut app = App::new();
        let (mut client, stream) = open(&mut app).await;
        app.body().send("data: 1\n\ndata: 2\n");
        if end == "end" {
            app.body().end();
        } else {
            app.body().fail();
        }
        client.read();
        let text = String::from_utf8_lossy(&client.received).replace(&stream, "ID");
        assert_eq!(text, "data: 1\nid: ID.1.1\n\n");
        assert_eq!(client.end == End::Clean, end == "end");
    }
}

#[tokio::test]
async fn what_one_producer_left_unfinished_is_no_part_of_the_next_ones_first_frame() {
    let mut app = App::new();
    let (mut client, _) = open(&mut app).await;
    app.body().send("id: a\ndata: 1\n\nevent: x\ndata: lost\n");
    app.body().fail();
    client.read();
    let mut client = app.get(&client.last_event_id()).await;
    app.body().send("data: 2\n\n");
    client.read_events(1).await;
    assert_eq!((&*client.events()[0].event, &*client.events()[0].data), ("message", "2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn how_the_input_is_cut_makes_no_difference(
        lines in proptest::collection::vec(prop_oneof![
            Just("data: x"), Just("data"), Just("id: a"), Just("id"), Just(": c"), Just("event: e"),
            Just("retry: 5"), Just(""), Just("\u{feff}data: y"),
        ], 0..24),
        ending in prop_oneof![Just("\n"), Just("\r\n")],
        cuts in proptest::collection::vec(0_usize..200, 0..8),
    ) {
        let input = lines.iter().flat_map(|line| [*line, ending]).collect::<String>();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len()))
            .filter(|cut| input.is_char_boundary(*cut)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (whole, cut) = runtime.block_on(async { (sent(&input).await, sent_in_pieces(&pieces).await) });
        let events = |text: &str| support::client::parse(text.as_bytes());
        prop_assert_eq!(events(&whole), events(&cut));
        let bare = events(&input).into_iter().map(|event| (event.event, event.data));
        let ours = events(&whole).into_iter().map(|event| (event.event, event.data));
        prop_assert_eq!(bare.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
    }
}

// Reconnection times

#[tokio::test]
async fn a_replay_begins_with_the_last_reconnection_time() {
    let mut app = App::new();
    let (mut client, stream) = open(&mut app).await;
    app.body().send("retry: 5\ndata: 1\n\nretry: 6\n\ndata: 2\n\n");
    client.read();
    let mut late = app.get(&format!("{stream}.1.1")).await;
    assert_eq!(late.settle().await.replace(&stream, "ID"), "retry: 6\ndata: 2\nid: ID.1.2\n\n");
}

#[tokio::test]
async fn a_configured_reconnection_time_begins_each_response_and_is_jittered() {
    let layer = SseResumeLayer::new().retry(Duration::from_secs(4)).jitter(0.5);
    let mut app = App::with(layer);
    let mut times = std::collections::BTreeSet::new();
    let mut id = String::new();
    for _ in 0..32 {
        let mut client = app.get(&id).await;
        let text = client.read();
        let time = text.strip_prefix("retry: ").unwrap().strip_suffix('\n').unwrap();
        times.insert(time.parse::<u64>().unwrap());
        id = client.header("sse-resume-from").unwrap().to_owned();
    }
    assert!(times.iter().all(|time| (4_000..=6_000).contains(time)), "{times:?}");
    assert!(times.len() > 16, "{times:?}");
}

#[tokio::test]
async fn without_jitter_the_configured_time_is_exact() {
    let layer = SseResumeLayer::new().retry(Duration::from_millis(1500)).jitter(0.0);
    let mut app = App::with(layer.priming(Priming::Always));
    let (mut client, stream) = open(&mut app).await;
    assert_eq!(client.read(), format!("retry: 1500\nid: {stream}.1.0\n\n"));
}

// Frames over the limit

fn small_frames() -> App {
    App::with(SseResumeLayer::new().limits(Limits::new().frame(64)))
}

#[tokio::test]
async fn a_frame_over_the_limit_goes_whole_and_with_an_id_to_who_is_there() {
    let mut app = small_frames();
    let (mut client, stream) = open(&mut app).await;
    let long = "x".repeat(100);
    app.body().send(format!("id: a\ndata: {long}"));
    client.read();
    assert!(client.received.ends_with(b"xxx"), "as it comes");
    app.body().send("\nid: b\ndata: 2\n\ndata: 3\n\n");
    client.read();
    let text = String::from_utf8_lossy(&client.received).replace(&stream, "ID");
    let expected = format!("data: {long}\ndata: 2\nid: ID.1.1.b\n\ndata: 3\nid: ID.1.2.b\n\n");
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_not_recorded_however_it_comes() {
    let long = "x".repeat(100);
    let frame = format!("\u{feff}id: a\ndata: {long}\n\n");
    for cut in [0, 1, 3, 4, 9, 60, 80, frame.len() - 1] {
        let mut app = small_frames();
        let (mut client, stream) = open(&mut app).await;
        app.body().send(frame.as_bytes()[..cut].to_vec());
        client.read();
        app.body().send(frame.as_bytes()[cut..].to_vec());
        client.read();
        let text = String::from_utf8_lossy(&client.received).replace(&stream, "ID");
        assert_eq!(text, format!("data: {long}\nid: ID.1.1.a\n\n"), "{cut}");
        let mut late = app.get(&format!("{stream}.1.0")).await;
        late.read_events(1).await;
        assert_eq!(late.gaps().len(), 1, "{cut}");
    }
}

#[tokio::test]
async fn who_comes_while_a_frame_over_the_limit_is_passed_on_gets_a_gap_in_its_place() {
    let mut app = small_frames();
    let (mut client, stream) = open(&mut app).await;
    app.body().send(format!("data: {}", "x".repeat(100)));
    client.read();
    let mut late = app.get(&format!("{stream}.1.0")).await;
    late.settle().await;
    app.body().send("\ndata: y\n\ndata: 2\n\n");
    late.read_events(2).await;
    let gap = r#"{"requested":0,"resumed":1,"missed":1,"reason":"oversize"}"#;
    assert_eq!(late.data(), [gap, "2"]);
    client.settle().await;
    assert_eq!(client.data().len(), 2);
    assert_eq!(client.data()[1], "2");
}

#[tokio::test]
async fn a_frame_over_the_limit_whose_rest_never_comes_breaks_the_response() {
    let mut app = small_frames();
    let (mut client, _) = open(&mut app).await;
    app.body().send("data: 1\n\n");
    app.body().send(format!("data: {}\n", "x".repeat(100)));
    app.body().end();
    client.read_to_end().await;
    assert_eq!(client.data(), ["1"]);
    assert!(client.is_broken());
}

// Priming

async fn is_primed(
    layer: SseResumeLayer,
    method: Method,
    headers: &[(&'static str, &str)],
) -> bool {
    let mut app = App::with(layer.methods([Method::GET, Method::POST]));
    let mut request = request(method, "");
    for (name, value) in headers {
        request = with(request, name, value);
    }
    let mut client = app.send(request).await;
    let text = client.read();
    let from = client.header("sse-resume-from").unwrap();
    assert!(text.is_empty() || text == format!("id: {from}\n\n"));
    !text.is_empty()
}

#[tokio::test]
async fn only_what_looks_like_an_event_source_is_primed() {
    let browser = [
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("sec-fetch-mode", "cors"),
    ];
    assert!(is_primed(SseResumeLayer::new(), Method::GET, &browser).await);
    assert!(!is_primed(SseResumeLayer::new(), Method::POST, &browser).await);
    for missing in 0..3 {
        let mut headers = browser.to_vec();
        headers.remove(missing);
        assert!(!is_primed(SseResumeLayer::new(), Method::GET, &headers).await);
    }
    let httpx = [browser[0], ("cache-control", "no-store"), browser[2]];
    assert!(!is_primed(SseResumeLayer::new(), Method::GET, &httpx).await);
    let never = SseResumeLayer::new().priming(Priming::Never);
    assert!(!is_primed(never, Method::GET, &browser).await);
    let always = SseResumeLayer::new().priming(Priming::Always);
    assert!(is_primed(always, Method::POST, &[]).await);
}

#[tokio::test]
async fn a_client_that_is_cut_within_a_gap_signal_is_told_when_it_comes_back() {
    let mut app = App::with(SseResumeLayer::new().priming(Priming::Always));
    let unknown = "r1.AAAAAAAAAAAAAAAAAAAAAA.1.1";
    let whole = app.get(unknown).await.read();
    for cut in 0..whole.len() {
        let mut client = app.get(unknown).await;
        client.read();
        client.received.truncate(cut);
        let is_told = !client.gaps().is_empty();
        assert_eq!(is_told, !client.last_event_id().is_empty(), "cut at {cut}: {whole}");
    }
}

#[tokio::test]
async fn a_resumed_response_does_not_begin_with_an_id() {
    let mut app = App::with(SseResumeLayer::new().priming(Priming::Always));
    let (mut client, stream) = open(&mut app).await;
    app.body().send("data: 1\n\n");
    client.read();
    let mut late = app.get(&format!("{stream}.1.0")).await;
    assert!(late.settle().await.starts_with("data: 1\n"));
}

// The query parameter

#[tokio::test]
async fn the_position_may_come_from_a_query_parameter_that_the_inner_service_does_not_see() {
    let mut app = App::with(SseResumeLayer::new().last_event_id_query("lastEventId"));
    let to = |query: &str, id: &str| {
        let mut request = request(Method::GET, id);
        *request.uri_mut() = format!("/events?{query}").parse().unwrap();
        request
    };
    let mut client = app.send(to("room=1", "")).await;
    app.body().send("data: 1\n\ndata: 2\n\n");
    client.read();
    let ids: Vec<_> = client.events().into_iter().map(|event| event.id).collect();
    for query in [
        format!("room=1&lastEventId={}", ids[0]),
        format!("lastEventId={}&room=1", ids[0].replace('.', "%2e")),
    ] {
        let mut late = app.send(to(&query, "")).await;
        late.read_events(1).await;
        assert_eq!(late.data(), ["2"], "{query}");
    }
    let mut late = app.send(to(&format!("room=1&lastEventId={}", ids[0]), &ids[1])).await;
    assert_eq!(late.settle().await, "", "the header wins");
    assert_eq!(app.inner.calls(), 1);
    let mut late = app.send(to(&format!("room=1&lastEventId={}x", ids[0]), "")).await;
    late.read();
    assert_eq!(app.inner.call(1).uri, "/events?room=1");
}

// Markers

#[tokio::test]
async fn two_layers_with_different_markers_can_be_stacked() {
    let inside = SseResumeLayer::new().marker(Marker::new("in").unwrap());
    let outside = SseResumeLayer::new().marker(Marker::new("out").unwrap());
    let inner = support::Scripted::new();
    let mut service = outside.layer(inside.layer(inner.clone()));
    let mut client = support::Client::new(service.call(request(Method::GET, "")).await.unwrap());
    inner.body(0).send("id: a\ndata: 1\n\n");
    client.read();
    let id = client.last_event_id();
    // A token may have any characters but dots.
    let parts: Vec<_> = id.split('.').collect();
    let [marker, _token, generation, offset, inner_id] = parts[..] else { panic!("{id}") };
    assert_eq!([marker, generation, offset], ["out", "1", "1"]);
    assert!(inner_id.starts_with("in%2E") && inner_id.ends_with("%2E1%2E1%2Ea"), "{id}");
    drop(client);
    inner.body(0).send("id: b\ndata: 2\n\n");
    let again = service.call(request(Method::GET, &id)).await.unwrap();
    let mut client = support::Client::new(again);
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    drop((client, outside, service));
    // The outer layer is restarted: the inner one still knows.
    let mut service = SseResumeLayer::new()
        .marker(Marker::new("out").unwrap())
        .layer(inside.layer(inner.clone()));
    let again = service.call(request(Method::GET, &id)).await.unwrap();
    assert_eq!(again.headers()["sse-resume"], "fresh");
    let mut client = support::Client::new(again);
    client.read_events(1).await;
    assert_eq!(client.data(), ["2"]);
    assert_eq!(inner.calls(), 1);
}

// Gap signals

async fn gap_of(layer: SseResumeLayer) -> String {
    let mut app = App::with(layer.retention(Retention::new().events(1)));
    let (mut client, stream) = open(&mut app).await;
    for _ in 0..3 {
        app.body().send("data: x\n\n");
        client.read();
    }
    let mut late = app.get(&format!("{stream}.1.0")).await;
    late.read_events(2).await;
    String::from_utf8_lossy(&late.received).replace(&stream, "ID")
}

#[tokio::test]
async fn the_event_of_a_gap_can_be_named() {
    let layer = SseResumeLayer::new().gap_event("hole").unwrap();
    let expected = "event: hole\n\
        data: {\"requested\":0,\"resumed\":2,\"missed\":2,\"reason\":\"evicted\"}\n\
        id: ID.1.2\n\n\
        data: x\nid: ID.1.3\n\n";
    assert_eq!(gap_of(layer).await, expected);
    for name in ["", "a\nb", "a\rb", "\0"] {
        assert!(SseResumeLayer::new().gap_event(name).is_err());
    }
}

#[tokio::test]
async fn a_gap_can_be_written_by_a_closure_which_cannot_break_the_stream() {
    let layer = SseResumeLayer::new().gap_signal(|gap: &Gap| {
        assert_eq!(gap.reason, GapReason::Evicted);
        format!("event: reset\n\nid: 1\ndata: {}\r\n\r\n", gap.resumed)
    });
    let expected = "event: reset\ndata: 2\nid: ID.1.2\n\ndata: x\nid: ID.1.3\n\n";
    assert_eq!(gap_of(layer).await, expected);
}
