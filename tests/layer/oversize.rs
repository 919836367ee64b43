//! Frames over the limit go to who is there, and are a gap for all others.

use http::Request;
use tower::{Layer, Service};
use tower_sse_resume::{Limits, ResumeBody, Retention, SseResume, SseResumeLayer};

use support::client::{Client, End, settle};
use support::scripted::{FedBody, Scripted};

type TestClient = Client<ResumeBody<FedBody>>;

/// Two clients of a stream that had the event `a`. So a task drives.
struct Two {
    app: SseResume<Scripted>,
    inner: Scripted,
    first: TestClient,
    second: TestClient,
    /// The ID of that event.
    id: String,
}

impl Two {
    async fn open() -> Self {
        let inner = Scripted::new();
        let layer = SseResumeLayer::new().limits(Limits::new().frame(20));
        let mut app = layer.layer(inner.clone());
        let mut first = Client::new(app.call(Request::new(())).await.unwrap());
        inner.body(0).send("data: a\n\n");
        first.read();
        let id = first.last_event_id();
        let second = come_back(&mut app, &id).await;
        Self { app, inner, first, second, id }
    }

    /// The same, and the first one had the beginning of a frame over the limit, too.
    async fn within_a_frame() -> Self {
        let mut two = Self::open().await;
        two.inner.body(0).send("data: a frame that is over");
        tokio::task::yield_now().await;
        two.first.read();
        two
    }

    /// Once the inner body has failed, another client comes back, and the inner service says `b` to that.
    async fn are_taken_over(&mut self) {
        self.second.read_to_end().await;
        let mut third = come_back(&mut self.app, &self.id).await;
        self.inner.body(1).send("data: b\n\n");
        third.read_until(|client| client.data().contains(&"b".to_owned())).await;
    }
}

async fn come_back(app: &mut SseResume<Scripted>, id: &str) -> TestClient {
    let request = Request::builder().header("last-event-id", id);
    Client::new(app.call(request.body(()).unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_slow_client_within_a_frame_over_the_limit_does_not_hold_up_one_that_waits_for_its_end() {
    let mut two = Two::open().await;
    let inner = two.inner.clone();
    inner.body(0).send("data: a frame that is over the limit");
    tokio::task::yield_now().await;
    let mut waiting = come_back(&mut two.app, &two.id).await;
    waiting.read();
    assert_eq!(waiting.events()[0].event, "resume-gap");
    inner.body(0).send(" goes on\n\ndata: b\n\n");
    waiting.read_until(|client| client.events().len() == 2).await;
    assert_eq!(waiting.data()[1], "b");
}

#[tokio::test]
async fn a_client_within_a_frame_whose_rest_never_comes_is_cut_off_even_if_the_stream_is_taken_over()
 {
    let mut two = Two::within_a_frame().await;
    two.inner.body(0).fail();
    two.are_taken_over().await;
    assert_eq!(two.first.read(), "");
    assert!(matches!(two.first.end, End::Broken(_)));
}

#[tokio::test]
async fn no_signal_comes_between_the_pieces_of_a_frame_over_the_limit() {
    let mut two = Two::within_a_frame().await;
    two.inner.body(0).send(" the limit\n\n");
    two.inner.body(0).fail();
    two.are_taken_over().await;
    two.first.read();
    assert_eq!(two.first.data()[..2], ["a", "a frame that is over the limit"]);
    assert_eq!(two.first.data()[3], "b");
}

#[tokio::test]
async fn a_frame_over_the_limit_goes_to_a_client_that_has_not_asked_for_anything_yet() {
    for retention in [Retention::new(), Retention::ids_only()] {
        let inner = Scripted::new();
        let layer = SseResumeLayer::new().limits(Limits::new().frame(20)).retention(retention);
        let mut app = layer.share(|_| Some("feed".to_owned())).layer(inner.clone());
        let mut client = Client::new(app.call(Request::new(())).await.unwrap());
        inner.body(0).send("data: a\n\n");
        inner.body(0).send("data: a frame that is over");
        inner.body(0).send(" the limit\n\ndata: b\n\n");
        settle().await;
        client.read_events(3).await;
        assert_eq!(client.data(), ["a", "a frame that is over the limit", "b"]);
    }
}

#[tokio::test]
async fn a_frame_that_passes_the_limit_with_its_end_goes_whole_to_who_was_there() {
    for retention in [Retention::new(), Retention::ids_only()] {
        let inner = Scripted::new();
        let layer = SseResumeLayer::new().limits(Limits::new().frame(1_000)).retention(retention);
        let mut app = layer.share(|_| Some("feed".to_owned())).layer(inner.clone());
        let mut client = Client::new(app.call(Request::new(())).await.unwrap());
        let large = "x".repeat(100_000);
        let after = "data: b\n\n".repeat(200);
        inner.body(0).send(format!("data: a\n\ndata: {large}\n\n{after}"));
        settle().await;
        client.read_events(202).await;
        assert!(client.data()[1] == large && client.gaps().is_empty());
    }
}

#[tokio::test]
async fn who_comes_within_a_frame_over_the_limit_gets_what_follows_it_at_once() {
    let inner = Scripted::new();
    let layer = SseResumeLayer::new().limits(Limits::new().frame(20));
    let layer = layer.retention(Retention::ids_only()).share(|_| Some("feed".to_owned()));
    let mut app = layer.layer(inner.clone());
    let mut first = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send("data: a frame that is over");
    settle().await;
    first.read();
    let mut late = Client::new(app.call(Request::new(())).await.unwrap());
    inner.body(0).send(" the limit\n\ndata: b\n\ndata: c\n\n");
    settle().await;
    late.read_events(2).await;
    assert_eq!(late.data(), ["b", "c"]);
    first.read_events(3).await;
}
