//! The feature `metrics`: what is counted, under which names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::Request;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use support::client::Client;
use support::scripted::Scripted;
use tower::{Layer, Service};
use tower_sse_resume::SseResumeLayer;

/// Keeps each counter under its name and labels.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counts {
    fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = key.name().to_owned() + &labels.collect::<String>();
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_cut_a_return_and_a_miss_are_counted() {
    let counts = Counts::default();
    let _guard = metrics::set_default_local_recorder(&counts);
    let inner = Scripted::new();
    let mut app = SseResumeLayer::new().metrics().layer(inner.clone());

    let request = Request::get("/events").body(()).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("data: 1\n\n");
    client.read();
    let from = client.header("sse-resume-from").unwrap().to_owned();
    drop(client);
    let request = Request::get("/events").header("last-event-id", &from).body(()).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    client.read();
    let request = Request::get("/other").header("last-event-id", &from).body(()).unwrap();
    let _client = app.call(request).await.unwrap();

    assert_eq!(counts.of("sse_resume_streams_opened_total"), 2);
    assert_eq!(counts.of("sse_resume_lingers_begun_total"), 1);
    assert_eq!(counts.of("sse_resume_lingers_ended_total resumed=true"), 1);
    assert_eq!(counts.of("sse_resume_resumes_total result=hit"), 1);
    assert_eq!(counts.of("sse_resume_replayed_events_total"), 1);
    assert_eq!(counts.of("sse_resume_resumes_total result=miss"), 1);
    assert_eq!(counts.of("sse_resume_gaps_total reason=unknown"), 1);
    let names = counts.names();
    assert_eq!(names.len(), 8, "{names:?}");
}
