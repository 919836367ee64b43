//! A request of a client and what the layer has to know of it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::era::Era;
use super::events;
use super::message::{Message, Shape};
use super::stored;
use crate::exchange::{Exchange, Primer};
use crate::resume::{Gap, GapReason};

/// The error code of an answer that was lost: the first of those that JSON-RPC 2.0, section 5.1, leaves to servers.
const LOST: i32 = -32000;

/// A request: its era, and what its body turns out to be.
#[derive(Debug)]
pub(super) struct Call {
    era: Era,
    message: OnceLock<Message>,
}

impl Call {
    pub(super) fn new(era: Era) -> Self {
        Self { era, message: OnceLock::new() }
    }

    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// The body was read.
    pub(super) fn learn(&self, message: Message) {
        let _ = self.message.set(message);
    }

    /// What was learnt of the body, if it could be.
    pub(super) fn message(&self) -> Option<&Message> {
        self.message.get()
    }

    fn is_request(&self) -> bool {
        self.message().is_some_and(Message::is_request)
    }

    fn begins_session(&self) -> bool {
        self.message().and_then(|message| message.method.as_deref()) == Some("initialize")
    }
}

impl Exchange for Call {
    fn primer(&self) -> Option<Primer> {
        // The answer to `initialize` is where the client learns that the server can.
        let primes = self.era == Era::Primed && !self.begins_session();
        primes.then_some(Primer::EmptyEvent)
    }

    fn is_answered(&self, frames: &[&[u8]]) -> Option<bool> {
        // A batch, and the stream that answers no request, end with the inner body.
        self.is_request().then(|| events::have_response(frames))
    }

    fn failure(&self, gap: &Gap) -> Option<String> {
        let message = self.message().filter(|message| message.shape == Shape::Single)?;
        let id = message.id.as_deref().filter(|_| message.is_request())?;
        if gap.reason == GapReason::Diverged {
            return None;
        }
        let mut lines = String::from("data: ");
        let reason = gap.reason;
        // A string takes what is written.
        let _ = writeln!(
            lines,
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{LOST},"message":"the answer to this request was lost","data":{{"reason":"{reason}"}}}}}}"#
        );
        Some(lines)
    }

    fn name(&self) -> Option<&str> {
        self.message()?.id.as_deref()
    }

    fn heap_bytes(&self) -> usize {
        let texts =
            self.message().map(|message| [&message.method, &message.id, &message.request_id]);
        let texts = texts.into_iter().flatten().flatten();
        size_of::<Self>() + texts.map(|text| text.len()).sum::<usize>()
    }

    fn encode(&self) -> Vec<u8> {
        stored::encode(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(era: Era, id: Option<&str>, method: &str) -> Call {
        let call = Call::new(era);
        call.learn(Message {
            shape: Shape::Single,
            method: Some(method.into()),
            id: id.map(Into::into),
            ..Message::default()
        });
        call
    }

    fn gap(reason: GapReason) -> Gap {
        Gap { requested: Some(1), resumed: 5, missed: Some(4), reason }
    }

    #[test]
    fn a_lost_answer_becomes_an_error_with_the_id_of_the_request() {
        let call = call(Era::Resumable, Some(r#""a-1""#), "tools/call");
        let lines = call.failure(&gap(GapReason::Evicted)).unwrap();
        let error: serde_json::Value =
            serde_json::from_str(lines.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(error["id"], "a-1");
        assert_eq!(error["jsonrpc"], "2.0");
        assert_eq!(error["error"]["code"], -32000);
        assert_eq!(error["error"]["data"]["reason"], "evicted");
        assert_eq!(lines.matches('\n').count(), 1);
    }

    #[test]
    fn what_is_no_request_has_no_error() {
        let nothing = Call::new(Era::Primed);
        assert_eq!(nothing.failure(&gap(GapReason::Evicted)), None);
        let notification = call(Era::Primed, None, "notifications/initialized");
        assert_eq!(notification.failure(&gap(GapReason::Evicted)), None);
        let request = call(Era::Primed, Some("1"), "tools/call");
        assert_eq!(request.failure(&gap(GapReason::Diverged)), None);
    }

    #[test]
    fn only_the_primed_era_is_primed_and_not_the_answer_to_initialize() {
        assert_eq!(call(Era::Primed, Some("1"), "tools/call").primer(), Some(Primer::EmptyEvent));
        assert_eq!(Call::new(Era::Primed).primer(), Some(Primer::EmptyEvent));
        assert_eq!(call(Era::Primed, Some("0"), "initialize").primer(), None);
        assert_eq!(call(Era::Resumable, Some("1"), "tools/call").primer(), None);
    }

    #[test]
    fn a_request_is_answered_by_a_response() {
        let request = call(Era::Primed, Some("1"), "tools/call");
        let notification = b"data: {\"method\":\"notifications/message\"}\n\n";
        assert_eq!(request.is_answered(&[notification]), Some(false));
        assert_eq!(request.is_answered(&[b"data: {\"id\":1,\"result\":{}}\n\n"]), Some(true));
        assert_eq!(Call::new(Era::Primed).is_answered(&[]), None, "the standalone stream");
    }
}
