//! Over HTTP, with axum.

use std::sync::{Arc, Mutex};

use ::http::{Request, StatusCode};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tower_sse_resume::store::{Error, ErrorKind, MemoryStore, SessionStore};
use tower_sse_resume::{LayerHandle, SessionAccess, SessionHandle, Sessions, SseResumeLayer};

use super::broken::Breakable;
use support::client::{Client, End};
use support::scripted::Feed;

type Feeds = Arc<Mutex<Vec<Feed>>>;

/// How many count at the same time.
const COUNTING: usize = 4;

/// What handlers share.
#[derive(Clone)]
struct Shared {
    feeds: Feeds,
    counting: Arc<Barrier>,
}

/// What a handler answers where the store, or a session, is not there.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::LimitReached => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, self.0.to_string()).into_response()
    }
}

async fn begin(access: Extension<SessionAccess>, metadata: Bytes) -> Result<String, Failed> {
    Ok(access.create(metadata).await?.name().to_owned())
}

async fn end(session: Extension<SessionHandle>) -> Result<String, Failed> {
    Ok(session.end().await?.to_string())
}

async fn metadata(session: Extension<SessionHandle>) -> Result<Bytes, Failed> {
    Ok(session.info().await?.metadata)
}

async fn value(session: Extension<SessionHandle>, name: Path<String>) -> Result<Bytes, Failed> {
    Ok(session.get(&name).await?.unwrap_or("none".into()))
}

async fn set(
    session: Extension<SessionHandle>,
    name: Path<String>,
    value: Bytes,
) -> Result<(), Failed> {
    Ok(session.set(&name, value).await?)
}

async fn remove(session: Extension<SessionHandle>, name: Path<String>) -> Result<(), Failed> {
    Ok(session.remove(&name).await?)
}

/// Adds ten, one by one, at the same time as others; says how often somebody else was quicker.
async fn count(
    State(shared): State<Shared>,
    session: Extension<SessionHandle>,
) -> Result<String, Failed> {
    let (mut added, mut lost) = (0, 0);
    shared.counting.wait().await;
    while added < 10 {
        let before = session.get("count").await?;
        let text = before.as_deref().map_or("0", |text| std::str::from_utf8(text).unwrap());
        let after = (text.parse::<u64>().unwrap() + 1).to_string();
        // Somebody else has its turn between the two.
        tokio::task::yield_now().await;
        if session.compare_and_set("count", before, Some(after.into())).await? {
            added += 1;
        } else {
            lost += 1;
        }
    }
    Ok(lost.to_string())
}

/// An event stream that the test feeds.
async fn events(State(shared): State<Shared>) -> Response {
    let feed = Feed::default();
    shared.feeds.lock().unwrap().push(feed.clone());
    let body = Body::new(feed.reading_end());
    ([("content-type", "text/event-stream")], body).into_response()
}

/// Which of the two a handler has.
async fn extensions(
    access: Option<Extension<SessionAccess>>,
    session: Option<Extension<SessionHandle>>,
) -> String {
    format!("{} {}", access.is_some(), session.is_some())
}

/// An application that is served.
struct Server {
    url: String,
    client: Connections<HttpConnector, Full<Bytes>>,
    feeds: Feeds,
    handle: LayerHandle,
}

impl Server {
    async fn start(store: impl SessionStore + 'static) -> Self {
        Self::with(SseResumeLayer::new().sessions(Sessions::new(store))).await
    }

    async fn with(layer: SseResumeLayer) -> Self {
        let layer = layer.session_header("session".parse().unwrap());
        let (feeds, handle) = (Feeds::default(), layer.handle());
        let counting = Arc::new(Barrier::new(COUNTING));
        let app = Router::new()
            .route("/session", post(begin).get(metadata).delete(end))
            .route("/values/{name}", get(value).put(set).delete(remove))
            .route("/count", post(count))
            .route("/events", get(events))
            .route("/extensions", get(extensions).post(extensions))
            .layer(layer)
            .with_state(Shared { feeds: Arc::clone(&feeds), counting });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        let client = Connections::builder(TokioExecutor::new()).build_http();
        Self { url, client, feeds, handle }
    }

