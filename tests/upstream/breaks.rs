//! The inner body breaks: where the client goes on from.

use std::time::Duration;

use http::HeaderValue;
use tokio::time::advance;
use tower::Service;

use crate::{broken, end, get, layer, open, until_call, wrap};
use support::client::{Client, End};

#[tokio::test(start_paused = true)]
async fn a_break_between_frames_goes_on_from_the_last_event_id() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
    inner.body(1).send("id: b\ndata: 2\n\n");
    inner.body(1).end();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(client.received, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_a_break_leaves_unfinished_is_dropped() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\nid: b\nda");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
    inner.body(1).send("id: b\ndata: 2\n\n");
    assert_eq!(client.read(), "id: b\ndata: 2\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_crlf_leaves_a_whole_blank_line() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\r\ndata: 1\r\n\r");
    assert_eq!(client.read(), "id: a\r\ndata: 1\r\n\r\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: b\r\ndata: 2\r\n\r");
    inner.body(1).send("\nid: c\r\ndata: 3\r\n\r\n");
    assert_eq!(client.read(), "id: b\r\ndata: 2\r\n\r\nid: c\r\ndata: 3\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_made_again_as_it_was() {
    let (mut app, inner) = wrap(&layer());
    let mut request = get();
    request.extensions_mut().insert(7_u8);
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    let (first, second) = (inner.call(0), inner.call(1));
    assert_eq!((&second.method, &second.uri), (&first.method, &first.uri));
    assert_eq!(second.headers["x-user"], "u");
    assert_eq!(second.extensions.get::<u8>(), Some(&7));
    assert_eq!((first.last_event_id(), second.last_event_id()), (None, Some("a".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_id_that_the_client_came_with_counts_until_there_is_another() {
    let (mut app, inner) = wrap(&layer());
    let mut request = get();
    request.headers_mut().insert("last-event-id", HeaderValue::from_static("7"));
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("data: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("7"));
    inner.body(1).send("data: 1\n\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_event_id_a_break_is_passed_on() {
    for first in ["data: 1\n\n", "id: a\ndata: 0\n\nid\ndata: 1\n\n"] {
        let (mut client, inner) = open(layer()).await;
        inner.body(0).send(first);
        inner.body(0).fail();
        assert_eq!(end(&mut client).await, broken());
        assert_eq!((client.received.as_ref(), inner.calls()), (first.as_bytes(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_broken_body_is_dropped_before_the_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read();
    assert!(inner.body(0).is_dropped());
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_upstream_is_away_ends_all() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read();
    drop(client);
    advance(Duration::from_secs(60)).await;
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_the_inner_body() {
    let (client, inner) = open(layer()).await;
    drop(client);
    assert!(inner.body(0).is_dropped());
}
