//! How long a session lives, and what goes with it. Time is Tokio's, and stands still until nothing is left to do.

use std::time::Duration;

use ::http::Method;
use tokio::time::sleep;
use tower_sse_resume::store::{ErrorKind, MemoryStore, SessionStore};
use tower_sse_resume::{
    Persistence, Retention, SessionAccess, SessionHandle, Sessions, SseResumeLayer, StoredSessions,
};

use super::broken::Breakable;
use support::app::with;
use support::{App, TestClient, request, settle, status};

pub(crate) const IDLE: Duration = Duration::from_secs(80);
/// How often the layer looks after its sessions.
const TICK: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(100_000);

/// A layer that keeps its streams long, and its sessions in this store.
pub(crate) fn layer(store: impl SessionStore + 'static) -> SseResumeLayer {
    SseResumeLayer::new()
        .session_header("session".parse().unwrap())
        .retention(Retention::new().age(LONG))
        .linger(LONG)
        .sessions(Sessions::new(store).idle(IDLE))
}

/// What a handler is given for a request that is no event stream.
pub(crate) async fn access(app: &mut App, owner: &str) -> SessionAccess {
    app.inner.answer_next(status(::http::StatusCode::OK));
    app.send(with(request(Method::POST, ""), "authorization", owner)).await;
    app.inner.call(app.inner.calls() - 1).extensions.get::<SessionAccess>().unwrap().clone()
}

/// The same for one that names a session.
pub(crate) async fn handle(app: &mut App, session: &str, owner: &str) -> SessionHandle {
    app.inner.answer_next(status(::http::StatusCode::OK));
    let request = with(request(Method::POST, ""), "session", session);
    app.send(with(request, "authorization", owner)).await;
    app.inner.call(app.inner.calls() - 1).extensions.get::<SessionHandle>().unwrap().clone()
}

/// An event stream of a session, with one event.
pub(crate) async fn open(app: &mut App, session: &str, owner: &str) -> TestClient {
    let request = with(request(Method::GET, ""), "session", session);
    let mut client = app.send(with(request, "authorization", owner)).await;
    app.body().send("data: 1\n\n");
    client.read_events(1).await;
    client
}

