//! An instance whose runtime ends, and that goes on in another one.

use std::time::Duration;

use tower_sse_resume::store::{Key, Store};
use tower_sse_resume::{Durability, Persistence, SseResumeLayer};

use super::{App, Instances, SECRET};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Looks again and again until the store has taken so many events.
async fn stored(app: &App, events: u64) {
    while app.handle.stats().stored < events {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn what_a_writer_had_taken_that_ended_with_its_runtime_is_written_by_the_next_one() {
    let instances = Instances::new(Durability::WriteBehind);
    let persistence = Persistence::with_secret(instances.store.clone(), SECRET);
    let mut app = App::with(SseResumeLayer::new().store(persistence));
    let mut client = runtime().block_on(async {
        let mut client = app.get("").await;
        app.body().send("data: 1\n\n");
        client.read_events(1).await;
        stored(&app, 1).await;
        app.body().send("data: 2\n\n");
        client.read_events(2).await;
        // The runtime ends before this is written.
        client
    });
    runtime().block_on(async {
        app.body().send("data: 3\n\n");
        client.read_events(3).await;
        stored(&app, 3).await;
        let key = Key::new(app.handle.streams(None, 1)[0].id.to_string()).unwrap();
        let extent = instances.store.record(&key).await.unwrap().extent;
        assert_eq!((extent.next, extent.generation), (4, 1));
    });
}
