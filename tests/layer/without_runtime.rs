//! Where there is no Tokio runtime: readers drive the inner body by themselves, however many there are.

use futures_util::FutureExt;
use support::app::{App, TestClient};
use tower_sse_resume::{Limits, SseResumeLayer};

fn get(app: &mut App, id: &str) -> TestClient {
    app.get(id).now_or_never().expect("an answer at once")
}

#[test]
fn who_may_not_have_the_rest_of_a_frame_leaves_it_to_who_may() {
    let mut app = App::with(SseResumeLayer::new().limits(Limits::new().frame(1_000)));
    let mut first = get(&mut app, "");
    app.body().send("data: 1\n\n");
    first.read();
    let id = first.last_event_id();
    app.body().send(format!("data: {}", "x".repeat(2_000)));
    first.read();
    // It comes too late for the frame that is being passed on, and must not be what drives it past the first one.
    let mut late = get(&mut app, &id);
    app.body().send("y".repeat(2_000));
    app.body().send("z".repeat(2_000));
    app.body().send("\n\ndata: 3\n\n");
    late.read();
    first.read();
    late.read();
    assert_eq!(first.data().len(), 3);
    assert_eq!(first.data()[1].len(), 6_000);
    assert_eq!(late.gaps().len(), 1);
    assert_eq!(late.data().last().unwrap(), "3");
}
