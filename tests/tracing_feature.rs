//! The feature `tracing`: what its events say.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};

use http::Request;
use support::client::Client;
use support::scripted::Scripted;
use tower::{Layer, Service};
use tower_sse_resume::{Retention, SseResumeLayer};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps each event as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tower_sse_resume"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_resumed_and_taken_over_is_told() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let inner = Scripted::new();
    let retention = Retention::new().events(2);
    let mut app = SseResumeLayer::new().retention(retention).trace().layer(inner.clone());

    let request = Request::get("/events").body(()).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    assert_eq!(lines.take(), ["DEBUG message=stream opened"]);

    inner.body(0).send("data: 1\n\ndata: 2\n\n");
    client.read();
    let id = client.last_event_id();
    drop(client);
    assert_eq!(lines.take(), ["DEBUG message=linger began"]);
    inner.body(0).dropped().await;
    assert_eq!(lines.take(), ["DEBUG message=linger ended resumed=false"]);

    let request = Request::get("/events").header("last-event-id", id).body(()).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(1).send("data: 3\n\n");
    client.read_until(|client| client.data().len() == 2).await;
    let gap = r#"INFO message=gap reason="producer-lost""#;
    let told = lines.take();
    assert_eq!(told[0], "DEBUG message=stream resumed events=0");
    assert_eq!(told[1], "INFO message=stream taken over");
    assert_eq!(told[2], gap);

    let request = Request::get("/other").header("last-event-id", "r1.x").body(()).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    client.read();
    let gap = r#"INFO message=gap reason="unknown""#;
    let mut told = lines.take();
    told.sort();
    assert_eq!(told, ["DEBUG message=stream opened", gap, "INFO message=resume missed"]);
}
