//! What of its first client's headers a stream says to others: nothing that is about that client.

use http::{HeaderName, Method, Request, Response};
use support::app::{App, TestClient, request, with};
use support::client::settle;
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{Durability, Persistence, SseResumeLayer};

const SECRET: [u8; 32] = [7; 32];
const A: &str = "https://a.example";
const B: &str = "https://b.example";
const ALLOWED: &str = "access-control-allow-origin";

fn layer() -> SseResumeLayer {
    SseResumeLayer::new()
        .session_header(HeaderName::from_static("x-session"))
        .share(|parts| Some(parts.uri.path().to_owned()))
        .keep_headers(["x-mine", "set-cookie"].map(HeaderName::from_static))
}

/// An answer to its leader, a page of this origin if it is one.
fn head(page: Option<&str>) -> Response<()> {
    let head = Response::builder()
        .header("content-type", "text/event-stream")
        .header("x-session", "of-the-leader")
        .header("set-cookie", "sid=of-the-leader")
        .header("x-mine", "1");
    let Some(page) = page else { return head.body(()).unwrap() };
    let head = head
        .header("vary", "origin")
        .header("access-control-allow-credentials", "true")
        .header("access-control-expose-headers", "x-mine")
        .header(ALLOWED, page);
    head.body(()).unwrap()
}

/// A request of a page of this origin, if it is one.
fn from(page: Option<&str>, id: &str) -> Request<()> {
    let request = request(Method::GET, id);
    match page {
        Some(page) => with(request, "origin", page),
        None => request,
    }
}

async fn open(app: &mut App, page: Option<&str>) -> TestClient {
    app.inner.answer_next(head(page));
    app.send(from(page, "")).await
}

/// That a client has nothing of the leader's own; and whether it has what lets a page read the answer.
fn is_readable(client: &TestClient) -> bool {
    assert_eq!(client.header("x-session"), None);
    assert_eq!(client.header("set-cookie"), None);
    assert_eq!(client.header("x-mine"), Some("1"));
    let cors = ["access-control-allow-credentials", "access-control-expose-headers", ALLOWED];
    let there = cors.map(|name| client.headers.contains_key(name));
    assert!(there == [true; 3] || there == [false; 3], "{there:?}");
    there[0]
}

