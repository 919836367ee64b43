//! A layer that outlives the runtime in which it was first used, as those of tests and of restarted servers do.

use std::time::Duration;

use support::app::App;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use tower_sse_resume::{Retention, SseResumeLayer};

const AGE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A stream that has ended; nobody reads it.
async fn finished(app: &mut App) {
    let mut client = app.get("").await;
    app.body().send("data: 1\n\n");
    app.body().end();
    client.read_to_end().await;
}

#[test]
fn streams_of_a_later_runtime_are_forgotten_in_time_too() {
    let mut app = App::with(SseResumeLayer::new().retention(Retention::new().age(AGE)));
    runtime().block_on(finished(&mut app));
    assert_eq!(app.handle.stats().streams, 1, "the first runtime is gone before its time has come");
    runtime().block_on(async {
        finished(&mut app).await;
        sleep(2 * AGE).await;
    });
    assert_eq!(app.handle.stats().streams, 0);
}
