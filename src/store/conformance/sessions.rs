//! Sessions and their state.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::given::{LONG, SHORT, eventually, key, refusal};
use crate::store::{ErrorKind, Key, NewSession, SessionStore};

fn new_session(idle: Duration) -> NewSession {
    NewSession { owner: None, metadata: Bytes::new(), idle }
}

async fn create(store: &impl SessionStore, name: &str) -> Key {
    let id = key(name.to_owned());
    store.create_session(&id, &new_session(LONG), u64::MAX).await.expect("created");
    id
}

async fn is_gone(store: &impl SessionStore, id: &Key) -> bool {
    store.session(id).await.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// With its owner, what is known of it, and its times.
pub async fn a_session_comes_back_as_it_was_created<S: SessionStore>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let metadata = Bytes::from((0..=255).collect::<Vec<u8>>());
    let new = NewSession { owner: Some(key("ada")), metadata, idle: LONG };
    store.create_session(&key("s"), &new, 10).await.expect("created");
    let session = elsewhere.session(&key("s")).await.expect("a session");
    assert_eq!((&session.id, &session.owner), (&key("s"), &new.owner));
    assert_eq!((&session.metadata, session.idle), (&new.metadata, LONG));
    assert!(session.age < LONG && session.idle_for <= session.age);
    create(&store, "anonymous").await;
    assert_eq!(store.session(&key("anonymous")).await.expect("a session").owner, None);
}

/// A name that is taken is refused, and what it names stays.
pub async fn a_session_is_created_once<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let id = create(&store, "s").await;
    store.set_value(&id, &key("v"), Some("kept".into())).await.expect("set");
    let again = store.create_session(&id, &new_session(LONG), 10).await;
    assert_eq!(refusal(again), ErrorKind::Refused);
    assert_eq!(store.value(&id, &key("v")).await.expect("a value").as_deref(), Some(&b"kept"[..]));
}

/// By any method.
pub async fn a_session_that_is_not_there_is_not_found<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (id, name) = (key("none"), key("v"));
    let none = ErrorKind::NotFound;
    assert_eq!(refusal(store.session(&id).await), none);
    assert_eq!(refusal(store.touch(&id).await), none);
    assert_eq!(refusal(store.value(&id, &name).await), none);
    assert_eq!(refusal(store.set_value(&id, &name, Some("x".into())).await), none);
    assert_eq!(refusal(store.set_value(&id, &name, None).await), none);
    assert_eq!(refusal(store.compare_and_set(&id, &name, None, Some("x".into())).await), none);
    assert!(!store.delete(&id).await.expect("an answer"));
    assert_eq!(store.count().await.expect("a count"), 0);
    assert!(store.list(None, 10).await.expect("a page").is_empty());
}

/// The cap is that of who creates.
pub async fn there_are_no_more_sessions_than_may_be<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    for name in ["a", "b"] {
        store.create_session(&key(name), &new_session(LONG), 2).await.expect("created");
    }
    let third = store.create_session(&key("c"), &new_session(LONG), 2).await;
    assert_eq!(refusal(third), ErrorKind::LimitReached);
    let known = store.create_session(&key("a"), &new_session(LONG), 2).await;
    assert_eq!(refusal(known), ErrorKind::Refused);
    assert!(store.delete(&key("a")).await.expect("an answer"));
    store.create_session(&key("c"), &new_session(LONG), 2).await.expect("created");
    assert_eq!(store.count().await.expect("a count"), 2);
}

/// Values are one session's own.
pub async fn values_are_set_replaced_and_removed<S: SessionStore>(open: impl AsyncFn() -> S) {
    let (store, elsewhere) = (open().await, open().await);
    let (one, other) = (create(&store, "one").await, create(&store, "other").await);
    let name = key("v");
    assert_eq!(store.value(&one, &name).await.expect("an answer"), None);
    for value in ["first", "second", ""] {
        store.set_value(&one, &name, Some(value.into())).await.expect("set");
        let read = elsewhere.value(&one, &name).await.expect("an answer");
        assert_eq!(read.as_deref(), Some(value.as_bytes()));
    }
    assert_eq!(store.value(&other, &name).await.expect("an answer"), None);
    for _ in 0..2 {
        store.set_value(&one, &name, None).await.expect("removed");
        assert_eq!(elsewhere.value(&one, &name).await.expect("an answer"), None);
    }
}

/// Absent, present, other; set and removed.
pub async fn a_value_is_set_only_if_it_is_the_expected_one<S: SessionStore>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let (id, name) = (create(&store, "s").await, key("v"));
    let bytes = |value: Option<&'static str>| value.map(Bytes::from);
    for (expected, value, is_set, then) in [
        (Some("x"), Some("a"), false, None),
        (None, Some("a"), true, Some("a")),
        (None, Some("b"), false, Some("a")),
        (Some("b"), Some("c"), false, Some("a")),
        (Some("a"), Some("b"), true, Some("b")),
        (Some("a"), None, false, Some("b")),
        (Some("b"), None, true, None),
        (None, None, true, None),
        (None, Some(""), true, Some("")),
        (None, Some("a"), false, Some("")),
    ] {
        let set = store.compare_and_set(&id, &name, bytes(expected), bytes(value)).await;
        assert_eq!(set.expect("an answer"), is_set, "{expected:?} to {value:?}");
        assert_eq!(store.value(&id, &name).await.expect("an answer"), bytes(then));
    }
}

