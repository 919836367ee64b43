//! Whose a stream is, and when a session ends. (Requirements 13, 14 and 15.)

use http::{Method, StatusCode};
use serde_json::json;
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{SessionAccess, Sessions};

use crate::app::{Ask, Mcp, SESSION, VERSION, cancelled, note};
use crate::{all, cut_call};
use support::client::{End, settle};
use support::scripted::{event_stream, status};

const OWNER: &str = "authorization";

/// A request of an owner, from a page.
fn from_page(ask: Ask) -> Ask {
    ask.with(OWNER, "Bearer ada").with("origin", "https://page.example")
}

// 13

#[tokio::test(start_paused = true)]
async fn a_replay_is_bound_to_session_owner_host_and_origin() {
    for first in [Ask::call(1), Ask::get()] {
        let mut app = Mcp::new();
        let id = cut_call(&mut app, &from_page(first)).await;
        app.say(0, &note(2));
        settle().await;
        let ask = from_page(Ask::get().after(&id));
        let mut strangers: Vec<_> = [
            (SESSION, "session-two"),
            (OWNER, "Bearer bob"),
            ("host", "other.example"),
            ("origin", "https://other.example"),
        ]
        .into_iter()
        .flat_map(|(name, other)| [ask.clone().with(name, other), ask.clone().without(name)])
        .collect();
        strangers.push(ask.clone().with(OWNER, ""));
        for stranger in &strangers {
            let mut client = app.send(stranger).await;
            assert!(all_bytes(&mut client).await.contains("error"));
            assert_eq!(client.status, StatusCode::BAD_REQUEST);
        }
        let mut client = app.send(&ask).await;
        assert_eq!(all(&mut client).await, [note(2)]);
    }
}

async fn all_bytes(client: &mut crate::McpClient) -> String {
    client.settle().await
}

#[tokio::test(start_paused = true)]
async fn the_session_that_a_server_names_in_its_answer_is_the_one_that_counts() {
    let mut app = Mcp::new();
    let mut head = event_stream();
    head.headers_mut().insert(SESSION, "session-of-the-server".parse().unwrap());
    app.server.scripted.answer_next(head);
    let ask = Ask::post(crate::app::initialize()).without(SESSION).without(VERSION);
    let id = cut_call(&mut app, &ask).await;
    app.say(0, &note(2));
    let mut client = app.send(&Ask::get().session("session-of-the-server").after(&id)).await;
    assert_eq!(all(&mut client).await, [note(2)]);
    let client = app.send(&Ask::get().without(SESSION).after(&id)).await;
    assert_eq!(client.status, StatusCode::BAD_REQUEST);
}

// 14

