//! Responses that end before their call is answered: by the layer, and by the server. (Requirements 16 and 21.)

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::app::{Ask, LAST_EVENT_ID, Mcp, PRIMED, UNPRIMED, event, note, primings, result, text};
use crate::{SECOND, all, cut_call, read_messages, read_to_end};
use support::client::{End, settle};
use support::scripted::event_stream;

// 16

#[tokio::test(start_paused = true)]
async fn a_handler_can_close_its_connection_and_its_client_polls_back() {
    for version in [PRIMED, UNPRIMED[0]] {
        for ask in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            let mut client = app.send(&ask.version(version)).await;
            app.say(0, &note(1));
            read_messages(&mut client, 1).await;
            app.handle_of(0).close_connection(5 * SECOND);
            client.settle().await;
            assert_eq!(client.end, End::Clean);
            assert!(text(&client).contains("\nretry: 5000\n"), "{}", text(&client));
            app.say(0, &note(2));
            let mut client =
                app.send(&Ask::get().version(version).after(client.last_event_id())).await;
            app.say(0, &result(1));
            assert_eq!(all(&mut client).await, [note(2), result(1)]);
            assert_eq!(app.calls(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_close_its_connection_before_the_first_event() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    app.handle_of(0).close_connection(SECOND);
    client.settle().await;
    assert_eq!((primings(&client), client.end.clone()), (1, End::Clean));
    app.say(0, &result(1));
    let mut client = app.resume(&client.last_event_id()).await;
    assert_eq!(all(&mut client).await, [result(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_gets_too_old_ends_cleanly_while_its_call_is_open() {
    let mut app = Mcp::with(|layer| layer.max_connection_age(60 * SECOND).jitter(0.0));
    let mut client = app.call(1).await;
    let start = tokio::time::Instant::now();
    for round in 1..4 {
        read_to_end(&mut client).await;
        assert_eq!((client.end.clone(), start.elapsed()), (End::Clean, round * 60 * SECOND));
        client = app.resume(&client.last_event_id()).await;
    }
    app.say(0, &result(1));
    assert_eq!(all(&mut client).await, [result(1)]);
    assert_eq!(app.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_all_responses_cleanly() {
    let mut app = Mcp::new();
    let mut clients = Vec::new();
    for ask in [Ask::call(1), Ask::get(), Ask::get().version(UNPRIMED[0]).session("two")] {
        let mut client = app.send(&ask).await;
        app.say(app.calls() - 1, &note(1));
        read_messages(&mut client, 1).await;
        clients.push(client);
    }
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(10 * SECOND).await });
    for mut client in clients {
        read_to_end(&mut client).await;
        assert_eq!(client.end, End::Clean, "{}", text(&client));
    }
    drain.await.unwrap();
}

// 21

/// How servers name the position to come back to before they close: in a priming frame, or with an event.
const POSITIONS: [&str; 2] = [
    "id: server-1\nretry: 500\ndata: \n\n",
    "data: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\nid: server-1\n\n",
];

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_a_response_before_its_call_is_answered_has_not_finished() {
    for version in [PRIMED, UNPRIMED[0]] {
        for position in POSITIONS {
            let mut app = Mcp::new();
            let mut client = app.send(&Ask::call(1).version(version)).await;
            app.say(0, &note(1));
            app.body(0).send(position);
            app.body(0).end();
            let before = all(&mut client).await.len();
            assert_eq!((client.end.clone(), app.calls()), (End::Clean, 1));

            let mut client =
                app.send(&Ask::get().version(version).after(client.last_event_id())).await;
            client.settle().await;
            assert_eq!(app.calls(), 2, "the return is handed to the server");
            let call = app.server.scripted.call(1);
            assert_eq!(call.method, http::Method::GET);
            assert_eq!(call.last_event_id().as_deref(), Some("server-1"));
            assert_eq!(call.headers["mcp-session-id"], "session-one");
            // `rmcp` sends the last event again.
            if before == 2 {
                app.body(1).send(position);
            }
            app.body(1).send(format!("data: {}\nid: server-2\n\n", note(2)));
            app.body(1).send(format!("data: {}\nid: server-3\n\n", result(1)));
            app.body(1).end();
            assert_eq!(all(&mut client).await, [note(2), result(1)], "{}", text(&client));
            assert!(!text(&client).contains("server-"));

            let id = client.last_event_id();
            let token = |id: &str| id.split('.').nth(1).map(str::to_owned);
            let client = app.send(&Ask::get().version(version).after(&id)).await;
            assert_eq!((client.status, app.calls()), (StatusCode::NO_CONTENT, 2));
            assert!(token(&id).is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn such_a_call_is_one_stream_for_who_is_cut_before_and_after() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    app.body(0).send(format!("data: {}\nid: server-1\n\n", note(2)));
    app.body(0).end();
    settle().await;
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [note(2)]);
    if client.end == End::Clean {
        client = app.resume(&client.last_event_id()).await;
        client.settle().await;
    }
    assert_eq!(app.server.scripted.call(1).headers[LAST_EVENT_ID], "server-1");
    app.body(1).send(format!("data: {}\nid: server-2\n\n", note(3)));
    client.settle().await;
    drop(client);
    app.body(1).send(format!("data: {}\nid: server-3\n\n", result(1)));
    app.body(1).end();
    settle().await;
    let mut client = app.resume(&id).await;
    let got = all(&mut client).await;
    assert_eq!(got, [note(2), note(3), result(1)], "from the first position on, nothing twice");
    assert_eq!(app.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_many_times_is_asked_as_many_times() {
    for notified in [false, true] {
        let mut app = Mcp::new();
        let mut client = app.call(1).await;
        if notified {
            app.body(0).send(format!("id: server\n{}", event(&note(1))));
        }
        for round in 0..5_usize {
            app.body(round).send(format!("id: server-{round}\ndata: \n\n"));
            app.body(round).end();
            client.settle().await;
            assert_eq!(client.end, End::Clean, "{round}");
            tokio::time::sleep(Duration::from_millis(500)).await;
            client = app.resume(&client.last_event_id()).await;
            client.settle().await;
            let call = app.server.scripted.call(round + 1);
            assert_eq!(call.last_event_id(), Some(format!("server-{round}")));
        }
        app.say(5, &result(1));
        assert_eq!(all(&mut client).await, [result(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_server_is_an_answer_and_a_request_of_the_server_is_none() {
    let error = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32602, "message": "no" } });
    // It counts its own requests, and may come to the same number.
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" });
    let named = json!({ "jsonrpc": "2.0", "method": "a", "params": { "id": 1, "result": {} } });
    for (message, is_answer) in [(&error, true), (&request, false), (&named, false)] {
        let mut app = Mcp::new();
        let mut client = app.call(1).await;
        app.body(0).send(format!("data: {message}\nid: server-1\n\n"));
        app.body(0).end();
        assert_eq!(all(&mut client).await, std::slice::from_ref(message));
        let mut client = app.resume(&client.last_event_id()).await;
        client.settle().await;
        assert_eq!(client.status == StatusCode::NO_CONTENT, is_answer, "{message}");
        assert_eq!(app.calls() == 1, is_answer, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_returns_at_once_are_handed_to_the_server_once() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    app.body(0).send("id: server-1\ndata: \n\n");
    app.body(0).end();
    client.settle().await;
    let id = client.last_event_id();
    let gate = app.server.scripted.hold_next(event_stream());
    let mut second = app.clone();
    let back = Ask::get().after(&id);
    let first = tokio::spawn({
        let (mut app, back) = (app.clone(), back.clone());
        async move { app.send(&back).await }
    });
    settle().await;
    let newest = tokio::spawn(async move { second.send(&back).await });
    settle().await;
    gate.open();
    let (mut first, mut newest) = (first.await.unwrap(), newest.await.unwrap());
    app.say(1, &result(1));
    assert_eq!(all(&mut newest).await, [result(1)]);
    first.settle().await;
    assert_eq!((first.end.clone(), app.calls()), (End::Clean, 2));
}