/// A counter that eight raise at the same time misses nothing.
pub async fn of_eight_who_compare_and_set_one_succeeds<S: SessionStore + 'static>(
    open: impl AsyncFn() -> S,
) {
    let (id, name) = (create(&open().await, "s").await, key("counter"));
    let mut counting = JoinSet::new();
    for _ in 0..8 {
        let (store, id, name) = (open().await, id.clone(), name.clone());
        counting.spawn(async move {
            let mut raised = 0_u64;
            while raised < 10 {
                let before = store.value(&id, &name).await.expect("a value");
                let count = before.as_deref().map_or(0, |v| {
                    std::str::from_utf8(v).expect("digits").parse::<u64>().expect("digits")
                });
                let after = Some(Bytes::from((count + 1).to_string()));
                let set = store.compare_and_set(&id, &name, before, after).await;
                raised += u64::from(set.expect("an answer"));
            }
        });
    }
    counting.join_all().await;
    let counted = open().await.value(&id, &name).await.expect("a value");
    assert_eq!(counted.as_deref(), Some(&b"80"[..]));
}

/// Names of each single byte, 64 values of the largest size, and the longest names.
pub async fn names_and_values_may_have_any_bytes_and_the_full_length<S: SessionStore>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let names: Vec<Vec<u8>> =
        (0..=255).map(|byte| vec![byte]).chain([(0..128).collect(), vec![0xff; 128]]).collect();
    for name in &names {
        let id = key(name.clone());
        store.create_session(&id, &new_session(LONG), 1000).await.expect("created");
        store.set_value(&id, &id, Some(name.clone().into())).await.expect("set");
    }
    for name in &names {
        let id = key(name.clone());
        assert_eq!(store.session(&id).await.expect("a session").id, id);
        let value = store.value(&id, &id).await.expect("an answer");
        assert_eq!(value.as_deref(), Some(&name[..]));
    }
    let (id, large) = (key(names[0].clone()), Bytes::from(vec![0xff; 64 << 10]));
    for n in 0..64 {
        store.set_value(&id, &key(vec![1, n]), Some(large.clone())).await.expect("set");
    }
    for n in 0..64 {
        let value = store.value(&id, &key(vec![1, n])).await.expect("an answer");
        assert!(value.as_ref() == Some(&large));
    }
}

/// By their bytes; pages give each one once.
pub async fn sessions_are_listed_in_pages_in_the_order_of_their_names<S: SessionStore>(
    open: impl AsyncFn() -> S,
) {
    let store = open().await;
    let mut names: Vec<Key> =
        (0..25_u8).map(|n| key(vec![n.wrapping_mul(97), n % 3, 0xff - n])).collect();
    names.extend([key("a"), key("aa"), key("b"), key(vec![0]), key(vec![0xff; 128])]);
    for id in &names {
        store.create_session(id, &new_session(LONG), 1000).await.expect("created");
    }
    names.sort();
    assert_eq!(store.count().await.expect("a count"), names.len() as u64);
    let mut listed: Vec<Key> = Vec::new();
    loop {
        let page = store.list(listed.last(), 7).await.expect("a page");
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|session| session.id));
    }
    assert_eq!(listed, names);
}

/// By the store's clock; its name is free again, and its values are gone.
pub async fn an_idle_session_expires_with_its_state<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    create(&store, "stays").await;
    let id = key("s");
    store.create_session(&id, &new_session(SHORT), 10).await.expect("created");
    store.set_value(&id, &key("v"), Some("old".into())).await.expect("set");
    eventually("the expiry", async || is_gone(&store, &id).await).await;
    assert_eq!(refusal(store.touch(&id).await), ErrorKind::NotFound);
    assert_eq!(refusal(store.value(&id, &key("v")).await), ErrorKind::NotFound);
    let expired = store.expire().await.expect("an answer");
    assert!(expired.is_empty() || expired == [id.clone()]);
    eventually("the removal", async || {
        store.expire().await.expect("an answer");
        store.count().await.expect("a count") == 1
    })
    .await;
    create(&store, "s").await;
    assert_eq!(store.value(&id, &key("v")).await.expect("an answer"), None);
}

/// A session that is used lives on, past the time that it was given at first.
pub async fn a_touched_session_does_not_expire<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let id = key("s");
    let idle = Duration::from_secs(2);
    store.create_session(&id, &new_session(idle), 10).await.expect("created");
    eventually("an age above the idle time", async || {
        store.touch(&id).await.expect("touched");
        let session = store.session(&id).await.expect("a session");
        assert!(session.idle_for < idle);
        session.age > idle
    })
    .await;
    assert!(store.expire().await.expect("an answer").is_empty());
    store.session(&id).await.expect("a session");
}

/// Once.
pub async fn a_deleted_session_is_gone_with_its_state<S: SessionStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (id, stays) = (create(&store, "s").await, create(&store, "stays").await);
    store.set_value(&id, &key("v"), Some("x".into())).await.expect("set");
    store.set_value(&stays, &key("v"), Some("y".into())).await.expect("set");
    assert!(store.delete(&id).await.expect("an answer"));
    assert!(!store.delete(&id).await.expect("an answer"));
    assert!(is_gone(&store, &id).await);
    create(&store, "s").await;
    assert_eq!(store.value(&id, &key("v")).await.expect("an answer"), None);
    let other = store.value(&stays, &key("v")).await.expect("an answer");
    assert_eq!(other.as_deref(), Some(&b"y"[..]));
}
