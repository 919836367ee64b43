//! What the events of a server's answer say.

use super::message::{Message, MessageScanner};
use crate::sse::{Field, lines};

/// The message that an event carries.
fn message(frame: &[u8]) -> Option<Message> {
    let mut scanner = MessageScanner::default();
    for line in lines(frame) {
        if let Field::Data(data) = line.field {
            scanner.scan(data);
            scanner.scan(b"\n");
        }
    }
    scanner.into_message()
}

/// Whether the answer to a request is among these events: the last one as a rule.
pub(super) fn have_response(events: &[&[u8]]) -> bool {
    events.iter().rev().any(|frame| message(frame).is_some_and(|message| message.is_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_found_wherever_it_is() {
        let response = &b"data: {\"id\":1,\ndata: \"result\":{}}\nid: r1.x.1.2\n\n"[..];
        let progress = &b"data: {\"method\":\"notifications/progress\"}\n\n"[..];
        assert!(have_response(&[progress, response]));
        assert!(have_response(&[response, progress]));
        assert!(!have_response(&[progress]));
        assert!(!have_response(&[]));
    }
}
