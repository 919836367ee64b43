//! What observers are told: each gap with its reason, and readers that are too slow.

use std::sync::{Arc, Mutex};

use http::Request;
use support::client::{Client, End};
use support::scripted::{FedBody, Scripted};
use tower::{Layer, Service};
use tower_sse_resume::{
    GapReason, Observation, ResumeBody, Retention, SlowReader, SseResume, SseResumeLayer,
};

struct App {
    service: SseResume<Scripted>,
    inner: Scripted,
    told: Arc<Mutex<Vec<Observation>>>,
}

impl App {
    /// With a history of two events.
    fn new(slow_reader: SlowReader) -> Self {
        let (inner, told) = (Scripted::new(), Arc::<Mutex<Vec<_>>>::default());
        let note = Arc::clone(&told);
        let layer = SseResumeLayer::new()
            .retention(Retention::new().events(2))
            .slow_reader(slow_reader)
            .observe(move |observation| note.lock().unwrap().push(*observation));
        Self { service: layer.layer(inner.clone()), inner, told }
    }

    async fn get(&mut self, last_event_id: &str) -> Client<ResumeBody<FedBody>> {
        let mut request = Request::get("/events");
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id);
        }
        Client::new(self.service.call(request.body(()).unwrap()).await.unwrap())
    }

    /// What was told of gaps and slow readers.
    fn told(&self) -> Vec<Observation> {
        let is_of_interest =
            |told: &Observation| matches!(told, Observation::Gap { .. } | Observation::SlowReader);
        self.told.lock().unwrap().iter().copied().filter(is_of_interest).collect()
    }
}

#[tokio::test]
async fn a_gap_is_observed_once_with_its_reason_and_what_it_lacks() {
    let mut app = App::new(SlowReader::Signal);
    let mut first = app.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    app.inner.body(0).send("data: 1\n\ndata: 2\n\ndata: 3\n\n");
    first.read();
    app.inner.body(0).send("data: 4\n\ndata: 5\n\n");
    first.read();
    let mut second = app.get(&from).await;
    second.read_until(|client| client.data().len() == 3).await;
    assert_eq!(app.told(), [Observation::Gap { reason: GapReason::Evicted, missed: Some(3) }]);
}

#[tokio::test]
async fn an_unknown_id_is_observed_as_one_gap() {
    let mut app = App::new(SlowReader::Signal);
    app.get("r1.AAAAAAAAAAAAAAAAAAAAAA.1.7").await.read();
    assert_eq!(app.told(), [Observation::Gap { reason: GapReason::Unknown, missed: None }]);
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_producer_is_observed() {
    let mut app = App::new(SlowReader::Signal);
    let mut first = app.get("").await;
    app.inner.body(0).send("data: 1\n\n");
    first.read();
    let id = first.last_event_id();
    drop(first);
    app.inner.body(0).dropped().await;
    let mut second = app.get(&id).await;
    second.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(app.told(), [Observation::Gap { reason: GapReason::ProducerLost, missed: None }]);
}

/// One client reads the first event only, while another one reads on until the history is past it.
async fn fall_behind(app: &mut App) -> End {
    let mut slow = app.get("").await;
    app.inner.body(0).send("data: 1\n\n");
    slow.read();
    let mut quick = app.get(&slow.last_event_id()).await;
    for _ in 0..9 {
        // Larger than a block, so that the slow one cannot have it any more.
        app.inner.body(0).send(format!("data: {}\n\n", "x".repeat(20_000)));
        let before = quick.received.len();
        quick.read_until(|quick| quick.received.len() > before + 20_000).await;
    }
    slow.read();
    slow.end
}

#[tokio::test]
async fn a_slow_reader_that_goes_on_is_observed_beside_its_gap() {
    let mut app = App::new(SlowReader::Signal);
    assert_eq!(fall_behind(&mut app).await, End::Open);
    let gap = Observation::Gap { reason: GapReason::TooSlow, missed: Some(7) };
    assert_eq!(app.told(), [gap, Observation::SlowReader]);
}

#[tokio::test]
async fn a_slow_reader_that_is_cut_off_is_observed() {
    let mut app = App::new(SlowReader::Disconnect);
    assert!(matches!(fall_behind(&mut app).await, End::Broken(_)));
    assert_eq!(app.told(), [Observation::SlowReader]);
}
