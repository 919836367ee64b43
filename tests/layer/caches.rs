//! What a response says to caches: nobody gets a copy of what was sent to another client.

use http::Response;
use support::app::{App, TestClient};
use tower_sse_resume::SseResumeLayer;

fn head(headers: &[(&str, &str)]) -> Response<()> {
    let head = Response::builder().header("content-type", "text/event-stream");
    let head = headers.iter().fold(head, |head, (name, value)| head.header(*name, *value));
    head.body(()).unwrap()
}

fn lines(client: &TestClient, name: &str) -> Vec<String> {
    let lines = client.headers.get_all(name).iter();
    lines.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// What the first response of a stream says for what the service said, and what a resumed one says.
async fn said(headers: &[(&str, &str)], name: &str) -> (Vec<String>, Vec<String>) {
    let mut app = App::new();
    app.inner.answer_next(head(headers));
    let mut first = app.get("").await;
    app.body().send("data: 1\n\n");
    first.read();
    let again = app.get(&first.last_event_id()).await;
    assert_eq!(again.header("sse-resume"), Some("replay"));
    (lines(&first, name), lines(&again, name))
}

async fn first_says(sent: &[&str]) -> Vec<String> {
    let headers: Vec<_> = sent.iter().map(|value| ("cache-control", *value)).collect();
    said(&headers, "cache-control").await.0
}

#[tokio::test]
async fn what_lets_a_cache_answer_others_becomes_no_store() {
    for sent in [
        "public, max-age=60",
        "public",
        "max-age=60",
        "max-age=0",
        "s-maxage=60",
        "immutable",
        "stale-while-revalidate=5",
        "stale-if-error=5, stale-anything",
        "PUBLIC,Max-Age=60",
        " public ,, max-age = 60 ,",
        "max-age=\"60\"",
        "public=\"a, no-cache, b\"",
        "no-store, public",
        "",
        ",",
    ] {
        assert_eq!(first_says(&[sent]).await, ["no-store"], "{sent}");
    }
    assert_eq!(first_says(&[]).await, ["no-store"]);
}

#[tokio::test]
async fn what_restricts_caches_stays_as_it_was_sent() {
    for sent in [
        "no-cache",
        "private",
        "no-store",
        "No-Cache, No-Transform",
        "private,no-transform",
        "no-cache, no-store, must-revalidate",
        "no-cache,  private",
        "private, x=\"public, max-age=5\"",
    ] {
        assert_eq!(first_says(&[sent]).await, [sent], "{sent}");
    }
    assert_eq!(first_says(&["no-cache", "No-Transform"]).await, ["no-cache", "No-Transform"]);
}

#[tokio::test]
async fn what_restricts_caches_stays_beside_the_no_store_that_takes_the_place_of_the_rest() {
    for (sent, expected) in [
        ("private, max-age=60", "private, no-store"),
        ("max-age=60,No-Cache , immutable", "No-Cache, no-store"),
        ("public, no-transform, max-age=60", "no-transform, no-store"),
        ("private=\"set-cookie, x\", max-age=60", "private=\"set-cookie, x\", no-store"),
        ("no-store, max-age=60", "no-store"),
        // A cache that understands the status may store in spite of `no-store` (RFC 9111, section 5.2.2.3).
        ("must-understand, no-store", "no-store"),
    ] {
        assert_eq!(first_says(&[sent]).await, [expected], "{sent}");
    }
    assert_eq!(first_says(&["no-cache", "max-age=60"]).await, ["no-cache, no-store"]);
    assert_eq!(first_says(&["public", "private", "max-age=1"]).await, ["private, no-store"]);
}

#[tokio::test]
async fn what_neither_allows_nor_forbids_storing_is_no_permission() {
    // Caches choose a lifetime of their own where they are told none.
    for sent in ["no-transform", "must-revalidate", "x-own=1", "no-cache=\"set-cookie\""] {
        assert_eq!(first_says(&[sent]).await, [format!("{sent}, no-store")], "{sent}");
    }
}

#[tokio::test]
async fn a_string_that_does_not_end_hides_nothing() {
    assert_eq!(first_says(&["max-age=60, x=\"y"]).await, ["no-store"]);
    assert_eq!(first_says(&["private, x=\"\\\", max-age=60"]).await, ["private, no-store"]);
    assert_eq!(
        first_says(&["x=\"a\\\"b, public\", private"]).await,
        ["x=\"a\\\"b, public\", private"]
    );
}

#[tokio::test]
async fn a_resumed_response_is_never_stored() {
    for (sent, expected) in [
        (Some("public, max-age=60"), "no-store"),
        (Some("no-cache"), "no-cache, no-store"),
        (Some("no-cache, private"), "no-cache, private, no-store"),
        (Some("private, no-transform, max-age=1"), "private, no-transform, no-store"),
        (Some("no-cache, No-Store"), "no-cache, No-Store"),
        (None, "no-store"),
    ] {
        let headers: Vec<_> = sent.into_iter().map(|value| ("cache-control", value)).collect();
        assert_eq!(said(&headers, "cache-control").await.1, [expected], "{sent:?}");
    }
}

#[tokio::test]
async fn a_joiner_of_a_shared_stream_and_a_takeover_are_never_stored() {
    let layer = SseResumeLayer::new().share(|parts| Some(parts.uri.path().to_owned()));
    let mut app = App::with(layer);
    app.inner.answer_next(head(&[("cache-control", "no-cache")]));
    let mut leader = app.get("").await;
    assert_eq!(lines(&leader, "cache-control"), ["no-cache"]);
    let joiner = app.get("").await;
    assert_eq!(lines(&joiner, "cache-control"), ["no-cache, no-store"]);
    app.body().send("id: a\ndata: 1\n\n");
    leader.read_events(1).await;
    app.body().fail();
    leader.read_to_end().await;
    app.inner.answer_next(head(&[("cache-control", "public, max-age=60")]));
    let taken_over = app.get(&leader.last_event_id()).await;
    assert_eq!(taken_over.header("sse-resume"), Some("takeover"));
    assert_eq!(lines(&taken_over, "cache-control"), ["no-cache, no-store"]);
}

#[tokio::test]
async fn headers_that_caches_put_before_cache_control_are_left_out() {
    for (name, value) in [
        ("age", "30"),
        ("surrogate-control", "max-age=60"),
        ("cdn-cache-control", "max-age=60"),
        ("cloudflare-cdn-cache-control", "public"),
        ("x-accel-expires", "60"),
        ("x-litespeed-cache-control", "public, max-age=60"),
        ("edge-control", "cache-maxage=60"),
        // Its bytes are others now: what was validated by it would be another client's.
        ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        let headers = [(name, value), ("cache-control", "no-cache")];
        let (first, again) = said(&headers, name).await;
        assert!(first.is_empty() && again.is_empty(), "{name}: {first:?} {again:?}");
    }
}

#[tokio::test]
async fn what_expires_has_expired() {
    for sent in ["Thu, 01 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "-1"] {
        let (first, again) = said(&[("expires", sent)], "expires").await;
        assert_eq!((first, again), (vec!["0".to_owned()], vec![]), "{sent}");
    }
    assert!(said(&[], "expires").await.0.is_empty());
}

#[tokio::test]
async fn what_says_nothing_of_storing_stays() {
    let headers = [("pragma", "no-cache"), ("x-accel-buffering", "no"), ("vary", "accept")];
    for (name, value) in headers {
        assert_eq!(said(&headers, name).await.0, [value]);
    }
    assert_eq!(said(&headers, "x-accel-buffering").await.1, ["no"]);
}

#[tokio::test]
async fn an_answer_that_is_no_event_stream_is_stored_as_without_the_layer() {
    let mut app = App::new();
    let headers = [("cache-control", "public, max-age=60"), ("age", "3"), ("expires", "1")];
    let mut answer = head(&headers);
    answer.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    app.inner.answer_next(answer);
    let client = app.get("").await;
    for (name, value) in headers {
        assert_eq!(lines(&client, name), [value]);
    }
}

#[tokio::test]
async fn a_gap_told_in_a_response_that_cannot_be_resumed_is_not_stored() {
    let full = tower_sse_resume::Limits::new().streams(0);
    let mut app = App::with(SseResumeLayer::new().limits(full));
    app.inner.answer_next(head(&[("cache-control", "public, max-age=60"), ("etag", "\"1\"")]));
    let told = app.get("r1.nonsense").await;
    assert_eq!(told.header("sse-resume"), Some("off"));
    assert_eq!(
        (lines(&told, "cache-control"), told.header("etag")),
        (vec!["no-store".into()], None)
    );
    app.inner.answer_next(head(&[("cache-control", "public, max-age=60")]));
    let bare = app.get("").await;
    assert_eq!(lines(&bare, "cache-control"), ["public, max-age=60"], "it is as without the layer");
}