/// A session with a call and a standalone stream that linger, and another call of it that is read.
async fn session(app: &mut Mcp, of: impl Fn(Ask) -> Ask) -> (Vec<String>, crate::McpClient) {
    let ids = vec![cut_call(app, &of(Ask::call(1))).await, cut_call(app, &of(Ask::get())).await];
    let mut client = app.send(&of(Ask::call(2))).await;
    client.settle().await;
    (ids, client)
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_the_server_accepts_purges_the_sessions_streams_at_once() {
    for accepted in [StatusCode::OK, StatusCode::ACCEPTED, StatusCode::NO_CONTENT] {
        let mut app = Mcp::new();
        let (ids, mut client) = session(&mut app, |ask| ask).await;
        app.server.scripted.answer_next(status(accepted));
        assert_eq!(app.send(&Ask::delete()).await.status, accepted);
        settle().await;
        client.settle().await;
        assert_ne!(client.end, End::Open);
        drop(client);
        assert_eq!([0, 1, 2].map(|call| app.body(call).is_dropped()), [true; 3]);
        for id in ids {
            assert_eq!(app.resume(&id).await.status, StatusCode::BAD_REQUEST);
        }
        assert_eq!((app.handle.stats().streams, app.handle.stats().bytes), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_kept_in_a_store_ends_there_with_the_servers() {
    for ended in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let sessions = Sessions::new(MemoryStore::new());
        let mut app = Mcp::with(|layer| layer.sessions(sessions));
        let ada = |ask: Ask| ask.with(OWNER, "Bearer ada").session("named-by-the-server");
        let id = cut_call(&mut app, &ada(Ask::call(1))).await;
        let extensions = app.server.scripted.call(0).extensions;
        let access = extensions.get::<SessionAccess>().unwrap();
        access.create_named("named-by-the-server", "").await.unwrap();
        let stored = app.handle.stored_sessions().unwrap();
        let bob = Ask::delete().with(OWNER, "Bearer bob").session("named-by-the-server");
        for (ask, left) in [(bob, 1), (ada(Ask::delete()), 0)] {
            app.server.scripted.answer_next(status(ended));
            app.send(&ask).await;
            settle().await;
            assert_eq!(stored.count().await.unwrap(), left);
        }
        assert_eq!(app.resume(&id).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_of_the_server_for_the_session_purges_its_streams() {
    let asks = [Ask::call(3), Ask::get(), Ask::delete(), Ask::post(note(1))];
    for ask in asks {
        let mut app = Mcp::new();
        let (ids, _client) = session(&mut app, |ask| ask).await;
        app.server.scripted.answer_next(status(StatusCode::NOT_FOUND));
        assert_eq!(app.send(&ask).await.status, StatusCode::NOT_FOUND, "it is the server's answer");
        settle().await;
        assert_eq!([0, 1, 2].map(|call| app.body(call).is_dropped()), [true; 3]);
        for id in ids {
            assert_eq!(app.resume(&id).await.status, StatusCode::BAD_REQUEST);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_the_server_refuses_purges_nothing() {
    for refused in
        [StatusCode::METHOD_NOT_ALLOWED, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED]
    {
        let mut app = Mcp::new();
        let id = cut_call(&mut app, &Ask::call(1)).await;
        app.say(0, &note(2));
        app.server.scripted.answer_next(status(refused));
        assert_eq!(app.send(&Ask::delete()).await.status, refused);
        settle().await;
        assert!(!app.body(0).is_dropped());
        let mut client = app.resume(&id).await;
        assert_eq!(all(&mut client).await, [note(2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_no_other_session_and_no_other_owner() {
    let by = |owner: &'static str| move |ask: Ask| ask.with(OWNER, owner);
    for ended in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let mut app = Mcp::new();
        let (ids, _ada) = session(&mut app, by("Bearer ada")).await;
        let two = by("Bearer bob")(Ask::call(1)).session("session-two");
        cut_call(&mut app, &two).await;
        app.server.scripted.answer_next(status(ended));
        app.send(&by("Bearer bob")(Ask::delete())).await;
        settle().await;
        assert_eq!([0, 1, 2, 3].map(|call| app.body(call).is_dropped()), [false; 4]);
        let client = app.send(&by("Bearer ada")(Ask::get().after(&ids[0]))).await;
        assert_eq!(client.status, StatusCode::OK);
    }
}

/// The answers after which a session is over, each with the requests that it may be an answer to.
fn endings() -> Vec<(StatusCode, Vec<Ask>)> {
    let all = vec![Ask::call(3), Ask::get(), Ask::delete(), Ask::post(note(1))];
    vec![(StatusCode::NOT_FOUND, all), (StatusCode::NO_CONTENT, vec![Ask::delete()])]
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_another_path_or_host_ends_no_session() {
    let elsewhere: [fn(Ask) -> Ask; 4] = [
        |ask| ask.at("/items/5"),
        |ask| ask.at("/mcp/other"),
        |ask| ask.at("/mcp?tenant=2"),
        |ask| ask.with("host", "other.example"),
    ];
    for (ended, asks) in endings() {
        for (ask, to) in asks.iter().flat_map(|ask| elsewhere.map(|to| (ask, to))) {
            let mut app = Mcp::new();
            let (ids, mut client) = session(&mut app, |ask| ask).await;
            app.server.scripted.answer_next(status(ended));
            assert_eq!(app.send(&to(ask.clone())).await.status, ended);
            settle().await;
            client.settle().await;
            assert_eq!(client.end, End::Open);
            assert_eq!([0, 1, 2].map(|call| app.body(call).is_dropped()), [false; 3]);
            for id in ids {
                assert_eq!(app.resume(&id).await.status, StatusCode::OK);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_leaves_another_endpoints_of_the_same_name() {
    for (ended, asks) in endings() {
        for ask in asks {
            let mut app = Mcp::new();
            let id = cut_call(&mut app, &Ask::call(1)).await;
            let other = cut_call(&mut app, &Ask::call(1).at("/other")).await;
            app.server.scripted.answer_next(status(ended));
            app.send(&ask).await;
            settle().await;
            assert_eq!([0, 1].map(|call| app.body(call).is_dropped()), [true, false]);
            assert_eq!(app.resume(&id).await.status, StatusCode::BAD_REQUEST);
            let there = app.send(&Ask::get().at("/other").after(&other)).await;
            assert_eq!(there.status, StatusCode::OK);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_to_a_method_that_the_protocol_does_not_have_ends_no_session() {
    for method in [Method::HEAD, Method::OPTIONS, Method::PUT, Method::PATCH] {
        let mut app = Mcp::new();
        let (_, _client) = session(&mut app, |ask| ask).await;
        app.server.scripted.answer_next(status(StatusCode::NOT_FOUND));
        app.send(&Ask::get().by(method)).await;
        settle().await;
        assert_eq!([0, 1, 2].map(|call| app.body(call).is_dropped()), [false; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_kept_in_a_store_does_not_end_by_answers_for_other_paths() {
    for (ended, asks) in endings() {
        for ask in asks {
            let mut app = Mcp::with(|layer| layer.sessions(Sessions::new(MemoryStore::new())));
            let ada = |ask: Ask| ask.with(OWNER, "Bearer ada").session("named-by-the-server");
            cut_call(&mut app, &ada(Ask::call(1))).await;
            let extensions = app.server.scripted.call(0).extensions;
            let access = extensions.get::<SessionAccess>().unwrap();
            access.create_named("named-by-the-server", "").await.unwrap();
            let stored = app.handle.stored_sessions().unwrap();
            for (path, left) in [("/items/5", 1), ("/mcp", 0)] {
                app.server.scripted.answer_next(status(ended));
                app.send(&ada(ask.clone()).at(path)).await;
                settle().await;
                assert_eq!(stored.count().await.unwrap(), left, "{ended} {path}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_without_streams_here_ends_by_a_delete_that_is_accepted_alone() {
    for (ended, left) in [(StatusCode::NOT_FOUND, 1), (StatusCode::NO_CONTENT, 0)] {
        let mut app = Mcp::with(|layer| layer.sessions(Sessions::new(MemoryStore::new())));
        app.server.scripted.answer_next(status(StatusCode::ACCEPTED));
        app.send(&Ask::post(note(1))).await;
        let extensions = app.server.scripted.call(0).extensions;
        let access = extensions.get::<SessionAccess>().unwrap();
        access.create_named("session-one", "").await.unwrap();
        app.server.scripted.answer_next(status(ended));
        app.send(&Ask::delete()).await;
        settle().await;
        assert_eq!(app.handle.stored_sessions().unwrap().count().await.unwrap(), left);
    }
}

// 15

#[tokio::test(start_paused = true)]
async fn cancelling_a_call_of_a_stateless_server_drops_its_lingering_body() {
    let stateless = |ask: Ask| ask.without(SESSION).with(OWNER, "Bearer ada");
    for id in [json!(7), json!("seven")] {
        let mut app = Mcp::new();
        for id in [id.clone(), json!(8), json!("7")] {
            cut_call(&mut app, &stateless(Ask::call(id))).await;
        }
        cut_call(&mut app, &stateless(Ask::call(id.clone())).with(OWNER, "Bearer bob")).await;
        settle().await;
        app.server.scripted.answer_next(status(StatusCode::ACCEPTED));
        let client = app.send(&stateless(Ask::post(cancelled(id.clone())))).await;
        assert_eq!(client.status, StatusCode::ACCEPTED);
        settle().await;
        let dropped = [0, 1, 2, 3].map(|call| app.body(call).is_dropped());
        assert_eq!(dropped, [true, false, false, false], "only the call of that id and owner");
        assert_eq!(app.server.seen(4).text, cancelled(id).to_string(), "the server hears of it");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_call_of_a_session_is_left_to_the_server() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(7)).await;
    app.server.scripted.answer_next(status(StatusCode::ACCEPTED));
    app.send(&Ask::post(cancelled(7))).await;
    settle().await;
    assert!(!app.body(0).is_dropped());
    assert_eq!(app.server.seen(1).text, cancelled(7).to_string());
    app.say(0, &note(2));
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [note(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_that_the_server_refuses_drops_nothing() {
    let stateless = |ask: Ask| ask.without(SESSION).with(OWNER, "Bearer ada");
    for (answer, is_dropped) in [
        (StatusCode::OK, true),
        (StatusCode::NO_CONTENT, true),
        (StatusCode::SEE_OTHER, false),
        (StatusCode::BAD_REQUEST, false),
        (StatusCode::UNAUTHORIZED, false),
        (StatusCode::FORBIDDEN, false),
        (StatusCode::NOT_FOUND, false),
        (StatusCode::TOO_MANY_REQUESTS, false),
        (StatusCode::INTERNAL_SERVER_ERROR, false),
    ] {
        let mut app = Mcp::new();
        let id = cut_call(&mut app, &stateless(Ask::call(7))).await;
        app.server.scripted.answer_next(status(answer));
        assert_eq!(app.send(&stateless(Ask::post(cancelled(7)))).await.status, answer);
        settle().await;
        assert_eq!(app.body(0).is_dropped(), is_dropped, "{answer}");
        let client = app.send(&stateless(Ask::get().after(&id))).await;
        assert_eq!(client.status, StatusCode::OK, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_for_another_path_drops_nothing() {
    let stateless = |ask: Ask| ask.without(SESSION).with(OWNER, "Bearer ada");
    let mut app = Mcp::new();
    cut_call(&mut app, &stateless(Ask::call(7))).await;
    app.server.scripted.answer_next(status(StatusCode::ACCEPTED));
    app.send(&stateless(Ask::post(cancelled(7))).at("/other")).await;
    settle().await;
    assert!(!app.body(0).is_dropped());
}
