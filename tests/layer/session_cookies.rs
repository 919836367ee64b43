//! A session, or an owner, that is named by a cookie which the first response sets.

use http::{Method, Response};
use support::app::{App, TestClient, request, with};
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{Limits, Persistence, SseResumeLayer};

const SECRET: [u8; 32] = [7; 32];

fn layer() -> SseResumeLayer {
    SseResumeLayer::new().session_cookie("sid")
}

fn sets(cookies: &[&str]) -> Response<()> {
    let head = Response::builder().header("content-type", "text/event-stream");
    cookies.iter().fold(head, |head, cookie| head.header("set-cookie", *cookie)).body(()).unwrap()
}

async fn get(app: &mut App, cookie: &str, id: &str) -> TestClient {
    let get = request(Method::GET, id);
    app.send(if cookie.is_empty() { get } else { with(get, "cookie", cookie) }).await
}

/// A stream that began with this cookie, and whose response set those.
async fn begin(app: &mut App, cookie: &str, set: &[&str]) -> String {
    app.inner.answer_next(sets(set));
    let mut client = get(app, cookie, "").await;
    let sent = client.headers.get_all("set-cookie").iter().count();
    assert_eq!(sent, set.len(), "the client gets them");
    app.body().send("data: 1\n\n");
    client.read_events(1).await;
    client.last_event_id()
}

/// Whether a client with this cookie resumes.
async fn resumes(app: &mut App, cookie: &str, id: &str) -> bool {
    let client = get(app, cookie, id).await;
    client.header("sse-resume") == Some("replay")
}

#[tokio::test]
async fn a_stream_is_bound_to_the_cookie_that_its_first_response_sets() {
    for set in [
        &["sid=one"][..],
        &["sid=one; Path=/; HttpOnly; SameSite=Lax"],
        &["SID=two", "sid=one; Secure", "xsid=three"],
        &["sid=zero", "sid=one"],
        &[" sid = one ;Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        &["sid=one; Expires=Thu, 01 Jan 2099 00:00:00 GMT"],
        &["sid=one; Max-Age=0; max-age=60"],
        &["sid=one; Max-Age=soon"],
        &["sid=one; Expires=never"],
        // The one of another path goes.
        &["sid=one", "sid=; Max-Age=0; Path=/old"],
        &["sid=; Max-Age=0", "sid=one"],
    ] {
        let mut app = App::with(layer());
        let id = begin(&mut app, "", set).await;
        assert!(resumes(&mut app, "sid=one", &id).await, "{set:?}");
        assert!(resumes(&mut app, "a=b; sid=one", &id).await, "{set:?}");
        for other in ["", "sid=", "sid=two", "sid=zero", "sid=three", "xsid=one", "sid=on"] {
            assert!(!resumes(&mut app, other, &id).await, "{set:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_that_is_deleted_names_no_session() {
    for set in [
        "sid=one; Max-Age=0",
        "sid=one; max-age=-1",
        "sid=one; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "sid=one; expires=Thursday, 01-Jan-70 00:00:00 GMT",
        "sid=one; Expires=Thu Jan  1 00:00:01 1970",
        "sid=one; Max-Age=60; Max-Age=0",
        "sid=; Path=/",
        "sid=",
        "sid",
        "=one",
        "one",
        "",
    ] {
        let mut app = App::with(layer());
        let id = begin(&mut app, "", &[set]).await;
        assert!(resumes(&mut app, "", &id).await, "{set}");
        assert!(!resumes(&mut app, "sid=one", &id).await, "{set}");
        // What the request has named stays.
        let id = begin(&mut app, "sid=old", &[set]).await;
        assert!(resumes(&mut app, "sid=old", &id).await, "{set}");
        assert!(!resumes(&mut app, "", &id).await, "{set}");
    }
}

#[tokio::test]
async fn a_cookie_that_is_renewed_is_the_one_that_its_client_comes_back_with() {
    let mut app = App::with(layer());
    let id = begin(&mut app, "sid=old", &["sid=new"]).await;
    assert!(resumes(&mut app, "sid=new", &id).await);
    assert!(!resumes(&mut app, "sid=old", &id).await);
}

#[tokio::test]
async fn an_empty_cookie_names_no_session() {
    let mut app = App::with(layer());
    let id = begin(&mut app, "sid=", &[]).await;
    assert!(resumes(&mut app, "", &id).await && resumes(&mut app, "sid=", &id).await);
}

#[tokio::test]
async fn an_owner_that_the_first_response_names_is_bound_too() {
    let mut app = App::with(SseResumeLayer::new().owner_cookie("user"));
    let id = begin(&mut app, "", &["user=ada; Path=/"]).await;
    assert!(resumes(&mut app, "user=ada", &id).await);
    assert!(!resumes(&mut app, "user=bob", &id).await && !resumes(&mut app, "", &id).await);
}

#[tokio::test(start_paused = true)]
async fn other_instances_know_the_cookie_that_was_set() {
    let store = MemoryStore::new();
    let start = || App::with(layer().store(Persistence::with_secret(store.clone(), SECRET)));
    let (mut one, mut two) = (start(), start());
    let id = begin(&mut one, "", &["sid=one; Path=/"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!resumes(&mut two, "", &id).await && !resumes(&mut two, "sid=two", &id).await);
    assert!(resumes(&mut two, "sid=one", &id).await);
}

#[tokio::test]
async fn streams_of_a_session_that_responses_named_are_counted_and_purged_as_its_own() {
    let mut app = App::with(layer().limits(Limits::new().streams_per_session(1)));
    app.inner.answer_next(sets(&["sid=one"]));
    let _first = get(&mut app, "", "").await;
    let second = get(&mut app, "sid=one", "").await;
    assert_eq!(second.header("sse-resume"), Some("off"), "the session has no room");
    let other = get(&mut app, "sid=two", "").await;
    assert_eq!(other.header("sse-resume"), Some("fresh"));
    assert_eq!(app.handle.purge_session("one"), 1);
}
