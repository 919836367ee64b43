//! Sending all clients away.

use std::time::Duration;

use http::Method;
use support::app::App;
use support::client::End;
use tower_sse_resume::SseResumeLayer;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn responses_to_get_end_now_with_a_reconnection_time_and_an_error() {
    let mut app = App::with(SseResumeLayer::new().retry(Duration::from_secs(2)));
    let mut client = app.get("").await;
    client.read();
    app.body().send("data: 1\n\n");
    client.read();
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(DEADLINE).await });
    client.read_until(|_| false).await;
    let end = String::from_utf8(client.received.to_vec()).unwrap();
    let retry = end.rsplit_once("retry: ").unwrap().1;
    let retry: u64 = retry.strip_suffix('\n').unwrap().parse().unwrap();
    assert!((2_000..=2_500).contains(&retry), "{retry}");
    assert!(matches!(client.end, End::Broken(_)));
    let id = client.last_event_id();
    drop(client);
    drain.await.unwrap();
    let mut client = app.get(&id).await;
    client.read_to_end().await;
    assert!(matches!(client.end, End::Broken(_)));
}

#[tokio::test(start_paused = true)]
async fn other_responses_run_on_until_they_end() {
    let mut app = App::with(SseResumeLayer::new().methods([Method::GET, Method::POST]));
    let mut client = app.call(Method::POST, "").await;
    client.read();
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(DEADLINE).await });
    tokio::task::yield_now().await;
    app.body().send("data: 1\n\n");
    app.body().end();
    client.read_until(|_| false).await;
    assert_eq!((client.data(), &client.end), (vec!["1".to_owned()], &End::Clean));
    drop(client);
    drain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_ended_at_the_deadline() {
    let mut app = App::with(SseResumeLayer::new().methods([Method::GET, Method::POST]));
    let mut client = app.call(Method::POST, "").await;
    client.read();
    let start = tokio::time::Instant::now();
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(DEADLINE).await });
    client.read_until(|_| false).await;
    assert!(matches!(client.end, End::Broken(_)));
    assert_eq!(start.elapsed().as_secs(), 10);
    drain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clean_close_ends_them_cleanly() {
    let mut app = App::with(SseResumeLayer::new().clean_close(true));
    let mut client = app.get("").await;
    client.read();
    let handle = app.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(DEADLINE).await });
    client.read_until(|_| false).await;
    assert_eq!(client.end, End::Clean);
    drop(client);
    drain.await.unwrap();
}
