//! What operators see and do of sessions.

use std::time::Duration;

use ::http::Method;
use bytes::Bytes;
use tokio::time::sleep;
use tower_sse_resume::store::{Key, MemoryStore, NewSession, SessionStore};
use tower_sse_resume::{Persistence, SessionId};

use super::lives::{IDLE, access, layer, open, stored};
use support::app::with;
use support::{App, request, settle};

#[tokio::test]
async fn pages_of_sessions_are_in_order_and_have_each_session_once() {
    let store = MemoryStore::new();
    let mut app = App::with(layer(store.clone()));
    let access = access(&mut app, "ada").await;
    for n in 0..7 {
        access.create(n.to_string()).await.unwrap();
    }
    // What somebody else keeps there is none of the layer's.
    for name in ["", "0", "zzz"] {
        let new = NewSession { owner: None, metadata: Bytes::new(), idle: IDLE };
        let id = Key::new(format!("{name}another's")).unwrap();
        store.create_session(&id, &new, 100).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None::<SessionId>);
    for expected in [3, 3, 1, 0] {
        let page = stored(&app).page(after, 3).await.unwrap();
        assert_eq!(page.len(), expected);
        assert!(page.iter().all(|session| session.owner == access.owner()));
        after = page.last().map(|session| session.id).or(after);
        seen.extend(page);
    }
    assert!(seen.is_sorted_by(|one, next| one.id < next.id));
    let mut metadata: Vec<_> = seen.iter().map(|session| session.metadata.clone()).collect();
    metadata.sort_unstable();
    assert_eq!(metadata, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(stored(&app).page(None, 0).await.unwrap(), []);
    assert_eq!(stored(&app).count().await.unwrap(), 10);
}

#[tokio::test]
async fn an_operator_ends_a_session_whoever_owns_it_with_all_its_streams() {
    let mut app = App::with(layer(MemoryStore::new()));
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    let (mut ada, body) = (open(&mut app, session.name(), "ada").await, app.body());
    let mut bob = open(&mut app, session.name(), "bob").await;
    let id = stored(&app).id_of(session.name());
    assert_eq!(stored(&app).get(id).await.unwrap().unwrap().streams, 2);
    assert_eq!(app.handle.sessions(None, 9)[0].id, id);
    assert!(stored(&app).delete(id).await.unwrap());
    for client in [&mut ada, &mut bob] {
        client.read_to_end().await;
        assert!(client.is_broken());
    }
    assert!(body.is_dropped());
    assert_eq!(stored(&app).get(id).await.unwrap(), None);
    assert!(!stored(&app).delete(id).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_have_expired_sessions_removed_at_once() {
    let mut app = App::with(layer(MemoryStore::new()));
    let session = access(&mut app, "ada").await.create("").await.unwrap();
    drop(open(&mut app, session.name(), "ada").await);
    let body = app.body();
    assert_eq!(stored(&app).expire().await.unwrap(), 0);
    tokio::time::advance(IDLE * 2).await;
    assert!(!body.is_dropped());
    assert_eq!(stored(&app).expire().await.unwrap(), 1);
    settle().await;
    assert!(body.is_dropped());
    sleep(IDLE).await;
    assert_eq!(stored(&app).count().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_operator_ends_a_session_at_whichever_instance_its_streams_are() {
    let store = MemoryStore::new();
    let instance = || {
        let streams = Persistence::with_secret(store.clone(), [7; 32]);
        App::with(layer(store.clone()).store(streams))
    };
    let (mut here, mut there) = (instance(), instance());
    let session = access(&mut here, "ada").await.create("").await.unwrap();
    let id = open(&mut here, session.name(), "ada").await.last_event_id();
    let moment = Duration::from_secs(1);
    sleep(moment).await;
    assert!(stored(&there).delete(session.id()).await.unwrap());
    // Long before the instance that has the stream looks after its sessions.
    sleep(moment).await;
    let request = with(request(Method::GET, &id), "session", session.name());
    let client = there.send(with(request, "authorization", "ada")).await;
    assert_eq!(client.header("sse-resume"), Some("gap"));
}