pub(crate) fn stored(app: &App) -> StoredSessions {
    app.handle.stored_sessions().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_uses_expires_and_its_streams_with_it() {
    let mut app = App::with(layer(MemoryStore::new()));
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    drop(open(&mut app, session.name(), "ada").await);
    let body = app.body();
    sleep(IDLE).await;
    session.set("x", "1").await.unwrap();
    assert!(!body.is_dropped());
    sleep(IDLE / 8).await;
    assert_eq!(session.get("x").await.unwrap_err().kind(), ErrorKind::NotFound);
    // The layer sees to the rest by itself.
    sleep(TICK).await;
    settle().await;
    assert!(body.is_dropped());
    assert_eq!((stored(&app).count().await.unwrap(), app.handle.stats().streams), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn expired_sessions_make_room_at_the_cap() {
    let sessions = Sessions::new(MemoryStore::new()).idle(LONG).most(1);
    let mut app = App::with(layer(MemoryStore::new()).sessions(sessions));
    let access = access(&mut app, "").await;
    let first = access.create("").await.unwrap();
    assert_eq!(access.create("").await.unwrap_err().kind(), ErrorKind::LimitReached);
    tokio::time::advance(LONG * 2).await;
    let second = access.create("").await.unwrap();
    assert_eq!(first.info().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_ne!(first.name(), second.name());
}

#[tokio::test(start_paused = true)]
async fn each_request_uses_its_session_and_that_is_noted_once_in_an_eighth_of_the_idle_time() {
    let store = Breakable::default();
    let mut app = App::with(layer(store.clone()));
    let session = access(&mut app, "").await.create("").await.unwrap();
    for n in 1..=30 {
        for _ in 0..10 {
            handle(&mut app, session.name(), "").await.info().await.unwrap();
        }
        settle().await;
        assert_eq!(store.touches(), n);
        sleep(IDLE / 8).await;
    }
    let info = session.info().await.unwrap();
    let since = info.last_active.duration_since(info.created).unwrap();
    assert_eq!(since, IDLE * 29 / 8);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_uses_its_session() {
    let mut app = App::with(layer(MemoryStore::new()));
    let session = access(&mut app, "").await.create("").await.unwrap();
    let mut client = open(&mut app, session.name(), "").await;
    sleep(IDLE * 5).await;
    app.body().send("data: 2\n\n");
    client.read_events(2).await;
    assert_eq!(session.info().await.unwrap().streams, 1);
    drop(client);
    let body = app.body();
    sleep(IDLE * 2).await;
    settle().await;
    assert!(body.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_at_another_instance_loses_its_streams_here() {
    let store = MemoryStore::new();
    let instance = || {
        App::with(
            layer(store.clone()).secret([7; 32]).sessions(Sessions::new(store.clone()).idle(IDLE)),
        )
    };
    let (mut here, mut there) = (instance(), instance());
    let name = access(&mut there, "ada").await.create("").await.unwrap().name().to_owned();
    let mut client = open(&mut here, &name, "ada").await;
    // Somebody else has only the name.
    let mut bob = open(&mut here, &name, "bob").await;
    // Until the layer has looked, it cannot know that the session ever was in the store.
    settle().await;
    assert!(handle(&mut there, &name, "ada").await.end().await.unwrap());
    client.read_to_end().await;
    assert!(client.is_broken());
    bob.read();
    assert!(!bob.is_broken());
}

#[tokio::test(start_paused = true)]
async fn streams_whose_session_was_never_in_the_store_are_left_alone() {
    let mut app = App::with(layer(MemoryStore::new()));
    let mut client = open(&mut app, "of-another-making", "").await;
    sleep(IDLE * 5).await;
    app.body().send("data: 2\n\n");
    client.read_events(2).await;
    assert_eq!(client.data(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_shorter_than_the_idle_time_ends_no_session() {
    let store = Breakable::default();
    let mut app = App::with(layer(store.clone()));
    let session = access(&mut app, "").await.create("").await.unwrap();
    let mut client = open(&mut app, session.name(), "").await;
    sleep(IDLE * 2).await;
    store.fail();
    sleep(IDLE * 3 / 4).await;
    store.recover();
    sleep(IDLE * 2).await;
    app.body().send("data: 2\n\n");
    client.read_events(2).await;
    session.info().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_layer_takes_its_store_with_it() {
    let store = Breakable::default();
    let mut app = App::with(layer(store.clone()));
    access(&mut app, "").await.create("").await.unwrap();
    assert!(store.is_shared());
    drop(app);
    settle().await;
    assert!(!store.is_shared());
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_session_that_is_gone_are_gone_from_the_store_too() {
    for is_ended in [true, false] {
        let store = MemoryStore::new();
        let instance = || {
            let streams = Persistence::with_secret(store.clone(), [7; 32]);
            App::with(layer(store.clone()).store(streams))
        };
        let (mut here, mut there) = (instance(), instance());
        let access = access(&mut here, "ada").await;
        let gone = access.create("").await.unwrap();
        let stays = access.create("").await.unwrap();
        let first = open(&mut here, gone.name(), "ada").await;
        let reads = open(&mut here, stays.name(), "ada").await;
        let (gones, stayings) = (first.last_event_id(), reads.last_event_id());
        sleep(TICK).await;
        if is_ended {
            assert!(gone.end().await.unwrap());
        } else {
            drop(first);
            sleep(IDLE * 2).await;
        }
        sleep(TICK).await;
        for (session, id, answer) in [(gone, gones, "gap"), (stays, stayings, "replay")] {
            let request = with(request(Method::GET, &id), "session", session.name());
            let client = there.send(with(request, "authorization", "ada")).await;
            assert_eq!(client.header("sse-resume"), Some(answer));
        }
    }
}
