//! A client, as small as it can be.

use axum::body::Body;
use eventsource_stream::{Event, Eventsource};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Request;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// A client that does what a browser's `EventSource` does: it keeps the last event ID, and comes back with it.
pub(crate) struct Browser {
    url: String,
    pub(crate) last_event_id: String,
    events: Option<BoxStream<'static, Event>>,
    got: Vec<String>,
}

impl Browser {
    pub(crate) fn new(url: String) -> Self {
        Self { url, last_event_id: String::new(), events: None, got: Vec::new() }
    }

    pub(crate) async fn connect(&mut self) {
        let mut request = Request::get(&self.url);
        if !self.last_event_id.is_empty() {
            request = request.header("last-event-id", &self.last_event_id);
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let response = client.request(request.body(Body::empty()).unwrap()).await.unwrap();
        let events = response.into_body().into_data_stream().eventsource();
        self.events = Some(events.filter_map(async |event| event.ok()).boxed());
    }

    /// Closes the connection at once.
    pub(crate) fn cut(&mut self) {
        self.events = None;
    }

    pub(crate) async fn next(&mut self) -> String {
        let Some(events) = &mut self.events else { return String::new() };
        let Some(event) = events.next().await else { return String::new() };
        self.last_event_id = event.id;
        self.got.push(event.data.clone());
        event.data
    }

    pub(crate) fn got(&self) -> String {
        self.got.join(" ")
    }

    pub(crate) fn lost(&self) -> String {
        let lost: Vec<_> =
            (1..=9).map(|n| n.to_string()).filter(|n| !self.got.contains(n)).collect();
        if lost.is_empty() { "nothing".into() } else { lost.join(" ") }
    }
}
