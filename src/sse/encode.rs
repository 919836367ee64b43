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

/// What the data of a gap signal says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GapData<'a> {
    pub(crate) requested: Option<u64>,
    pub(crate) resumed: u64,
    pub(crate) missed: Option<u64>,
    /// Written as it is: a word without quotes or backslashes.
    pub(crate) reason: &'a str,
}

/// Appends a gap signal: tells what is missing, and names the position it goes on from.
pub(crate) fn gap_signal(out: &mut BytesMut, name: &EventName, data: &GapData<'_>, id: &str) {
    let GapData { requested, resumed, missed, reason } = data;
    let (requested, missed) = (OrNull(*requested), OrNull(*missed));
    let json = format_args!(
        r#"{{"requested":{requested},"resumed":{resumed},"missed":{missed},"reason":"{reason}"}}"#
    );
    append(out, format_args!("event: {}\ndata: {json}\nid: {id}\n\n", name.as_str()));
}

/// Appends a gap signal of somebody else's making: `lines` of a block, to which our `id` is added.
///
/// Lines that would end the block, and `id` lines, are left out: they would break what follows.
pub(crate) fn custom_gap_signal(out: &mut BytesMut, lines: &str, id: &str) {
    let is_legal = |line: &&str| !line.is_empty() && *line != "id" && !line.starts_with("id:");
    for line in lines.split(['\r', '\n']).filter(is_legal) {
        append(out, format_args!("{line}\n"));
    }
    priming(out, id);
}

/// The line that sets the client's reconnection time.
pub(crate) fn retry(milliseconds: u64) -> Bytes {
    let mut out = BytesMut::new();
    retry_line(&mut out, milliseconds);
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

struct OrNull(Option<u64>);

impl fmt::Display for OrNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("null"),
        }
    }
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
    fn a_gap_signal_says_what_is_missing_and_where_it_goes_on() {
        let data = GapData { requested: Some(3), resumed: 7, missed: Some(4), reason: "evicted" };
        assert_eq!(
            written(|out| gap_signal(out, &EventName::RESUME_GAP, &data, "r1.x.1.7")),
            "event: resume-gap\n\
             data: {\"requested\":3,\"resumed\":7,\"missed\":4,\"reason\":\"evicted\"}\n\
             id: r1.x.1.7\n\n"
        );
    }

    #[test]
    fn what_is_not_known_is_null() {
        let data = GapData { requested: None, resumed: 0, missed: None, reason: "unknown" };
        let name = EventName::new("lücke").unwrap();
        let frame = written(|out| gap_signal(out, &name, &data, "r1.x.1.0"));
        let json = frame.strip_prefix("event: lücke\ndata: ").unwrap();
        let json = json.strip_suffix("\nid: r1.x.1.0\n\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["requested"], serde_json::Value::Null);
        assert_eq!(value["missed"], serde_json::Value::Null);
        assert_eq!(value["resumed"], 0);
        assert_eq!(value["reason"], "unknown");
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
