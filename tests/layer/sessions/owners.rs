//! Whose a session is.

use ::http::Method;
use bytes::Bytes;
use tokio::time::sleep;
use tower_sse_resume::store::{ErrorKind, Key, MemoryStore};
use tower_sse_resume::{SessionHandle, Sessions, SseResumeLayer};

use super::broken::Breakable;
use super::lives::{IDLE, access, handle, layer, stored};
use support::app::with;
use support::{App, request, settle};

async fn is_not_there(session: &SessionHandle) {
    let none = ErrorKind::NotFound;
    assert_eq!(session.info().await.unwrap_err().kind(), none);
    assert_eq!(session.get("x").await.unwrap_err().kind(), none);
    assert_eq!(session.set("x", "bob's").await.unwrap_err().kind(), none);
    assert_eq!(session.remove("x").await.unwrap_err().kind(), none);
    let set = session.compare_and_set("x", Some("ada's".into()), None).await;
    assert_eq!(set.unwrap_err().kind(), none);
    assert!(!session.end().await.unwrap());
}

#[tokio::test]
async fn another_owner_gets_the_answers_for_a_session_that_is_not_there() {
    let mut app = App::with(layer(MemoryStore::new()));
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    session.set("x", "ada's").await.unwrap();
    for stranger in ["bob", "", "Ada"] {
        is_not_there(&handle(&mut app, session.name(), stranger).await).await;
        is_not_there(&handle(&mut app, "never made", stranger).await).await;
    }
    // Nor does one without any.
    app.send(with(request(Method::GET, ""), "session", session.name())).await;
    let extensions = app.inner.call(app.inner.calls() - 1).extensions;
    is_not_there(extensions.get::<SessionHandle>().unwrap()).await;
    let again = handle(&mut app, session.name(), "ada").await;
    assert_eq!(again.get("x").await.unwrap(), Some(Bytes::from("ada's")));
}

#[tokio::test(start_paused = true)]
async fn another_owner_does_not_keep_a_session_alive() {
    let store = Breakable::default();
    let mut app = App::with(layer(store.clone()));
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    let id = store.all().await.remove(0).id;
    let request = with(request(Method::GET, ""), "session", session.name());
    let _reads = app.send(with(request, "authorization", "bob")).await;
    sleep(IDLE / 2).await;
    handle(&mut app, session.name(), "bob").await;
    settle().await;
    assert_eq!((store.idle_for(&id).await, store.touches()), (IDLE / 2, 0));
    sleep(IDLE).await;
    assert_eq!(session.info().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_session_without_an_owner_is_for_whoever_knows_its_name() {
    let mut app = App::with(layer(MemoryStore::new()));
    app.send(request(Method::GET, "")).await;
    let extensions = app.inner.call(0).extensions;
    let access = extensions.get::<tower_sse_resume::SessionAccess>().unwrap();
    let session = access.create("").await.unwrap();
    assert_eq!((access.owner(), session.info().await.unwrap().owner), (None, None));
    handle(&mut app, session.name(), "ada").await.set("x", "1").await.unwrap();
    assert_eq!(session.get("x").await.unwrap(), Some(Bytes::from("1")));
}

#[tokio::test]
async fn a_login_makes_a_session_for_who_has_just_become_known() {
    let mut app = App::with(layer(MemoryStore::new()));
    let access = access(&mut app, "").await;
    let session = access.owned_by("ada").create("").await.unwrap();
    let hers = handle(&mut app, session.name(), "ada").await;
    let owner = hers.info().await.unwrap().owner;
    assert_eq!(owner, access.owned_by("ada").owner());
    is_not_there(&handle(&mut app, session.name(), "").await).await;
}

#[tokio::test]
async fn a_name_is_given_once() {
    let mut app = App::with(layer(MemoryStore::new()));
    let ada = access(&mut app, "ada").await;
    ada.create_named("given-by-a-server", "").await.unwrap();
    for owner in [ada, access(&mut app, "bob").await] {
        let again = owner.create_named("given-by-a-server", "").await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[tokio::test]
async fn the_store_sees_neither_names_nor_credentials() {
    let store = Breakable::default();
    let mut app = App::with(layer(store.clone()));
    let session = access(&mut app, "Bearer secret").await.create("told").await.unwrap();
    let [kept] = &store.all().await[..] else { panic!("one session") };
    let (id, owner) = (&kept.id, kept.owner.as_ref().unwrap());
    assert_eq!((id.as_bytes().len(), owner.as_bytes().len()), (32, 32));
    assert_ne!(id, owner);
    assert_eq!(kept.metadata, "told");
    let shown = format!("{session:?} {:?}", session.info().await.unwrap());
    assert!(!shown.contains(session.name()) && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn with_the_same_secret_a_session_outlives_a_restart_and_with_another_one_it_does_not() {
    let store = MemoryStore::new();
    let instance = |secret| {
        let sessions = Sessions::new(store.clone());
        let layer = SseResumeLayer::new().secret([secret; 32]).sessions(sessions);
        App::with(layer.session_header("session".parse().unwrap()))
    };
    let mut app = instance(1);
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    let name = session.name().to_owned();
    drop((app, session));
    handle(&mut instance(1), &name, "ada").await.info().await.unwrap();
    is_not_there(&handle(&mut instance(2), &name, "ada").await).await;
}

#[tokio::test]
async fn names_and_values_that_no_store_could_hold_are_refused_before_it_is_asked() {
    let mut app = App::with(layer(MemoryStore::new()));
    let access = access(&mut app, "ada").await;
    let session = access.create("").await.unwrap();
    let large = vec![0; 64 * 1024 + 1];
    for name in ["", &"x".repeat(Key::MAX_LEN + 1)] {
        assert_eq!(session.set(name, "1").await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(session.get(name).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }
    let refused = session.set("x", large.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitReached);
    assert_eq!(access.create(large.clone()).await.unwrap_err().kind(), ErrorKind::LimitReached);
    session.set("x", large[1..].to_vec()).await.unwrap();
    assert_eq!(stored(&app).count().await.unwrap(), 1);
}
