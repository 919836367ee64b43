//! Frames are passed whole, but for comments and those over the limit.

use crate::{broken, end, layer, open, until_call};
use support::client::End;

#[tokio::test(start_paused = true)]
async fn whole_frames_pass_in_the_pieces_that_they_came_in() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("data: 1\n\n: c\n\ndata: 2\n\ndata");
    assert_eq!(client.read(), "data: 1\n\n: c\n\ndata: 2\n\n");
    inner.body(0).send(": 3\n");
    assert_eq!(client.read(), "");
    inner.body(0).send("\n");
    assert_eq!(client.read(), "data: 3\n\n");
}

#[tokio::test(start_paused = true)]
async fn comments_pass_before_their_blank_line() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send(": alive\n");
    assert_eq!(client.read(), ": alive\n");
    inner.body(0).send(": al");
    assert_eq!(client.read(), "");
    inner.body(0).send("ive\nid: a\ndata: 1\n\n");
    assert_eq!(client.read(), ": alive\nid: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_passes_as_it_comes() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("data: 12345");
    assert_eq!(client.read(), "");
    inner.body(0).send("6789012345");
    assert_eq!(client.read(), "data: 123456789012345");
    inner.body(0).send("6\nid: z");
    assert_eq!(client.read(), "6\nid: z");
    inner.body(0).send("z\n\ndata");
    assert_eq!(client.read(), "z\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    assert_eq!(inner.call(1).last_event_id().as_deref(), Some("zz"));
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_frame_over_the_limit_is_passed_on() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("id: a\ndata: 1\n\ndata: 12345678901234567890");
    inner.body(0).fail();
    assert_eq!(end(&mut client).await, broken());
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_the_limit_that_may_be_a_resent_one_is_an_error() {
    let (mut client, inner) = open(layer().frame_limit(16)).await;
    inner.body(0).send("id: a\ndata: 1\n\nid: b\ndata: 12345678");
    inner.body(0).send("90\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    client.received.clear();
    inner.body(1).send("id: a\ndata: 1\n\nid: b\ndata: 12345678");
    client.read();
    let error = "after a reconnect, a frame over the limit came before any new event";
    assert_eq!(client.end, End::Broken(error.to_owned()));
    assert_eq!(client.received, "");
}