    /// A request of a session, if that is named, and an owner.
    async fn send(&self, ask: &str, who: [&str; 2], body: &str) -> Response<Incoming> {
        let (method, path) = ask.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in ["session", "authorization"].into_iter().zip(who) {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let body = Full::from(body.to_owned());
        self.client.request(request.body(body).unwrap()).await.unwrap()
    }

    /// The status and the body of the answer.
    async fn ask(&self, ask: &str, who: [&str; 2], body: &str) -> (u16, String) {
        let (parts, body) = self.send(ask, who, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    async fn begin(&self, owner: &str) -> String {
        let (status, name) = self.ask("POST /session", ["", owner], "made by a test").await;
        assert_eq!(status, 200, "{name}");
        name
    }

    /// An event stream whose client has one event.
    async fn open(&self, who: [&str; 2]) -> (Client<Incoming>, Feed) {
        let mut client = Client::new(self.send("GET /events", who, "").await);
        let feed = self.feeds.lock().unwrap().last().unwrap().clone();
        feed.send("data: 1\n\n");
        client.read_events(1).await;
        (client, feed)
    }
}

/// Has a second event sent, which the client gets.
async fn goes_on(client: &mut Client<Incoming>, feed: &Feed) {
    feed.send("data: 2\n\n");
    client.read_events(2).await;
    assert_eq!(client.data(), ["1", "2"]);
    assert_eq!(client.end, End::Open);
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

#[tokio::test]
async fn a_session_has_a_uuid_of_version_7_and_each_request_that_names_it_has_its_state() {
    let server = Server::start(MemoryStore::new()).await;
    let name = server.begin("").await;
    let shape: String = name.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    assert!(name[14..].starts_with('7') && "89ab".contains(&name[19..20]), "{name}");
    let who = [&*name, ""];
    assert_eq!(server.ask("GET /session", who, "").await, ok("made by a test"));
    assert_eq!(server.ask("PUT /values/colour", who, "blue").await, ok(""));
    assert_eq!(server.ask("GET /values/colour", who, "").await, ok("blue"));
    assert_eq!(server.ask("GET /values/shape", who, "").await, ok("none"));
    assert_eq!(server.ask("DELETE /values/colour", who, "").await, ok(""));
    assert_eq!(server.ask("GET /values/colour", who, "").await, ok("none"));
}

#[tokio::test]
async fn all_requests_have_access_and_those_that_name_a_session_its_handle() {
    let server = Server::start(MemoryStore::new()).await;
    for method in ["GET", "POST"] {
        let ask = format!("{method} /extensions");
        assert_eq!(server.ask(&ask, ["", ""], "").await, ok("true false"));
        assert_eq!(server.ask(&ask, ["any", ""], "").await, ok("true true"));
    }
    let server = Server::with(SseResumeLayer::new()).await;
    assert_eq!(server.ask("GET /extensions", ["any", ""], "").await, ok("false false"));
    assert!(server.handle.stored_sessions().is_none());
}

#[tokio::test]
async fn of_handlers_that_compare_and_set_at_the_same_time_each_counts() {
    let server = Server::start(MemoryStore::new()).await;
    let name = server.begin("").await;
    let count = || server.ask("POST /count", [&name, ""], "");
    let answers = join_all((0..COUNTING).map(|_| count())).await;
    assert_eq!(server.ask("GET /values/count", [&name, ""], "").await, ok("40"));
    let lost: u64 = answers.iter().map(|(_, lost)| lost.parse::<u64>().unwrap()).sum();
    assert!(lost > 0, "they did not meet");
}

#[tokio::test]
async fn at_the_cap_no_session_is_made_until_one_ends() {
    let sessions = Sessions::new(MemoryStore::new()).most(2);
    let server = Server::with(SseResumeLayer::new().sessions(sessions)).await;
    let names = [server.begin("").await, server.begin("").await];
    assert_eq!(server.ask("POST /session", ["", ""], "").await.0, 507);
    assert_eq!(server.ask("DELETE /session", [&names[0], ""], "").await, ok("true"));
    server.begin("").await;
    assert_eq!(server.ask("POST /session", ["", ""], "").await.0, 507);
}

#[tokio::test]
async fn the_end_of_a_session_breaks_its_responses_off_and_drops_their_inner_bodies() {
    let server = Server::start(MemoryStore::new()).await;
    let (name, other) = (server.begin("ada").await, server.begin("ada").await);
    let (mut first, first_feed) = server.open([&name, "ada"]).await;
    let (mut second, second_feed) = server.open([&name, "ada"]).await;
    let (mut elsewhere, feed) = server.open([&other, "ada"]).await;
    assert_eq!(server.ask("DELETE /session", [&name, "ada"], "").await, ok("true"));
    for (client, feed) in [(&mut first, first_feed), (&mut second, second_feed)] {
        client.read_to_end().await;
        assert!(client.is_broken(), "{:?}", client.end);
        feed.dropped().await;
    }
    assert_eq!(server.ask("GET /session", [&name, "ada"], "").await.0, 404);
    assert_eq!(server.ask("DELETE /session", [&name, "ada"], "").await, ok("false"));
    goes_on(&mut elsewhere, &feed).await;
}

#[tokio::test]
async fn another_owner_cannot_end_a_session_nor_its_streams() {
    let server = Server::start(MemoryStore::new()).await;
    let name = server.begin("ada").await;
    let (mut ada, feed) = server.open([&name, "ada"]).await;
    let (mut bob, bobs) = server.open([&name, "bob"]).await;
    assert_eq!(server.ask("DELETE /session", [&name, "bob"], "").await, ok("false"));
    // Bob's own streams that name it were his to end.
    bob.read_to_end().await;
    bobs.dropped().await;
    goes_on(&mut ada, &feed).await;
    assert_eq!(server.ask("GET /session", [&name, "ada"], "").await, ok("made by a test"));
    let (mut bob, bobs) = server.open([&name, "bob"]).await;
    assert_eq!(server.ask("DELETE /session", [&name, "ada"], "").await, ok("true"));
    ada.read_to_end().await;
    feed.dropped().await;
    goes_on(&mut bob, &bobs).await;
}

#[tokio::test]
async fn a_store_that_fails_breaks_no_response_and_is_used_again_when_it_is_back() {
    let store = Breakable::default();
    let server = Server::start(store.clone()).await;
    let name = server.begin("").await;
    let (mut before, feed) = server.open([&name, ""]).await;
    store.fail();
    feed.send("data: 2\n\n");
    before.read_events(2).await;
    let (mut during, _) = server.open([&name, ""]).await;
    assert_eq!(server.ask("GET /values/x", [&name, ""], "").await.0, 503);
    assert_eq!(server.ask("POST /session", ["", ""], "").await.0, 503);
    let sessions = server.handle.stored_sessions().unwrap();
    assert_eq!(sessions.expire().await.unwrap_err().kind(), ErrorKind::Unreachable);
    store.recover();
    assert_eq!(server.ask("PUT /values/x", [&name, ""], "1").await, ok(""));
    assert_eq!(server.ask("GET /values/x", [&name, ""], "").await, ok("1"));
    feed.send("data: 3\n\n");
    before.read_events(3).await;
    during.read();
    assert_eq!((before.end, during.end), (End::Open, End::Open));
}

#[tokio::test]
async fn a_session_that_cannot_be_removed_loses_its_streams_all_the_same() {
    let store = Breakable::default();
    let server = Server::start(store.clone()).await;
    let name = server.begin("").await;
    let (mut client, feed) = server.open([&name, ""]).await;
    store.fail();
    assert_eq!(server.ask("DELETE /session", [&name, ""], "").await.0, 503);
    client.read_to_end().await;
    feed.dropped().await;
    assert_eq!(server.handle.stats().streams, 0);
    store.recover();
    assert_eq!(server.ask("DELETE /session", [&name, ""], "").await, ok("true"));
}

#[tokio::test]
async fn no_response_waits_for_a_store_that_never_answers() {
    let store = Breakable::default();
    let server = Server::start(store.clone()).await;
    let name = server.begin("").await;
    store.hang();
    let (mut client, feed) = server.open([&name, ""]).await;
    store.asked().await;
    feed.send("data: 2\n\n");
    client.read_events(2).await;
    assert_eq!(server.ask("POST /extensions", [&name, ""], "").await, ok("true true"));
}
