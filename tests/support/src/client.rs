//! A client of the layer, in process: it reads a response's bytes and parses them as the specification says.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;

/// How a response has ended so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Open,
    Clean,
    Broken(String),
}

/// One event as a client dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the names of the fields of the format")]
pub struct Event {
    pub event: String,
    pub data: String,
    pub id: String,
}

/// A response that is being read.
pub struct Client<B> {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub received: BytesMut,
    pub trailers: Option<HeaderMap>,
    pub end: End,
    body: std::pin::Pin<Box<B>>,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes>,
    B::Error: ToString,
{
    pub fn new(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            received: BytesMut::new(),
            trailers: None,
            end: End::Open,
            body: Box::pin(body),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Polls once. Returns whether there was anything.
    pub fn poll(&mut self, waker: &Waker) -> bool {
        if self.end != End::Open {
            return false;
        }
        match self.body.as_mut().poll_frame(&mut Context::from_waker(waker)) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.end = End::Clean,
            Poll::Ready(Some(Err(error))) => self.end = End::Broken(error.to_string()),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
        }
        true
    }

    /// Reads all that is there now, with a waker that does nothing. Returns what is new.
    pub fn read(&mut self) -> String {
        let before = self.received.len();
        while self.poll(Waker::noop()) {}
        String::from_utf8_lossy(&self.received[before..]).into_owned()
    }

    /// Lets other tasks run until they have nothing to do, reading in between, until `until` holds.
    pub async fn read_until(&mut self, mut until: impl FnMut(&Self) -> bool) {
        std::future::poll_fn(|cx| {
            while self.poll(cx.waker()) {}
            if until(self) || self.end != End::Open { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// All events that were dispatched so far.
    pub fn events(&self) -> Vec<Event> {
        parse(&self.received)
    }

    /// Reads to the end of the response.
    pub async fn read_to_end(&mut self) {
        self.read_until(|_| false).await;
    }

    /// Reads until so many events were dispatched.
    pub async fn read_events(&mut self, count: usize) {
        self.read_until(|client| client.data().len() >= count).await;
    }

    /// Lets all tasks do what they have to do, reading in between. Returns all that was received so far.
    pub async fn settle(&mut self) -> String {
        for _ in 0..4 {
            settle().await;
            self.read();
        }
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// The data of all gap signals that were dispatched so far.
    pub fn gaps(&self) -> Vec<String> {
        let gaps = self.events().into_iter().filter(|event| event.event == "resume-gap");
        gaps.map(|gap| gap.data).collect()
    }

    /// Whether the response has broken off.
    pub fn is_broken(&self) -> bool {
        matches!(self.end, End::Broken(_))
    }

    /// The data of all events that were dispatched so far.
    pub fn data(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.data).collect()
    }

    /// The last event ID, as the client would send it back.
    pub fn last_event_id(&self) -> String {
        last_event_id(&self.received)
    }
}

/// Lets all other tasks run until they have nothing to do.
pub async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Dispatches as section 9.2.6 of the HTML specification says; LF, CR and CRLF end lines.
pub fn parse(stream: &[u8]) -> Vec<Event> {
    run(stream).0
}

pub fn last_event_id(stream: &[u8]) -> String {
    run(stream).1
}

fn run(stream: &[u8]) -> (Vec<Event>, String) {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut events, mut last_id) = (Vec::new(), String::new());
    let (mut id, mut event, mut data) = (String::new(), String::new(), None::<String>);
    // What follows the last line ending is an unfinished line.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    if lines.is_empty() && !text.contains('\n') {
        return (events, last_id);
    }
    for line in lines.split('\n') {
        if line.is_empty() {
            last_id.clone_from(&id);
            if let Some(data) = data.take() {
                let event = if event.is_empty() { "message".to_owned() } else { event.clone() };
                events.push(Event { event, data, id: id.clone() });
            }
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut event),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            _ => {}
        }
    }
    (events, last_id)
}
