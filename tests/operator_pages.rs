//! What operators see of streams and sessions, page by page.

mod support;

use http::Method;
use support::app::with;
use support::{App, TestClient, request};
use tower_sse_resume::{SseResumeLayer, StreamKind};

async fn open(app: &mut App, session: &str) -> TestClient {
    let request = request(Method::GET, "");
    let request = if session.is_empty() { request } else { with(request, "session", session) };
    let mut client = app.send(request).await;
    app.body().send("data: 1\n\ndata: 2\n\n");
    client.read();
    client
}

fn app() -> App {
    App::with(SseResumeLayer::new().session_header("session".parse().unwrap()))
}

#[tokio::test]
async fn pages_of_streams_are_in_order_and_have_each_stream_once() {
    let mut app = app();
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(open(&mut app, "").await);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for expected in [3, 3, 1, 0] {
        let page = app.handle.streams(after, 3);
        assert_eq!(page.len(), expected);
        seen.extend(page.iter().map(|stream| stream.id));
        after = seen.last().copied();
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen.len(), 7);
    assert_eq!(app.handle.streams(None, 0), []);
}

#[tokio::test]
async fn a_stream_says_what_state_it_is_in_and_what_it_holds() {
    let mut app = app();
    let client = open(&mut app, "one").await;
    let info = app.handle.streams(None, 9)[0];
    assert_eq!((info.state, info.clients), (StreamKind::Live, 1));
    assert_eq!((info.events, info.retained), (2, 2));
    assert!(info.session.is_some() && info.bytes > 0);
    assert_eq!(format!("{}", info.id).len(), 32);
    app.body().end();
    let mut client = client;
    client.read_to_end().await;
    drop(client);
    let info = app.handle.streams(None, 9)[0];
    assert_eq!((info.state, info.clients, info.retained), (StreamKind::Finished, 0, 2));
    let mut failed = open(&mut app, "").await;
    app.body().fail();
    failed.read_to_end().await;
    let kinds: Vec<_> = app.handle.streams(None, 9).iter().map(|stream| stream.state).collect();
    assert!(kinds.contains(&StreamKind::Aborted) && kinds.contains(&StreamKind::Finished));
}

#[tokio::test]
async fn pages_of_sessions_sum_up_their_streams_and_name_them_for_a_purge() {
    let mut app = app();
    let mut clients = vec![open(&mut app, "").await];
    for session in ["one", "two", "two", "three"] {
        clients.push(open(&mut app, session).await);
    }
    let first = app.handle.sessions(None, 2);
    let rest = app.handle.sessions(Some(first[1].id), 2);
    assert_eq!((first.len(), rest.len()), (2, 1));
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    assert!(all.is_sorted_by(|one, next| one.id < next.id));
    let mut streams: Vec<_> = all.iter().map(|info| (info.streams, info.clients)).collect();
    streams.sort_unstable();
    assert_eq!(streams, [(1, 1), (1, 1), (2, 2)]);
    let two = all.iter().find(|info| info.streams == 2).unwrap();
    assert!(two.bytes > 0);
    assert_eq!(app.handle.purge_session_by_id(two.id), 2);
    assert_eq!((app.handle.sessions(None, 9).len(), app.handle.stats().streams), (2, 3));
}
