//! Requests that share one stream instead of calling the inner service each.

use http::{Method, Request, StatusCode};
use support::app::{App, request, with};
use support::scripted::status;
use tower::Service;
use tower_sse_resume::{Linger, SseResumeLayer, StartAt};

#[allow(clippy::unnecessary_wraps, reason = "what `share` takes")]
fn by_path(parts: &http::request::Parts) -> Option<String> {
    Some(parts.uri.path().to_owned())
}

fn app() -> App {
    App::with(SseResumeLayer::new().share(by_path))
}

fn get() -> Request<()> {
    request(Method::GET, "")
}

#[tokio::test]
async fn requests_with_the_same_key_get_the_same_events_of_one_call() {
    let mut app = app();
    let mut first = app.get("").await;
    let mut second = app.get("").await;
    app.body().send("data: 1\n\ndata: 2\n\n");
    first.read_until(|client| client.data().len() == 2).await;
    second.read_until(|client| client.data().len() == 2).await;
    assert_eq!(first.events(), second.events());
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_new_reader_begins_at_what_comes_next() {
    let mut app = app();
    let mut first = app.get("").await;
    app.body().send("data: 1\n\n");
    first.read_until(|client| client.data().len() == 1).await;
    let mut second = app.get("").await;
    app.body().send("data: 2\n\n");
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(second.data(), ["2"]);
    assert_eq!(second.header("sse-resume-from"), Some(&*first.last_event_id()));
}

#[tokio::test]
async fn a_new_reader_begins_at_the_oldest_or_last_events_if_so_configured() {
    for (start_at, expected) in
        [(StartAt::Earliest, vec!["1", "2", "3"]), (StartAt::Last(2), vec!["2", "3"])]
    {
        let mut app = App::with(SseResumeLayer::new().share(by_path).start_at(start_at));
        let mut first = app.get("").await;
        app.body().send("data: 1\n\ndata: 2\n\ndata: 3\n\n");
        first.read_until(|client| client.data().len() == 3).await;
        let mut second = app.get("").await;
        second.read();
        assert_eq!(second.data(), expected);
    }
}

#[tokio::test]
async fn another_key_host_or_owner_is_another_stream() {
    let mut app = app();
    let _first = app.get("").await;
    let _host = app.send(with(get(), "host", "b.example")).await;
    let _owner = app.send(with(get(), "authorization", "Bearer b")).await;
    let mut path = get();
    *path.uri_mut() = "/other".parse().unwrap();
    let _path = app.send(path).await;
    assert_eq!(app.inner.calls(), 4);
}

#[tokio::test]
async fn owners_share_where_that_is_said_loudly() {
    let mut app = App::with(SseResumeLayer::new().share_across_owners(by_path));
    let _first = app.send(with(get(), "authorization", "Bearer a")).await;
    let _second = app.send(with(get(), "authorization", "Bearer b")).await;
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn a_client_of_a_shared_stream_resumes_whatever_its_query_is() {
    let mut app = app();
    let mut first = app.get("").await;
    app.body().send("data: 1\n\ndata: 2\n\n");
    first.read_until(|client| client.data().len() == 2).await;
    let id = first.events()[0].id.clone();
    let mut again = request(Method::GET, &id);
    *again.uri_mut() = "/events?x=1".parse().unwrap();
    let mut second = app.send(again).await;
    second.read();
    assert_eq!(second.data(), ["2"]);
}

#[tokio::test]
async fn the_leader_may_leave_before_the_inner_service_has_answered() {
    let mut app = app();
    app.inner.answer_next(support::scripted::event_stream());
    let leader = app.service.call(get());
    drop(leader);
    let mut second = app.get("").await;
    app.body().send("data: 1\n\n");
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(app.inner.calls(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_event_stream_is_the_leaders_alone() {
    let mut app = app();
    app.inner.answer_next(status(StatusCode::NOT_FOUND));
    let leader = app.service.call(get());
    let joiner = app.service.call(get());
    let (leader, joiner) = tokio::join!(leader, joiner);
    assert_eq!(leader.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(joiner.unwrap().status(), StatusCode::OK);
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_next_request_without_an_id_goes_on_with_an_aborted_stream() {
    let mut app = App::with(SseResumeLayer::new().share(by_path).linger(Linger::none()));
    let mut first = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    first.read_until(|client| client.data().len() == 1).await;
    let id = first.last_event_id();
    drop(first);
    app.inner.body(0).dropped().await;
    let mut second = app.get("").await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    assert_eq!(app.inner.call(1).last_event_id().as_deref(), Some("a"));
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(second.data(), ["2"]);
    let mut third = app.get(&id).await;
    third.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(third.data(), ["2"]);
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test]
async fn after_an_end_there_is_one_call_for_all_who_return() {
    let mut app = app();
    let mut first = app.get("").await;
    let mut second = app.get("").await;
    app.body().send("data: 1\n\n");
    app.body().end();
    first.read_until(|_| false).await;
    second.read_until(|_| false).await;
    let id = first.last_event_id();
    // The first return gets the end, the next ones are forwarded.
    app.get(&id).await.read_until(|_| false).await;
    let mut first = app.get(&id).await;
    let mut second = app.get(&id).await;
    assert_eq!(app.inner.calls(), 2);
    app.body().send("data: 2\n\n");
    first.read_until(|client| !client.data().is_empty()).await;
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(first.data(), ["2"]);
    assert_eq!(second.data(), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn who_joins_with_an_id_that_is_not_known_is_told_so() {
    let mut app = App::with(SseResumeLayer::new().share(by_path).linger(Linger::none()));
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\n");
    client.read_events(1).await;
    let id = client.last_event_id();
    drop(client);
    app.handle.purge_all();
    let mut first = app.get("").await;
    app.body().send("id: b\ndata: 2\n\nid: c\ndata: 3\n\n");
    first.read_events(2).await;
    // Nobody asks the inner service what comes after `a`: events 2 and 3 are missing to this client.
    let mut second = app.get(&id).await;
    assert_eq!(second.header("sse-resume"), Some("gap"));
    second.read();
    assert!(second.gaps()[0].contains("unknown"));
    drop((first, second));
    app.body().dropped().await;
    // The same where it goes on with an aborted stream.
    let mut third = app.get(&id).await;
    assert_eq!(third.header("sse-resume"), Some("takeover"));
    third.read();
    assert!(third.gaps()[0].contains("unknown"));
}

#[tokio::test]
async fn who_returns_after_an_end_gets_all_of_the_next_stream_also_when_it_comes_late() {
    let mut app = app();
    let mut first = app.get("").await;
    app.body().send("data: 1\n\n");
    app.body().end();
    first.read_until(|_| false).await;
    let id = first.last_event_id();
    app.get(&id).await.read_until(|_| false).await;
    let mut early = app.get(&id).await;
    app.body().send("data: 2\n\n");
    early.read_until(|client| !client.data().is_empty()).await;
    let mut late = app.get(&id).await;
    late.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(late.data(), ["2"]);
    assert_eq!(app.inner.calls(), 2);
}

#[tokio::test]
async fn who_joins_with_an_id_of_the_inner_service_begins_there_or_is_told_that_it_may_miss_something()
 {
    let mut app = app();
    let mut first = app.get("7").await;
    app.body().send("id: 8\ndata: 8\n\n");
    first.read_until(|client| !client.data().is_empty()).await;
    let mut same = app.get("7").await;
    same.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(same.data(), ["8"]);
    let mut other = app.get("5").await;
    other.read();
    assert_eq!(other.events()[0].event, "resume-gap");
    assert_eq!(other.header("sse-resume"), Some("gap"));
}
