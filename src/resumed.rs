//! Answers a reconnect from a stream's log.

use std::sync::Arc;

use http::Response;
use http::request::Parts;

use crate::answer::{self, Answer};
use crate::ask;
use crate::binding::Page;
use crate::body::{Reader, ResumeBody};
use crate::exchange::{Primer, Replaces};
use crate::handle::StreamHandle;
use crate::observer::Observation;
use crate::resume::Gap;
use crate::resume::plan::Plan;
use crate::resume::position::Position;
use crate::stream::{Start, Stream};
use crate::wrap::{Wrap, send_retry};

/// A client that came back to a stream that is known, with its place in it.
pub(crate) struct Resumed {
    stream: Arc<Stream>,
    position: Position,
    answer: Answer,
    at_end: bool,
    reader: Reader,
    page: Page,
    /// What the client is told if the inner service answers something that passes unrecorded.
    gap_if_passed: Option<Gap>,
    /// Whether it has been in this stream before.
    is_return: bool,
}

impl Resumed {
    pub(crate) fn new(
        stream: &Arc<Stream>,
        position: Position,
        plan: Plan,
        primer: Option<Primer>,
        page: Page,
    ) -> Self {
        let events = stream.events_after(position.offset);
        stream.observe(Observation::Resumed { events });
        let start = Start { next: position.offset + 1, told: position.generation, retry_due: true };
        let mut reader = Reader::new(Arc::clone(stream), start);
        reader.leaves_stream_running();
        send_retry(&mut reader);
        // Who can take an event for it is told where it is, lest it falls back if it is cut again at once.
        let at = (primer == Some(Primer::EmptyEvent)).then_some(position);
        reader.prime(primer, at);
        let (answer, at_end) = match plan {
            Plan::TakeOver { at_end, .. } => (Answer::Takeover, at_end),
            Plan::Replay { gap: true } | Plan::Lost { gap: true } => (Answer::Gap, false),
            Plan::End => {
                stream.tell_end();
                (Answer::Replay, true)
            }
            _ => (Answer::Replay, false),
        };
        reader.tells_loss = matches!(plan, Plan::Lost { .. });
        let gap_if_passed = match plan {
            Plan::TakeOver { gap, .. } => stream.gap_after(position, gap),
            _ => None,
        };
        let (stream, is_return) = (Arc::clone(stream), true);
        Self { stream, position, answer, at_end, reader, page, gap_if_passed, is_return }
    }

    /// A client that has no position of it, and goes on with a shared stream that was aborted.
    pub(crate) fn joining(stream: &Arc<Stream>, wrap: &Wrap) -> Self {
        let (position, gap) = wrap.place_in(stream);
        let at_end = stream.events_after(position.offset) == 0;
        // What was lost before it came is no gap to it.
        let told = if at_end { stream.end_position().generation } else { position.generation };
        let start = Start { next: position.offset + 1, told, retry_due: true };
        let mut reader = Reader::new(Arc::clone(stream), start);
        reader.leaves_stream_running();
        send_retry(&mut reader);
        reader.prime(wrap.primer(), None);
        if let Some(gap) = &gap {
            reader.send_gap_first(gap, position);
        }
        let (stream, answer, page) = (Arc::clone(stream), Answer::Takeover, wrap.page);
        let (gap_if_passed, is_return) = (gap, false);
        Self { stream, position, answer, at_end, reader, page, gap_if_passed, is_return }
    }

    /// What the client is told first if the inner service's answer passes unrecorded.
    pub(crate) fn gap_if_passed(&self) -> Option<&Gap> {
        self.gap_if_passed.as_ref()
    }

    /// Whether nothing is left to replay.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at_end
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Makes a request for the inner service that goes on where it was, with a handle for the handler.
    pub(crate) fn prepare(&mut self, parts: &mut Parts) -> StreamHandle {
        let inner_id = self.stream.inner_id_to_go_on(self.position);
        if !ask::set_inner_id(&mut parts.headers, &inner_id) && self.is_return {
            self.gap_if_passed.get_or_insert(Gap::producer_lost(self.position.offset));
        }
        let handle = StreamHandle::new();
        parts.extensions.insert(handle.clone());
        parts.extensions.insert(Replaces::released());
        handle
    }

    pub(crate) fn response<B>(self) -> Response<ResumeBody<B>> {
        let mut headers = answer::later_headers(&self.stream.origin, self.page);
        answer::describe(&mut headers, self.answer, &self.stream.id_of(self.position));
        let mut response = Response::new(ResumeBody::stream(self.reader));
        *response.headers_mut() = headers;
        response
    }
}
