//! What is touched at all, and what of it comes again. (Requirements 17, 19 and 22.)

use http::{Method, Response, StatusCode};

use crate::app::{Ask, Mcp, SESSION, note, result, text};
use crate::{all, cut_call};
use support::client::settle;
use support::scripted::event_stream;

fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        head.headers_mut().insert(*name, value.parse().unwrap());
    }
    head
}

// 17

#[tokio::test(start_paused = true)]
async fn only_200_and_an_event_stream_without_an_encoding_is_touched() {
    let sse = ("content-type", "text/event-stream");
    let heads = [
        head(200, &[("content-type", "application/json"), ("content-length", "15")]),
        head(202, &[]),
        head(202, &[sse]),
        head(400, &[sse]),
        head(404, &[("content-type", "application/json")]),
        head(500, &[sse]),
        head(200, &[sse, ("content-encoding", "gzip")]),
    ];
    for untouched in heads {
        for ask in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            app.server.scripted.answer_next(untouched.clone());
            let mut client = app.send(&ask).await;
            app.body(0).send("data: 1\n\nid: i\n");
            client.settle().await;
            assert_eq!(text(&client), "data: 1\n\nid: i\n");
            assert_eq!((client.status, &client.headers), (untouched.status(), untouched.headers()));
            drop(client);
            settle().await;
            assert!(app.body(0).is_dropped(), "who goes cancels, as without the layer");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_with_parameters_in_its_type_is_touched() {
    let mut app = Mcp::new();
    app.server
        .scripted
        .answer_next(head(200, &[("content-type", "text/event-stream; charset=utf-8")]));
    let mut client = app.call(1).await;
    client.settle().await;
    assert_ne!(client.last_event_id(), "");
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_the_session_and_the_caching_of_the_original_and_is_not_stored() {
    let kept = [
        (SESSION, "session-one"),
        ("cache-control", "no-cache, private"),
        ("x-accel-buffering", "no"),
    ];
    let mut original = head(200, &kept);
    original.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    original.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
    let mut app = Mcp::new();
    app.server.scripted.answer_next(original);
    let id = cut_call(&mut app, &Ask::call(1)).await;
    let client = app.resume(&id).await;
    for (name, value) in kept {
        let value = if name == "cache-control" { "no-cache, private, no-store" } else { value };
        assert_eq!(client.header(name), Some(value), "{name}");
    }
    assert_eq!(client.header("content-type"), Some("text/event-stream"));
    assert_eq!(client.header("set-cookie"), None);
}

// 19

#[tokio::test(start_paused = true)]
async fn an_event_id_of_unknown_format_goes_to_the_server_untouched() {
    for id in ["0/7", "42", "a_1699999999_x", "zz.AAAA.1.1", "é"] {
        let mut app = Mcp::new();
        cut_call(&mut app, &Ask::call(1)).await;
        let mut client = app.resume(id).await;
        client.settle().await;
        assert_eq!(app.calls(), 2);
        let sent = &app.server.scripted.call(1).headers["last-event-id"];
        assert_eq!(sent.as_bytes(), id.as_bytes());
        // What the server answers is a stream like any other.
        app.say(1, &note(2));
        assert_eq!(all(&mut client).await, [note(2)]);
        let own = client.last_event_id();
        drop(client);
        app.say(1, &note(3));
        let mut client = app.resume(&own).await;
        assert_eq!(all(&mut client).await, [note(3)]);
    }
}

// 22

#[tokio::test(start_paused = true)]
async fn post_and_get_are_wrapped_and_nothing_else() {
    for (method, wrapped) in
        [(Method::POST, true), (Method::GET, true), (Method::PUT, false), (Method::DELETE, false)]
    {
        let mut app = Mcp::new();
        app.server.scripted.answer_next(event_stream());
        let mut client = app.send(&Ask::call(1).by(method.clone())).await;
        app.say(0, &result(1));
        client.settle().await;
        assert_eq!(!client.last_event_id().is_empty(), wrapped, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_bound_to_host_and_path_and_not_to_the_method() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    for stranger in [Ask::get().at("/other"), Ask::get().with("host", "other.example")] {
        assert_eq!(app.send(&stranger.after(&id)).await.status, StatusCode::BAD_REQUEST);
    }
    app.say(0, &note(2));
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [note(2)]);
}
