//! What holds of every byte that the raw client reads behind the layer.

use serde_json::Value;

use super::cell::Outcome;
use super::frame::Frame;

/// One response of a stream: its head and its frames.
struct Response<'a> {
    head: &'a Value,
    frames: Vec<Frame>,
}

/// Compares what came, in however many responses, with the one response of the same call without layer and cuts.
pub(crate) fn check(cut: &Outcome, whole: &Outcome) {
    let (responses, whole) = (responses(cut), responses(whole));
    let what = cut.cut();
    assert_eq!(inner(&responses), inner(&whole), "{what:?}: the inner service's bytes");
    check_ids(&events(&responses));
    for response in &responses[1..] {
        check_kept_headers(response.head, responses[0].head);
    }
    check_primings(&responses);
    let last = responses.last().expect("a return behind the end");
    let expected = if what.listens() { 200 } else { 204 };
    assert_eq!(last.head["status"], expected, "{what:?}: all was delivered");
}

/// Own IDs: a marker, a token, the generation and the offset, which counts; and nothing of the inner ID.
fn check_ids(events: &[&Frame]) {
    let mut before = None;
    for (offset, event) in (1_u64..).zip(events) {
        let id = event.id().expect("an ID");
        let parts: Vec<_> = id.split('.').collect();
        let [marker, token, generation, last] = parts[..] else { panic!("{id}") };
        assert_eq!(last, offset.to_string(), "{id}");
        let stream = (marker.to_owned(), token.to_owned());
        let generation: u32 = generation.parse().expect("a number");
        let (stream_before, generation_before) = before.get_or_insert((stream.clone(), 1));
        assert_eq!(*stream_before, stream);
        assert!(*generation_before <= generation, "{id}");
        *generation_before = generation;
        let line = event.text.trim_end().lines().last().expect("lines");
        assert_eq!(line, format!("id: {id}"), "it is the last line: {}", event.text);
    }
}

/// Each response begins with the position from which it goes on.
fn check_primings(responses: &[Response<'_>]) {
    for response in responses {
        let Some(priming) = response.frames.first() else { continue };
        assert_eq!(priming.field("data").as_deref(), Some(""), "{}", priming.text);
        if let Some(position) = response.head["last-event-id"].as_str() {
            assert_eq!(priming.id().as_deref(), Some(position), "{}", priming.text);
        }
        let more = response.frames[1..].iter().find(|frame| frame.message().is_none());
        assert!(more.is_none(), "primed twice: {}", more.expect("one").text);
    }
}

fn check_kept_headers(head: &Value, first: &Value) {
    if head["status"] == 200 {
        for name in ["content-type", "x-accel-buffering", "mcp-session-id"] {
            assert_eq!(head.get(name), first.get(name), "{name}");
        }
        let caching = |head: &Value| head["cache-control"].as_str().unwrap_or_default().to_owned();
        let (of_first, own) = (caching(first), caching(head));
        // What begins anew is not resumed.
        let is_resumed = head["last-event-id"].is_string();
        assert!(
            own.starts_with(&of_first) && (own.contains("no-store") || !is_resumed),
            "{own:?} after {of_first:?}"
        );
    }
}

fn responses(outcome: &Outcome) -> Vec<Response<'_>> {
    let mut responses = Vec::new();
    for line in &outcome.got {
        if let Some(head) = line.get("head") {
            responses.push(Response { head, frames: Vec::new() });
        } else if let Some(text) = line.get("frame").and_then(Value::as_str) {
            let response = responses.last_mut().expect("a head before it");
            response.frames.push(Frame { text: text.to_owned() });
        }
    }
    responses
}

fn events<'a>(responses: &'a [Response<'_>]) -> Vec<&'a Frame> {
    let frames = responses.iter().flat_map(|response| &response.frames);
    frames.filter(|frame| frame.message().is_some()).collect()
}

/// The events without what is the layer's: the `id`, and on which event `retry` travels.
fn inner(responses: &[Response<'_>]) -> String {
    events(responses).into_iter().map(Frame::without_id_and_retry).collect()
}
