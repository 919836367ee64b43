//! Writes the few frames that are not the inner service's.
//!
//! All end their lines with LF. An `id` is the text of an event ID: ASCII without control
//! characters.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};

use bytes::{Bytes, BytesMut};

/// A comment without text: keeps a connection alive, and keeps a byte order mark from being first.
pub(crate) const COMMENT_LINE: &[u8] = b":\n";

/// The name of an event, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventName(Cow<'static, str>);

impl EventName {
    /// The name of a gap signal where none was set.
    pub(crate) const RESUME_GAP: Self = Self(Cow::Borrowed("resume-gap"));

    /// The name of this text, if it is not empty and has no CR, LF or NUL.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Result<Self, InvalidEventName> {
        let text = text.into();
        let legal = !text.is_empty() && !text.contains(['\r', '\n', '\0']);
        if legal { Ok(Self(text)) } else { Err(InvalidEventName(())) }
    }

    /// The text of this name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no event name: it is empty, or has a CR, LF or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEventName(());

impl fmt::Display for InvalidEventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event name has at least one character, and no CR, LF or NUL")
    }
}

impl Error for InvalidEventName {}

/// Appends an event of ours. `data` is one line.
pub(crate) fn event(out: &mut BytesMut, name: &EventName, data: &str, id: &str) {
    append(out, format_args!("event: {}\ndata: {data}\nid: {id}\n\n", name.as_str()));
}

/// Appends an event of somebody else's making: `lines` of a block, to which our `id` is added.
///
/// Lines that would end the block, and `id` lines, are left out: they would break what follows.
pub(crate) fn event_of_lines(out: &mut BytesMut, lines: &str, id: &str) {
    own_lines(out, lines);
    priming(out, id);
}

fn own_lines(out: &mut BytesMut, lines: &str) {
    let is_legal = |line: &&str| !line.is_empty() && *line != "id" && !line.starts_with("id:");
    for line in lines.split(['\r', '\n']).filter(is_legal) {
        append(out, format_args!("{line}\n"));
    }
}

/// The lines of an event without an ID.
pub(crate) fn event_lines(name: &EventName, data: &str) -> String {
    format!("event: {}\ndata: {data}", name.as_str())
}

/// An event of such lines, without an ID.
pub(crate) fn block(lines: &str) -> Bytes {
    let mut out = BytesMut::new();
    own_lines(&mut out, lines);
    out.extend_from_slice(b"\n");
    out.freeze()
}

/// The line that sets the client's reconnection time.
pub(crate) fn retry(milliseconds: u64) -> Bytes {
    let mut out = BytesMut::new();
    retry_line(&mut out, milliseconds);
    out.freeze()
}

/// A whole block that sets the client's reconnection time: some clients take notice of no other.
pub(crate) fn retry_block(milliseconds: u64) -> Bytes {
    let mut out = BytesMut::new();
    retry_line(&mut out, milliseconds);
    append(&mut out, format_args!("\n"));
    out.freeze()
}

/// Appends a frame that only sets the client's last event ID.
pub(crate) fn priming(out: &mut BytesMut, id: &str) {
    append(out, format_args!("id: {id}\n\n"));
}

/// Appends the line that sets the client's reconnection time.
pub(crate) fn retry_line(out: &mut BytesMut, milliseconds: u64) {
    append(out, format_args!("retry: {milliseconds}\n"));
}

fn append(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    // A growing buffer refuses nothing.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_event_of_ours_has_a_name_data_and_an_id() {
        let name = EventName::RESUME_GAP;
        let frame = written(|out| event(out, &name, "{}", "r1.x.1.7"));
        assert_eq!(frame, "event: resume-gap\ndata: {}\nid: r1.x.1.7\n\n");
    }

    #[test]
    fn lines_of_somebody_else_cannot_end_the_block_or_set_another_id() {
        let frame =
            written(|out| event_of_lines(out, "event: gap\r\n\ndata: x\nid: 9\nid", "r1.x.1.7"));
        assert_eq!(frame, "event: gap\ndata: x\nid: r1.x.1.7\n\n");
    }

    #[test]
    fn priming_and_retry_dispatch_nothing() {
        assert_eq!(written(|out| priming(out, "r1.x.1.0")), "id: r1.x.1.0\n\n");
        assert_eq!(written(|out| retry_line(out, 1500)), "retry: 1500\n");
        assert_eq!(COMMENT_LINE, b":\n");
    }

    #[test]
    fn frames_are_appended_to_what_is_there() {
        let mut out = BytesMut::from("data: x\n\n");
        priming(&mut out, "r1.x.1.1");
        assert_eq!(out, "data: x\n\nid: r1.x.1.1\n\n");
    }

    #[test]
    fn an_event_name_is_one_line() {
        for text in ["", "a\n", "a\rb", "\0"] {
            assert_eq!(EventName::new(text), Err(InvalidEventName(())), "{text:?}");
        }
        assert_eq!(EventName::new(String::from("gap")).unwrap().as_str(), "gap");
    }
}
