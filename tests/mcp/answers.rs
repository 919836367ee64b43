//! What a client gets that comes back for a call. (Requirements 9, 10 and 11.)

use http::StatusCode;
use serde_json::{Value, json};
use tower_sse_resume::{Limits, Linger, Retention};

use crate::app::{
    Ask, Mcp, McpClient, PRIMED, UNPRIMED, blocks, event, messages, note, result, text,
};
use crate::{SECOND, all, cut_call, read_messages};
use support::client::{End, settle};

/// The position of a client that has all of a call, which is answered.
async fn answered(app: &mut Mcp, ask: &Ask) -> String {
    let mut client = app.send(ask).await;
    let call = app.calls() - 1;
    app.say(call, &note(1));
    app.say(call, &result(1));
    app.body(call).end();
    read_messages(&mut client, 2).await;
    client.last_event_id()
}

/// A `200` that ends without anything new.
fn is_empty_end(client: &McpClient) -> bool {
    client.status == StatusCode::OK && messages(client).is_empty() && client.end != End::Open
}

/// The only message is an error for the call with this JSON-RPC id.
fn assert_is_error_for(messages: &[Value], id: &Value) {
    let [error] = messages else { panic!("not one error: {messages:?}") };
    assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), id));
    assert!(error["error"]["code"].is_i64(), "{error}");
    assert!(error["error"]["message"].is_string(), "{error}");
    assert_eq!(error.as_object().unwrap().len(), 3, "{error}");
}

// 9

