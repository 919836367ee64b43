//! Which versions of the protocol the layer serves, and what each of them gets. (Requirements 1, 7 and 8.)

use http::StatusCode;
use tower_sse_resume::SseResumeLayer;

use crate::app::{
    Ask, LAST_EVENT_ID, Mcp, PRIMED, REMOVED, UNPRIMED, VERSION, initialize, note, primings,
    result, text,
};
use crate::{SECOND, all, cut_call};
use support::client::settle;
use support::scripted::{event_stream, status};

/// The priming frames of servers: as `rmcp` writes them, and as the TypeScript SDK does.
const SERVERS_PRIMINGS: [&str; 2] =
    ["data: \nid: server-0\nretry: 3000\n\n", "id: server-0\nretry: 3000\ndata: \n\n"];

// 1

#[tokio::test(start_paused = true)]
async fn since_the_version_that_removed_resumption_a_response_passes_byte_for_byte() {
    for version in [REMOVED, "2026-12-31", "2031-01-01"] {
        let mut app = Mcp::new();
        let mut head = event_stream();
        head.headers_mut().insert("etag", "\"tag\"".parse().unwrap());
        app.server.scripted.answer_next(head);
        let mut client = app.send(&Ask::call(1).version(version)).await;
        let written = "data: 1\nid: inner\n\n: comment\n\nretry: 5\n\nid: 7\ndata: unfinished";
        app.body(0).send(written);
        client.settle().await;
        assert_eq!(text(&client), written);
        assert_eq!(client.header("etag"), Some("\"tag\""));
        assert_eq!((client.header("sse-resume"), client.header("sse-resume-from")), (None, None));
    }
}

#[tokio::test(start_paused = true)]
async fn since_that_version_closing_a_response_cancels_the_call_at_once() {
    let mut app = Mcp::new();
    let mut client = app.send(&Ask::call(1).version(REMOVED)).await;
    app.body(0).send("data: 1\n\n");
    client.read();
    drop(client);
    settle().await;
    assert!(app.body(0).is_dropped());
    assert_eq!(app.handle.stats().lingering, 0);
}

