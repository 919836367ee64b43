//! A client: what it has, and the response that it reads.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body::Body;
use tower_sse_resume::ResumeBody;

use super::inner::Said;
use super::truth::{At, Tag};

/// What a client has when it is not connected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) last_event_id: Option<String>,
    pub(crate) at: Option<At>,
    pub(crate) newest: Option<Tag>,
    /// How many events it was told are missing since the newest that it has.
    pub(crate) told_missing: u64,
    /// Whether it was told that what was to come of an earlier producer is lost.
    pub(crate) told_lost: bool,
    pub(crate) retry: u64,
}

#[derive(Default)]
pub(crate) struct Client {
    pub(crate) post: bool,
    pub(crate) held: Held,
    pub(crate) connection: Option<Connection>,
    /// Whether it was told not to come back.
    pub(crate) done: bool,
}

/// A response that is being read.
pub(crate) struct Connection {
    pub(crate) start: At,
    /// The offset with which the client came to a stream that is not known any more.
    pub(crate) unknown: Option<u64>,
    pub(crate) received: Vec<u8>,
    /// How it ended: cleanly or not.
    pub(crate) end: Option<Result<(), String>>,
    body: Pin<Box<ResumeBody<Said>>>,
}

impl Connection {
    pub(crate) fn new(start: At, unknown: Option<u64>, body: ResumeBody<Said>) -> Self {
        Self { start, unknown, received: Vec::new(), end: None, body: Box::pin(body) }
    }

    /// Polls once. Returns whether there was anything.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.body.as_mut().poll_frame(&mut Context::from_waker(waker)) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.end = Some(Ok(())),
            Poll::Ready(Some(Err(error))) => self.end = Some(Err(error.to_string())),
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.into_data().expect("the inner service sends no trailers");
                assert!(!data.is_empty(), "an empty piece of a response");
                self.received.extend_from_slice(&data);
            }
        }
        true
    }

    /// Reads all that comes until nothing has come for a while: a wake-up that is lost shows.
    pub(crate) async fn read_for(&mut self, wait: Duration) {
        let read = std::future::poll_fn(|cx| {
            while self.poll(cx.waker()) {}
            if self.end.is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        // Not read once more when the time is over: that would hide a wake-up that is lost.
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = read => {}
        }
    }
}