#[tokio::test(start_paused = true)]
async fn who_comes_back_over_and_over_never_gets_200_nothing_new_and_an_end() {
    for version in [PRIMED, UNPRIMED[0]] {
        let mut app = Mcp::new();
        let mut id = answered(&mut app, &Ask::call(1).version(version)).await;
        for _ in 0..20 {
            let mut client = app.send(&Ask::get().version(version).after(&id)).await;
            client.settle().await;
            assert!(!is_empty_end(&client), "{}", text(&client));
            id = Some(client.last_event_id()).filter(|id| !id.is_empty()).unwrap_or(id);
        }
        assert_eq!(app.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_has_nothing_more_though_the_server_has_not_closed() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    app.say(0, &result(1));
    read_messages(&mut client, 1).await;
    let id = client.last_event_id();
    drop(client);
    let mut client = app.resume(&id).await;
    client.settle().await;
    app.body(0).end();
    client.settle().await;
    assert!(!is_empty_end(&client), "{:?} {}", client.headers, text(&client));
}

#[tokio::test(start_paused = true)]
async fn a_standalone_stream_that_ends_never_gives_200_nothing_new_and_an_end() {
    for version in [PRIMED, UNPRIMED[0]] {
        let mut app = Mcp::new();
        let id = cut_call(&mut app, &Ask::get().version(version)).await;
        app.body(0).end();
        settle().await;
        for _ in 0..5 {
            let mut client = app.send(&Ask::get().version(version).after(&id)).await;
            client.settle().await;
            assert!(!is_empty_end(&client), "{:?} {}", client.headers, text(&client));
        }
    }
}

// 10

#[tokio::test(start_paused = true)]
async fn all_delivered_is_204() {
    for version in [PRIMED, UNPRIMED[0]] {
        let mut app = Mcp::new();
        let id = answered(&mut app, &Ask::call(1).version(version)).await;
        for _ in 0..3 {
            let mut client = app.send(&Ask::get().version(version).after(&id)).await;
            client.settle().await;
            assert_eq!(client.status, StatusCode::NO_CONTENT);
            assert_eq!((client.received.len(), client.end.clone()), (0, End::Clean));
        }
        assert_eq!(app.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_or_foreign_id_is_one_identical_400_with_a_json_rpc_error() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    let (start, end) = id.split_at(8);
    let forged = format!("{start}{}{}", if end.starts_with('A') { 'B' } else { 'A' }, &end[1..]);
    let asks = [
        Ask::get().after(&forged),
        Ask::get().after(&id[..id.len() - 2]),
        Ask::get().after(format!("{id}0000")),
        Ask::get().after(&id).session("session-two"),
        Ask::get().after(&id).without("mcp-session-id"),
        Ask::get().after(&id).with("authorization", "Bearer another"),
        Ask::get().after(&id).with("origin", "https://other.example"),
        Ask::get().after(&id).with("host", "other.example"),
        Ask::get().after(&id).at("/other"),
    ];
    let mut first: Option<(http::HeaderMap, String)> = None;
    for (at, ask) in asks.iter().enumerate() {
        let mut client = app.send(ask).await;
        client.settle().await;
        assert_eq!(client.status, StatusCode::BAD_REQUEST, "{at}");
        assert_eq!(client.end, End::Clean);
        assert_eq!(client.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&client.received).unwrap();
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &Value::Null));
        assert!(body["error"]["code"].is_i64() && body["error"]["message"].is_string(), "{body}");
        let answer = (client.headers.clone(), text(&client));
        assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer, "{at}");
    }
    assert_eq!(app.calls(), 1, "none of them reaches the server");
}

#[tokio::test(start_paused = true)]
async fn where_events_of_an_open_call_are_gone_it_gets_an_error_then_204_and_its_answer_is_dropped()
{
    for version in [PRIMED, UNPRIMED[0]] {
        for jsonrpc in [json!(7), json!("seven \"7\" \u{e9}\n"), json!(-1), json!("")] {
            let mut app = Mcp::with(|layer| layer.retention(Retention::new().events(3)));
            let id = cut_call(&mut app, &Ask::call(jsonrpc.clone()).version(version)).await;
            for n in 0..20 {
                app.say(0, &note(n));
            }
            settle().await;
            let back = |id: &str| Ask::get().version(version).after(id);
            let mut client = app.send(&back(&id)).await;
            let got = all(&mut client).await;
            assert_is_error_for(&got, &jsonrpc);
            assert_eq!((client.status, client.end.clone()), (StatusCode::OK, End::Clean));
            let told = client.last_event_id();
            assert_eq!(app.send(&back(&told)).await.status, StatusCode::NO_CONTENT);
            if !app.body(0).is_dropped() {
                app.say(0, &result(jsonrpc.clone()));
                app.body(0).end();
            }
            settle().await;
            for _ in 0..2 {
                assert_eq!(app.send(&back(&told)).await.status, StatusCode::NO_CONTENT);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_producer_of_an_open_call_is_lost_it_gets_an_error_then_204() {
    for version in [PRIMED, UNPRIMED[0]] {
        let mut app = Mcp::new();
        let id = cut_call(&mut app, &Ask::call("seven").version(version)).await;
        app.say(0, &note(2));
        app.body(0).fail();
        settle().await;
        let mut client = app.send(&Ask::get().version(version).after(&id)).await;
        let got = all(&mut client).await;
        assert_eq!(got[0], note(2), "what there is comes first");
        assert_is_error_for(&got[1..], &json!("seven"));
        assert_eq!((client.status, client.end.clone()), (StatusCode::OK, End::Clean));
        let told = client.last_event_id();
        let client = app.send(&Ask::get().version(version).after(&told)).await;
        assert_eq!(client.status, StatusCode::NO_CONTENT);
        assert_eq!(app.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_came_back_for_in_time_gets_an_error() {
    let mut app = Mcp::with(|layer| layer.linger(10 * SECOND));
    let id = cut_call(&mut app, &Ask::call(7)).await;
    app.body(0).dropped().await;
    let mut client = app.resume(&id).await;
    assert_is_error_for(&all(&mut client).await, &json!(7));
    drop(client);

    let mut app = Mcp::with(|layer| layer.linger(Linger::none()));
    let id = cut_call(&mut app, &Ask::call(7)).await;
    let mut client = app.resume(&id).await;
    assert_is_error_for(&all(&mut client).await, &json!(7));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_there_when_the_producer_is_lost_gets_one_error_in_all() {
    let mut app = Mcp::new();
    let mut client = app.call(7).await;
    app.say(0, &note(1));
    read_messages(&mut client, 1).await;
    app.body(0).fail();
    let mut got = all(&mut client).await;
    assert_ne!(client.end, End::Open);
    let mut back = app.resume(&client.last_event_id()).await;
    got.extend(all(&mut back).await);
    assert_eq!(got.remove(0), note(1));
    assert_is_error_for(&got, &json!(7));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_is_not_hidden_by_notifications_that_are_gone() {
    let mut app = Mcp::with(|layer| layer.retention(Retention::new().events(3)));
    let id = cut_call(&mut app, &Ask::call(7)).await;
    for n in 0..20 {
        app.say(0, &note(n));
    }
    app.say(0, &result(7));
    app.body(0).end();
    settle().await;
    let mut client = app.resume(&id).await;
    let got = all(&mut client).await;
    let answers: Vec<_> = got.iter().filter(|message| message["id"] == 7).collect();
    let told = client.gaps().len() == 1 || answers[0].get("error").is_some();
    assert!(
        answers.len() == 1 && told,
        "answered once, and told of what is gone: {}",
        text(&client)
    );
    let client = app.resume(&client.last_event_id()).await;
    assert_eq!(client.status, StatusCode::NO_CONTENT);
}

// 11

#[tokio::test(start_paused = true)]
async fn the_newest_connection_of_a_stream_wins_and_the_older_one_ends_after_a_retry_block() {
    for version in [PRIMED, UNPRIMED[0]] {
        for first in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            let mut older = app.send(&first.version(version)).await;
            app.say(0, &note(1));
            read_messages(&mut older, 1).await;
            let id = older.last_event_id();
            for round in 0..3 {
                let mut newer = app.send(&Ask::get().version(version).after(&id)).await;
                assert_eq!(newer.status, StatusCode::OK);
                newer.settle().await;
                older.settle().await;
                assert_eq!(older.end, End::Clean, "{round}");
                let last = blocks(&older);
                let [.., last, rest] = &*last else { panic!("{last:?}") };
                assert_eq!((&**last, &**rest), ("retry: 60000", ""), "{round}");
                // One that was not primed and got nothing new has heard of no position.
                let position = if round == 0 || version == PRIMED { &*id } else { "" };
                assert_eq!(older.last_event_id(), position, "it is what it was");
                older = newer;
            }
            app.body(0).send(event(&result(1)));
            assert_eq!(all(&mut older).await.last(), Some(&result(1)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_another_stream_is_left_alone() {
    let mut app = Mcp::new();
    let mut clients = Vec::new();
    for ask in [Ask::call(1), Ask::call(2), Ask::get(), Ask::call(1).session("session-two")] {
        let mut client = app.send(&ask).await;
        app.say(app.calls() - 1, &note(1));
        read_messages(&mut client, 1).await;
        clients.push(client);
    }
    let mut newer = app.resume(&clients[0].last_event_id()).await;
    newer.settle().await;
    for client in &mut clients {
        client.settle().await;
    }
    let ended: Vec<_> = clients.iter().map(|client| client.end != End::Open).collect();
    assert_eq!(ended, [true, false, false, false]);
}

// What a server does that has lost a call, and calls that are over though their bodies are not

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_after_the_answer_was_whole() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    app.say(0, &result(1));
    app.body(0).fail();
    assert_eq!(all(&mut client).await, [result(1)]);
    assert_eq!(client.end, End::Clean);
    let client = app.resume(&client.last_event_id()).await;
    assert_eq!(client.status, StatusCode::NO_CONTENT);
}

/// A call whose server gave IDs, and whose body was let go of.
async fn lost_by_the_server(app: &mut Mcp) -> String {
    let mut client = app.call(7).await;
    app.body(0).send(format!("data: {}\nid: server-1\n\n", note(1)));
    read_messages(&mut client, 1).await;
    let id = client.last_event_id();
    drop(client);
    app.body(0).dropped().await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_asked_to_go_on_and_has_nothing_makes_an_error_and_no_loop() {
    let mut app = Mcp::new();
    let mut id = lost_by_the_server(&mut app).await;
    let mut got = Vec::new();
    for round in 0..4 {
        let mut client = app.resume(&id).await;
        if app.calls() == 2 {
            // As `rmcp` answers: an event stream that ends at once.
            app.body(1).end();
        }
        got.extend(all(&mut client).await);
        assert!(!is_empty_end(&client), "{round}: {}", text(&client));
        if client.status == StatusCode::NO_CONTENT {
            break;
        }
        id = client.last_event_id();
    }
    assert_is_error_for(&got, &json!(7));
    assert_eq!(app.resume(&id).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_to_go_on_makes_an_error() {
    for refused in [StatusCode::BAD_REQUEST, StatusCode::METHOD_NOT_ALLOWED] {
        let mut app = Mcp::new();
        let id = lost_by_the_server(&mut app).await;
        app.server.scripted.answer_next(support::scripted::status(refused));
        let mut client = app.resume(&id).await;
        assert_eq!(client.status, StatusCode::OK, "405 would say that there are no streams");
        assert_is_error_for(&all(&mut client).await, &json!(7));
        let client = app.resume(&client.last_event_id()).await;
        assert_eq!(client.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_to_be_kept_is_an_error() {
    let mut app = Mcp::with(|layer| layer.limits(Limits::new().frame(64 * 1024)));
    let id = cut_call(&mut app, &Ask::call(7)).await;
    let mut large = result(7);
    large["result"]["content"][0]["text"] = "x".repeat(256 * 1024).into();
    app.say(0, &large);
    app.body(0).end();
    settle().await;
    let mut client = app.resume(&id).await;
    assert_is_error_for(&all(&mut client).await, &json!(7));
    let client = app.resume(&client.last_event_id()).await;
    assert_eq!(client.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_nearly_a_megabyte_is_kept() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(7)).await;
    let mut large = result(7);
    large["result"]["content"][0]["text"] = "x".repeat(1_000_000).into();
    for n in 0..100 {
        app.say(0, &note(n));
    }
    app.say(0, &large);
    app.body(0).end();
    settle().await;
    let mut client = app.resume(&id).await;
    let got = all(&mut client).await;
    assert!(got.last() == Some(&large), "{:?}", got.last().map(|last| last["error"].clone()));
}

#[tokio::test(start_paused = true)]
async fn a_post_is_a_call_whatever_event_id_it_has() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    let mut client = app.send(&Ask::call(2).after(&id)).await;
    assert_eq!(app.calls(), 2, "the server is called");
    assert!(app.server.seen(1).text.contains("\"id\":2"));
    app.say(1, &result(2));
    assert_eq!(all(&mut client).await, [result(2)]);
}