#[tokio::test]
async fn a_leader_gets_its_own_headers_and_a_joiner_none_that_are_the_leaders() {
    let mut app = App::with(layer());
    let leader = open(&mut app, None).await;
    assert_eq!(leader.header("x-session"), Some("of-the-leader"));
    assert_eq!(leader.header("set-cookie"), Some("sid=of-the-leader"));
    assert!(!is_readable(&app.send(from(None, "")).await));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_page_of_the_same_origin_joins_and_may_read() {
    let mut app = App::with(layer());
    let leader = open(&mut app, Some(A)).await;
    assert_eq!(leader.header(ALLOWED), Some(A));
    let joiner = app.send(from(Some(A), "")).await;
    assert!(is_readable(&joiner));
    assert_eq!(joiner.header(ALLOWED), Some(A));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn who_is_no_page_of_that_origin_joins_without_its_permission() {
    let mut app = App::with(layer());
    let _leader = open(&mut app, Some(A)).await;
    assert!(!is_readable(&app.send(from(None, "")).await));
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn pages_of_an_origin_that_the_answer_does_not_let_read_share_one_of_their_own() {
    // With another origin, or with none: a service may say nothing of origins to who has none.
    for first in [Some(A), None] {
        let mut app = App::with(layer());
        let _leader = open(&mut app, first).await;
        let mut own = open(&mut app, Some(B)).await;
        assert_eq!(own.header(ALLOWED), Some(B), "as without the layer");
        let mut joiner = app.send(from(Some(B), "")).await;
        assert!(is_readable(&joiner));
        assert_eq!(joiner.header(ALLOWED), Some(B));
        assert_eq!(app.inner.calls(), 2);
        app.inner.body(1).send("data: 1\n\n");
        own.read_events(1).await;
        joiner.read_events(1).await;
        // And it is resumed by its pages alone.
        let again = app.send(from(Some(B), &joiner.last_event_id())).await;
        assert_eq!(again.header("sse-resume"), Some("replay"));
        assert!(is_readable(&again));
        let other = app.send(from(Some(A), &joiner.last_event_id())).await;
        assert_eq!(other.header("sse-resume"), Some("gap"));
    }
}

#[tokio::test]
async fn pages_join_whatever_their_origin_is_where_the_answer_does_not_depend_on_it() {
    let mut app = App::with(layer());
    app.inner.answer_next(head(None));
    let _leader = app.send(from(Some(A), "")).await;
    assert!(!is_readable(&app.send(from(Some(B), "")).await));
    assert_eq!(app.inner.calls(), 1);
    for vary in ["Accept, Origin", "*"] {
        let mut app = App::with(layer());
        let mut answer = head(None);
        answer.headers_mut().insert("vary", vary.parse().unwrap());
        app.inner.answer_next(answer);
        let _leader = app.send(from(Some(A), "")).await;
        let _other = app.send(from(Some(B), "")).await;
        assert_eq!(app.inner.calls(), 2, "{vary}");
    }
}

#[tokio::test]
async fn joiners_that_wait_for_the_leaders_head_get_what_later_ones_get() {
    let app = App::with(layer());
    let gate = app.inner.hold_next(head(Some(A)));
    let (leader, same, none, other) = tokio::join!(
        tower::Service::call(&mut app.service.clone(), from(Some(A), "")),
        tower::Service::call(&mut app.service.clone(), from(Some(A), "")),
        tower::Service::call(&mut app.service.clone(), from(None, "")),
        async {
            let other = tower::Service::call(&mut app.service.clone(), from(Some(B), ""));
            settle().await;
            app.inner.answer_next(head(Some(B)));
            gate.open();
            other.await
        },
    );
    let [leader, same, none, other] =
        [leader, same, none, other].map(|response| TestClient::new(response.unwrap()));
    assert_eq!(leader.header("x-session"), Some("of-the-leader"));
    assert!(is_readable(&same) && !is_readable(&none));
    assert_eq!((other.header(ALLOWED), app.inner.calls()), (Some(B), 2));
}

#[tokio::test]
async fn a_client_that_resumes_a_shared_stream_gets_what_a_joiner_gets() {
    let mut app = App::with(layer());
    let mut leader = open(&mut app, Some(A)).await;
    app.body().send("data: 1\n\n");
    leader.read_events(1).await;
    let id = leader.last_event_id();
    for (page, readable) in [(Some(A), true), (None, false), (Some(B), false)] {
        let again = app.send(from(page, &id)).await;
        assert_eq!(again.header("sse-resume"), Some("replay"));
        assert_eq!(is_readable(&again), readable, "{page:?}");
    }
}

#[tokio::test]
async fn a_takeover_of_a_shared_stream_says_nothing_of_its_first_client() {
    // With its position, or by joining.
    for comes_back in [true, false] {
        let mut app = App::with(layer());
        let mut leader = open(&mut app, Some(A)).await;
        app.body().send("id: a\ndata: 1\n\n");
        leader.read_events(1).await;
        let id = if comes_back { leader.last_event_id() } else { String::new() };
        app.body().fail();
        leader.read_to_end().await;
        app.inner.answer_next(head(None));
        let next = app.send(from(None, &id)).await;
        assert_eq!(next.header("sse-resume"), Some("takeover"));
        assert!(!is_readable(&next));
        let joiner = app.send(from(Some(A), "")).await;
        assert!(is_readable(&joiner), "what was kept is the first answer's");
    }
}

#[tokio::test(start_paused = true)]
async fn another_instance_says_as_little_of_it() {
    for durability in [Durability::WriteBehind, Durability::CommitFirst] {
        let store = MemoryStore::new();
        let start = || {
            let persistence = Persistence::with_secret(store.clone(), SECRET);
            App::with(layer().store(persistence.durability(durability)))
        };
        let (mut one, mut two) = (start(), start());
        let mut leader = open(&mut one, Some(A)).await;
        one.body().send("data: 1\n\n");
        leader.read_events(1).await;
        let id = leader.last_event_id();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for (page, readable) in [(Some(A), true), (None, false), (Some(B), false)] {
            let again = two.send(from(page, &id)).await;
            assert_eq!(again.header("sse-resume"), Some("replay"));
            assert_eq!(is_readable(&again), readable, "{page:?}");
        }
        // A stream that pages of one origin have to themselves is theirs there, too.
        let mut own = open(&mut one, Some(B)).await;
        one.body().send("data: 1\n\n");
        own.read_events(1).await;
        let id = own.last_event_id();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for (page, came_about) in [(Some(B), "replay"), (Some(A), "gap"), (None, "gap")] {
            let again = two.send(from(page, &id)).await;
            assert_eq!(again.header("sse-resume"), Some(came_about), "{page:?}");
        }
        drop((one, two));
    }
}

#[tokio::test]
async fn a_stream_of_one_client_keeps_its_session_and_no_cookie_that_somebody_asked_to_keep() {
    let layer = SseResumeLayer::new()
        .session_header(HeaderName::from_static("x-session"))
        .keep_headers(["x-mine", "set-cookie", "set-cookie2"].map(HeaderName::from_static));
    let mut app = App::with(layer);
    let mut first = open(&mut app, Some(A)).await;
    app.body().send("data: 1\n\n");
    first.read_events(1).await;
    let again = with(from(Some(A), &first.last_event_id()), "x-session", "of-the-leader");
    let again = app.send(again).await;
    assert_eq!(again.header("sse-resume"), Some("replay"));
    assert_eq!(again.header("x-session"), Some("of-the-leader"));
    assert_eq!((again.header(ALLOWED), again.header("set-cookie")), (Some(A), None));
}
