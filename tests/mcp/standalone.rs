//! The standalone stream of a session. (Requirements 10 and 12.)

use http::StatusCode;
use serde_json::Value;
use tower_sse_resume::Retention;

use crate::app::{Ask, Mcp, messages, note, text};
use crate::{HOUR, all, cut_call};
use support::client::settle;
use support::scripted::{event_stream, status};

// 10

#[tokio::test(start_paused = true)]
async fn what_is_gone_of_the_standalone_stream_is_told_by_a_gap_and_then_comes_what_is_left() {
    let mut app = Mcp::with(|layer| layer.retention(Retention::new().events(3)));
    let id = cut_call(&mut app, &Ask::get()).await;
    for n in 0..20 {
        app.say(0, &note(n));
    }
    settle().await;
    let mut client = app.resume(&id).await;
    client.settle().await;
    let events = client.events();
    let gap = events.iter().find(|event| !event.data.is_empty()).unwrap();
    assert_eq!(gap.event, "resume-gap", "{}", text(&client));
    let gap: Value = serde_json::from_str(&gap.data).unwrap();
    assert_eq!((&gap["missed"], &gap["reason"]), (&17.into(), &"evicted".into()));
    assert_eq!(messages(&client), [note(17), note(18), note(19)]);
    app.say(0, &note(20));
    assert_eq!(all(&mut client).await.last(), Some(&note(20)));
}

#[tokio::test(start_paused = true)]
async fn a_standalone_stream_whose_producer_is_lost_goes_on_with_a_new_one_and_says_so() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::get()).await;
    app.say(0, &note(2));
    app.body(0).fail();
    settle().await;
    let mut client = app.resume(&id).await;
    assert_eq!(client.status, StatusCode::OK);
    client.settle().await;
    assert_eq!(app.calls(), 2, "there is a new standalone stream");
    app.say(1, &note(3));
    assert_eq!(all(&mut client).await, [note(2), note(3)]);
    assert_eq!(client.gaps().len(), 1, "{}", text(&client));
}

// 12

#[tokio::test(start_paused = true)]
async fn a_fresh_get_first_releases_the_standalone_stream_that_lingers() {
    let mut app = Mcp::new();
    cut_call(&mut app, &Ask::get()).await;
    settle().await;
    assert!(!app.body(0).is_dropped(), "it lingers");
    let mut client = app.listen().await;
    assert_eq!(app.server.seen(1).dropped, [true], "the server never sees two");
    app.say(1, &note(5));
    assert_eq!(all(&mut client).await, [note(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_get_releases_nothing_else() {
    let mut app = Mcp::new();
    let owned = |ask: Ask| ask.with("authorization", "Bearer another");
    let asks = [
        Ask::call(1),
        Ask::get().session("session-two"),
        owned(Ask::get()),
        Ask::get().at("/other"),
        Ask::get().with("host", "other.example"),
    ];
    for ask in &asks {
        cut_call(&mut app, ask).await;
    }
    let _client = app.listen().await;
    assert_eq!(app.server.seen(asks.len()).dropped, [false; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_still_sees_the_old_stream_is_asked_again() {
    let mut app = Mcp::new();
    cut_call(&mut app, &Ask::get()).await;
    for head in [status(StatusCode::CONFLICT), status(StatusCode::CONFLICT), event_stream()] {
        app.server.scripted.answer_next(head);
    }
    let mut client = tokio::time::timeout(HOUR, app.listen()).await.unwrap();
    assert_eq!(client.status, StatusCode::OK);
    assert_eq!(app.calls(), 4);
    app.say(3, &note(5));
    assert_eq!(all(&mut client).await, [note(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_back_before_it_is_noticed_that_it_left_gets_a_stream_all_the_same() {
    let mut app = Mcp::new();
    let old = app.listen().await;
    for head in [status(StatusCode::CONFLICT), status(StatusCode::CONFLICT), event_stream()] {
        app.server.scripted.answer_next(head);
    }
    let leaving = async {
        settle().await;
        drop(old);
    };
    let (mut client, ()) = tokio::join!(app.listen(), leaving);
    assert_eq!((client.status, app.calls()), (StatusCode::OK, 4));
    assert!(app.server.seen(3).dropped[0], "the old stream was let go of");
    app.say(3, &note(5));
    assert_eq!(all(&mut client).await, [note(5)]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_second_standalone_stream_does_not_end_the_first() {
    let mut app = Mcp::new();
    let mut first = app.listen().await;
    for _ in 0..100 {
        app.server.scripted.answer_next(status(StatusCode::CONFLICT));
    }
    let second = app.listen().await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    app.say(0, &note(5));
    assert_eq!(all(&mut first).await, [note(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_on_refusing_is_not_asked_for_ever() {
    let mut app = Mcp::new();
    cut_call(&mut app, &Ask::get()).await;
    for _ in 0..100 {
        app.server.scripted.answer_next(status(StatusCode::CONFLICT));
    }
    let mut client = tokio::time::timeout(HOUR, app.listen()).await.unwrap();
    client.settle().await;
    assert_eq!(client.status, StatusCode::CONFLICT, "the server's own answer");
    assert!((3..=50).contains(&app.calls()), "{}", app.calls());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_where_nothing_was_released_is_passed_at_once() {
    let mut app = Mcp::new();
    app.server.scripted.answer_next(status(StatusCode::CONFLICT));
    let client = app.listen().await;
    assert_eq!((client.status, app.calls()), (StatusCode::CONFLICT, 1));
}
