//! Readers that take nothing, and those beside them.

use std::time::Duration;

use support::app::App;
use support::client::settle;
use tower_sse_resume::{Retention, SseResumeLayer};

#[tokio::test(start_paused = true)]
async fn who_joins_ahead_of_a_slow_reader_is_not_held_back_by_it() {
    let layer = SseResumeLayer::new().retention(Retention::new().bytes(400));
    let mut app = App::with(layer.share(|parts| Some(parts.uri.path().to_owned())));
    let mut slow = app.get("").await;
    app.body().send("data: x\n\n".repeat(10));
    settle().await;
    app.body().send("data: more\n\n");
    settle().await;
    let mut client = app.get("").await;
    client.read();
    let read = client.read_events(1);
    tokio::time::timeout(Duration::from_secs(1), read).await.expect("the slow one holds it back");
    assert_eq!(client.data(), ["more"]);
    slow.read();
}

#[tokio::test]
async fn a_piece_for_each_comment_is_not_kept_without_bound_for_who_is_slow() {
    let layer = SseResumeLayer::new().retention(Retention::new().events(10));
    let mut app = App::with(layer.share(|parts| Some(parts.uri.path().to_owned())));
    let mut slow = app.get("").await;
    let mut quick = app.get("").await;
    slow.read();
    app.body().send("data: 1\n\n");
    quick.read_events(1).await;
    slow.read();
    for _ in 0..20_000 {
        app.body().send(":\n\n");
        tokio::task::yield_now().await;
        quick.read();
    }
    settle().await;
    let bytes = app.handle.stats().bytes;
    assert!(bytes < 256 * 1024, "{bytes}");
}
