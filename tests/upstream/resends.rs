//! The inner service resends: what of it is new to the client.

use crate::{Read, THREE, layer, open, until_call};
use support::client::End;
use support::scripted::Scripted;

/// What a client gets of a second response, after `first` broke off.
async fn after(first: &'static str, second: &'static str) -> (Read, Scripted) {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send(first);
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    client.received.clear();
    inner.body(1).send(second);
    client.read();
    (client, inner)
}

#[tokio::test(start_paused = true)]
async fn what_is_resent_is_left_out() {
    for resent in [
        "id: c\ndata: 3\n\nid: d\ndata: 4\n\n",
        "id: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n",
        "id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\nid: d\ndata: 4\n\n",
    ] {
        let (client, _) = after(THREE, resent).await;
        assert_eq!(client.received, "id: d\ndata: 4\n\n", "{resent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_within_a_resend_goes_on_from_what_the_client_has() {
    let (mut client, inner) = after(THREE, "id: a\ndata: 1\n\nid: b\ndata: 2\n\n").await;
    inner.body(1).fail();
    until_call(&mut client, &inner, 2).await;
    assert_eq!(inner.call(2).last_event_id().as_deref(), Some("c"));
    inner.body(2).send("id: c\ndata: 3\n\nid: d\ndata: 4\n\n");
    assert_eq!(client.read(), "id: d\ndata: 4\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_restarted_is_an_error_before_any_of_its_events() {
    let (client, inner) = after(THREE, "id: a\ndata: other\n\nid: b\ndata: another\n\n").await;
    let error = "after a reconnect, a known event ID came with another event";
    assert_eq!(client.end, End::Broken(error.to_owned()));
    assert_eq!(client.received, "");
    assert!(inner.body(1).is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_resend_beyond_the_window_is_not_recognised() {
    let (mut client, inner) = open(layer().window(2)).await;
    inner.body(0).send(THREE);
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send(THREE);
    assert_eq!(client.read(), THREE);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_id_keeps_the_id_that_it_had_upstream() {
    let (client, _) =
        after("id: a\r\ndata: 1\r\n\r\nid: b\r\n\r\n", "id: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n")
            .await;
    assert_eq!(client.received, "id: a\r\ndata: 2\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn within_a_resend_comments_pass_and_ids_do_not() {
    let resend = ": hi\nretry: 5\nid: a\n\nid: a\n\nid: a\ndata: 1\n\n: there\n\n";
    let (client, _) = after(THREE, resend).await;
    assert_eq!(client.received, ": hi\nretry: 5\n\n: there\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_is_kept_only_at_the_start() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("\u{feff}id: a\ndata: 1\n\n");
    assert_eq!(client.read(), "\u{feff}id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("\u{feff}id: b\ndata: 2\n\n");
    assert_eq!(client.read(), "id: b\ndata: 2\n\n");
}
