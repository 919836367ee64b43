//! How many inner bodies may linger, and who leaves room to whom.

use std::sync::{Arc, Mutex};

use http::{Method, Request};
use support::app::with;
use support::{App, TestClient, request, settle};
use tower_sse_resume::{LimitKind, Limits, Observation, SseResumeLayer};

fn of(owner: Option<&str>) -> Request<()> {
    let request = request(Method::GET, "");
    match owner {
        Some(owner) => with(request, "authorization", owner),
        None => request,
    }
}

/// Begins a stream whose client has one event; call it by its number.
async fn begin(app: &mut App, owner: Option<&str>) -> TestClient {
    let mut client = app.send(of(owner)).await;
    app.body().send("data: 1\n\n");
    client.read();
    client
}

/// How many of `count` clients that are cut at once get what they missed, each once, from the same call.
async fn unharmed(app: &mut App, count: usize, owner: Option<&str>) -> usize {
    let mut ids = Vec::with_capacity(count);
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(begin(app, owner).await);
    }
    ids.extend(clients.iter().map(TestClient::last_event_id));
    drop(clients);
    for call in 0..count {
        app.inner.body(call).send("data: 2\n\n");
    }
    settle().await;
    let mut unharmed = 0;
    for id in ids {
        let mut again = of(owner);
        again.headers_mut().insert("last-event-id", id.parse().unwrap());
        let mut client = app.send(again).await;
        client.read();
        unharmed += usize::from(client.data() == ["2"] && client.gaps().is_empty());
    }
    unharmed
}

#[tokio::test(start_paused = true)]
async fn fifteen_hundred_clients_that_are_cut_at_once_lose_no_stream() {
    let mut app = App::new();
    assert_eq!(unharmed(&mut app, 1_500, None).await, 1_500);
    assert_eq!(app.inner.calls(), 1_500);
}

#[tokio::test(start_paused = true)]
async fn forty_streams_of_one_credential_that_are_cut_at_once_are_all_there() {
    let mut app = App::new();
    assert_eq!(unharmed(&mut app, 40, Some("Bearer fleet")).await, 40);
    assert_eq!(app.inner.calls(), 40);
}

#[tokio::test(start_paused = true)]
async fn requests_without_an_owner_leave_a_quarter_of_the_places_to_those_that_have_one() {
    let mut app = App::with(SseResumeLayer::new().limits(Limits::new().lingering(8)));
    for _ in 0..10 {
        drop(begin(&mut app, None).await);
    }
    assert_eq!(app.handle.stats().lingering, 6);
    for owner in ["a", "b", "c"] {
        drop(begin(&mut app, Some(owner)).await);
    }
    assert_eq!(app.handle.stats().lingering, 8);
    let is_dropped = |call| app.inner.body(call).is_dropped();
    assert!((0..6).chain(10..12).all(|call| !is_dropped(call)));
    assert!((6..10).chain(12..13).all(is_dropped));
}

#[tokio::test(start_paused = true)]
async fn those_that_have_an_owner_may_have_all_places() {
    let mut app = App::with(SseResumeLayer::new().limits(Limits::new().lingering(8)));
    for owner in 0..8 {
        drop(begin(&mut app, Some(&owner.to_string())).await);
    }
    assert_eq!(app.handle.stats().lingering, 8);
    drop(begin(&mut app, None).await);
    assert!(app.inner.body(8).is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_lingering_that_is_reached_is_observed_by_its_name() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&told);
    let layer = SseResumeLayer::new()
        .limits(Limits::new().lingering(2).lingering_per_owner(1))
        .observe(move |what| {
            if let Observation::LimitReached { limit } = what {
                note.lock().unwrap().push(*limit);
            }
        });
    let mut app = App::with(layer);
    let mut leave = async |owner| {
        drop(begin(&mut app, Some(owner)).await);
        std::mem::take(&mut *told.lock().unwrap())
    };
    assert_eq!(leave("a").await, []);
    assert_eq!(leave("a").await, [LimitKind::LingeringPerOwner]);
    assert_eq!(leave("b").await, []);
    assert_eq!(leave("c").await, [LimitKind::Lingering]);
    assert_eq!(LimitKind::LingeringPerOwner.as_str(), "lingering-per-owner");
}