#[tokio::test(start_paused = true)]
async fn since_that_version_the_server_answers_each_get_also_one_with_a_last_event_id() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    for id in [&*id, "of-the-server"] {
        let calls = app.calls();
        app.server.scripted.answer_next(status(StatusCode::METHOD_NOT_ALLOWED));
        let mut client = app.send(&Ask::get().version(REMOVED).after(id)).await;
        client.settle().await;
        assert_eq!(client.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(app.calls(), calls + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn since_that_version_who_opts_in_resumes_too() {
    let mut app = Mcp::behind(SseResumeLayer::mcp().resume_newer(true));
    let id = cut_call(&mut app, &Ask::call(1).version(REMOVED)).await;
    settle().await;
    assert!(!app.body(0).is_dropped());
    app.say(0, &result(1));
    let mut client = app.send(&Ask::get().version(REMOVED).after(&id)).await;
    assert_eq!(all(&mut client).await, [result(1)]);
    assert_eq!((primings(&client), app.calls()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_version_counts_as_of_2025_03_26() {
    let mut app = Mcp::new();
    let ask = Ask::call(1).without(VERSION);
    let mut client = app.send(&ask).await;
    client.settle().await;
    assert_eq!(primings(&client), 0);
    drop(client);
    let id = cut_call(&mut app, &ask).await;
    app.say(1, &result(1));
    let mut client = app.send(&Ask::get().without(VERSION).after(&id)).await;
    assert_eq!(all(&mut client).await, [result(1)]);
    assert_eq!(primings(&client), 0);
}

// 7

#[tokio::test(start_paused = true)]
async fn in_the_primed_version_an_answer_begins_with_an_id_and_empty_data() {
    for ask in [Ask::call(1), Ask::get()] {
        let mut app = Mcp::with(|layer| layer.retry(2 * SECOND).jitter(0.0));
        let mut client = app.send(&ask).await;
        client.settle().await;
        let primed = client.events();
        assert_eq!(primed.len(), 1, "{}", text(&client));
        assert_eq!((&*primed[0].event, &*primed[0].data), ("message", ""));
        assert!(!primed[0].id.is_empty());
        assert!(text(&client).contains("retry: 2000\n"), "{}", text(&client));
        let id = client.last_event_id();
        app.say(0, &note(1));
        drop(client);
        let mut client = app.resume(&id).await;
        assert_eq!(
            all(&mut client).await,
            [note(1)],
            "the ID is the position before the first event"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn before_that_version_and_on_the_answer_to_initialize_nothing_is_primed() {
    let older = UNPRIMED.map(|version| Ask::call(1).version(version));
    let older_get = UNPRIMED.map(|version| Ask::get().version(version));
    let first = [
        Ask::post(initialize()).without("mcp-session-id"),
        Ask::post(initialize()).without("mcp-session-id").without(VERSION),
    ];
    for ask in [older, older_get, first].concat() {
        let mut app = Mcp::new();
        let mut client = app.send(&ask).await;
        client.settle().await;
        assert_eq!(primings(&client), 0, "{}", text(&client));
        app.say(0, &result(0));
        assert_eq!(all(&mut client).await, [result(0)]);
        assert_eq!(primings(&client), 0, "{}", text(&client));
    }
}

#[tokio::test(start_paused = true)]
async fn a_priming_frame_of_the_server_is_never_shown_beside_ours() {
    for priming in SERVERS_PRIMINGS {
        for ask in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            let mut client = app.send(&ask).await;
            app.body(0).send(priming);
            app.say(0, &note(1));
            assert_eq!(all(&mut client).await, [note(1)]);
            assert_eq!(primings(&client), 1, "{}", text(&client));
            assert!(!text(&client).contains("server-0"), "{}", text(&client));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_priming_frame_of_the_server_is_swallowed_where_we_do_not_prime() {
    let [older, _] = UNPRIMED;
    let first = Ask::post(initialize()).without("mcp-session-id");
    for priming in SERVERS_PRIMINGS {
        for ask in [Ask::call(0).version(older), Ask::get().version(older), first.clone()] {
            let mut app = Mcp::new();
            let mut client = app.send(&ask).await;
            app.body(0).send(priming);
            app.say(0, &result(0));
            assert_eq!(all(&mut client).await, [result(0)]);
            assert_eq!(primings(&client), 0, "{}", text(&client));
            assert!(!text(&client).contains("server-0"), "{}", text(&client));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_of_a_servers_priming_frame_reaches_the_client() {
    for priming in SERVERS_PRIMINGS {
        for version in [PRIMED, UNPRIMED[0]] {
            let mut app = Mcp::new();
            let mut client = app.send(&Ask::call(1).version(version)).await;
            app.body(0).send(priming);
            app.say(0, &note(1));
            client.settle().await;
            assert!(text(&client).contains("retry: 3000\n"), "{}", text(&client));
        }
    }
}

// 8

#[tokio::test(start_paused = true)]
async fn a_resumed_response_begins_with_a_priming_frame_at_the_clients_position() {
    for first in [Ask::call(1), Ask::get()] {
        let mut app = Mcp::new();
        let mut id = cut_call(&mut app, &first).await;
        for cut in 0..3 {
            // Each time it is cut again before there is anything new.
            let mut client = app.resume(&id).await;
            client.settle().await;
            let events = client.events();
            assert_eq!(events.len(), 1, "{cut}: {}", text(&client));
            assert_eq!((&*events[0].data, &events[0].id), ("", &id));
            id = client.last_event_id();
        }
        app.say(0, &note(2));
        let mut client = app.resume(&id).await;
        assert_eq!(all(&mut client).await, [note(2)]);
        assert_eq!(primings(&client), 1);
        assert_eq!((client.events()[0].data.as_str(), &client.events()[0].id), ("", &id));
    }
}

#[tokio::test(start_paused = true)]
async fn before_that_version_a_resumed_response_begins_with_what_was_missed() {
    for version in UNPRIMED {
        for first in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            let id = cut_call(&mut app, &first.version(version)).await;
            let mut client = app.send(&Ask::get().version(version).after(&id)).await;
            client.settle().await;
            assert_eq!(primings(&client), 0, "{}", text(&client));
            app.say(0, &note(2));
            assert_eq!(all(&mut client).await, [note(2)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_version_of_the_request_that_resumes_is_what_counts() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1).version(UNPRIMED[0])).await;
    let mut client = app.resume(&id).await;
    client.settle().await;
    assert_eq!(primings(&client), 1);
    let header = app.server.scripted.call(0).headers.contains_key(LAST_EVENT_ID);
    assert!(!header);
}
