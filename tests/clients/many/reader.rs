//! A client that comes back for as long as its stream goes on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::link::Link;
use support::client::{last_event_id, parse};

pub(crate) use support::client::Event;

pub(crate) struct Reader {
    link: Arc<Link>,
    path: String,
    begun: watch::Sender<usize>,
    last_event_id: String,
    events: Vec<Event>,
    /// After how many bytes of its next responses it leaves them; those after them it reads on.
    resets: VecDeque<u64>,
}

impl Reader {
    /// Counts itself in `begun` once it can come back.
    pub(crate) fn new(link: Arc<Link>, path: String, begun: watch::Sender<usize>) -> Self {
        let (last_event_id, events, resets) = (String::new(), Vec::new(), VecDeque::new());
        Self { link, path, begun, last_event_id, events, resets }
    }

    pub(crate) fn with_resets(self, resets: VecDeque<u64>) -> Self {
        Self { resets, ..self }
    }

    /// Reads up to and with the event `end`.
    pub(crate) async fn read(self) -> Vec<Event> {
        self.read_until(|events| events.last().is_some_and(|event| event.data == "end")).await
    }

    /// Reads so many events, or a few more.
    pub(crate) async fn read_some(self, count: usize) -> Vec<Event> {
        self.read_until(move |events| events.len() >= count).await
    }

    async fn read_until(mut self, is_all: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        while !is_all(&self.events) {
            if let Ok(response) = self.link.send(self.request()).await {
                self.take_in(response, &is_all).await;
            }
        }
        self.events
    }

    /// As a browser's `EventSource` makes it.
    fn request(&self) -> Request<Empty<bytes::Bytes>> {
        let request = Request::get(format!("http://localhost{}", self.path))
            .header("host", "localhost")
            .header("accept", "text/event-stream")
            .header("cache-control", "no-cache")
            .header("sec-fetch-mode", "cors");
        let request = match &*self.last_event_id {
            "" => request,
            id => request.header("last-event-id", id),
        };
        request.body(Empty::new()).expect("a request")
    }

    /// Reads until that is all, the connection breaks, or it is time to leave.
    async fn take_in(&mut self, response: Response<Incoming>, is_all: impl Fn(&[Event]) -> bool) {
        assert_eq!(response.status(), StatusCode::OK);
        let came_about = if self.last_event_id.is_empty() { "fresh" } else { "replay" };
        assert_eq!(response.headers()["sse-resume"], came_about, "{}", self.path);
        let mut left = self.resets.pop_front().unwrap_or(u64::MAX);
        let (mut body, mut unfinished) = (response.into_body(), BytesMut::new());
        while !is_all(&self.events) {
            // Only a stream that was sent whole ends without an error.
            let frame = body.frame().await.expect("no clean end before the last event");
            let Ok(data) = frame.map(|frame| frame.into_data().expect("no trailers")) else {
                return;
            };
            unfinished.extend_from_slice(&data);
            if let Some(end) = unfinished.windows(2).rposition(|bytes| bytes == b"\n\n") {
                self.dispatch(&unfinished.split_to(end + 2));
            }
            left = left.saturating_sub(data.len() as u64);
            if left == 0 && !self.last_event_id.is_empty() {
                return;
            }
        }
    }

    fn dispatch(&mut self, frames: &[u8]) {
        self.events.extend(parse(frames));
        let id = last_event_id(frames);
        if !id.is_empty() && std::mem::replace(&mut self.last_event_id, id).is_empty() {
            self.begun.send_modify(|begun| *begun += 1);
        }
    }
}
