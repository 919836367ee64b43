//! Walks the lines of a frame that lies in one piece (section 9.2.6, "process the field").

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::{CR, Fields, LF};

/// The kind of a line that is not blank, from all of it without its terminator, or from its first
/// six bytes or more.
///
/// A line without a colon is a name with an empty value, the same as with a colon at its end.
#[inline]
pub(super) fn kind_of(line: &[u8]) -> Fields {
    if let Some(rest) = line.strip_prefix(b"data") {
        return if_name_ends(rest, Fields::DATA);
    }
    if let Some(rest) = line.strip_prefix(b"id") {
        return if_name_ends(rest, Fields::ID);
    }
    if let Some(rest) = line.strip_prefix(b"event") {
        return if_name_ends(rest, Fields::EVENT);
    }
    if let Some(rest) = line.strip_prefix(b"retry") {
        return if_name_ends(rest, Fields::RETRY);
    }
    Fields::OTHER
}

#[inline]
fn if_name_ends(rest: &[u8], kind: Fields) -> Fields {
    if rest.first().is_none_or(|&byte| byte == b':') { kind } else { Fields::OTHER }
}

/// The lines of `raw`, which begins with a line: a whole frame after its
/// [`lead`](super::Frame::lead), or some of its lines. Ends at a blank line, and before a line
/// without its terminator.
#[inline]
pub fn lines(raw: &[u8]) -> Lines<'_> {
    lines_from(raw, 0)
}

#[inline]
pub(super) fn lines_from(raw: &[u8], at: usize) -> Lines<'_> {
    Lines { raw, at }
}

/// Iterator over the lines of a frame. Made by [`lines`] and [`Frame::lines`](super::Frame::lines).
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it lies in the bytes that were given, terminator included.
    pub range: Range<usize>,
    /// What it says.
    pub field: Field<'a>,
}

/// What a line says. Values have lost the one space that may follow the colon, and are not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A `data` line.
    Data(&'a [u8]),
    /// An `event` line.
    Event(&'a [u8]),
    /// An `id` line. Clients ignore it if the value has a NUL.
    Id(&'a [u8]),
    /// A `retry` line. Clients ignore it if the value is not all ASCII digits.
    Retry(&'a [u8]),
    /// A line that begins with a colon.
    Comment,
    /// Any other name.
    Unknown,
}

impl<'a> Field<'a> {
    fn of(line: &'a [u8]) -> Self {
        match kind_of(line) {
            Fields::DATA => Self::Data(value(line, "data")),
            Fields::EVENT => Self::Event(value(line, "event")),
            Fields::ID => Self::Id(value(line, "id")),
            Fields::RETRY => Self::Retry(value(line, "retry")),
            _ if line.starts_with(b":") => Self::Comment,
            _ => Self::Unknown,
        }
    }

    /// The value of an `id` line that clients take (section 9.2.6: one with a NUL is ignored, an
    /// empty one counts).
    pub fn valid_id(self) -> Option<&'a [u8]> {
        match self {
            Self::Id(value) if memchr(0, value).is_none() => Some(value),
            _ => None,
        }
    }

    /// The milliseconds of a `retry` line that clients take: ASCII digits only, at least one. A
    /// number above `u64::MAX` counts as that, for it, too, says "a very long time".
    pub fn valid_retry(self) -> Option<u64> {
        match self {
            Self::Retry(value) => number(value),
            _ => None,
        }
    }
}

fn value<'a>(line: &'a [u8], name: &str) -> &'a [u8] {
    match &line[name.len()..] {
        [b':', b' ', value @ ..] | [b':', value @ ..] => value,
        _ => b"",
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add =
        |number: u64, digit: &u8| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.raw[self.at..];
        let len = memchr2(LF, CR, rest).filter(|&len| len > 0)?;
        let terminator = if rest[len..].starts_with(b"\r\n") { 2 } else { 1 };
        let start = self.at;
        self.at += len + terminator;
        Some(Line { range: start..self.at, field: Field::of(&rest[..len]) })
    }
}

impl<'a> Lines<'a> {
    /// The value of the last valid `id` line: the last event ID that this frame sets, perhaps an
    /// empty one.
    pub fn last_id(self) -> Option<&'a [u8]> {
        self.filter_map(|line| line.field.valid_id()).last()
    }

    /// The value of the last valid `retry` line, in milliseconds; see [`Field::valid_retry`].
    pub fn last_retry(self) -> Option<u64> {
        self.filter_map(|line| line.field.valid_retry()).last()
    }

    /// The value of the last `event` line. An empty one means the same as none: the type `message`.
    pub fn event_type(self) -> Option<&'a [u8]> {
        let event = |line: Line<'a>| match line.field {
            Field::Event(value) => Some(value),
            _ => None,
        };
        self.filter_map(event).last()
    }

    /// The event's data in pieces: the values of the `data` lines with an LF between each two.
    pub fn data(self) -> Data<'a> {
        Data { lines: self, begun: false, after_lf: None }
    }
}

/// Iterator over the pieces of an event's data. Made by [`Lines::data`].
#[derive(Clone, Debug)]
pub struct Data<'a> {
    lines: Lines<'a>,
    begun: bool,
    after_lf: Option<&'a [u8]>,
}

impl<'a> Iterator for Data<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(value) = self.after_lf.take() {
            return Some(value);
        }
        let value = self.lines.find_map(|line| match line.field {
            Field::Data(value) => Some(value),
            _ => None,
        })?;
        if std::mem::replace(&mut self.begun, true) {
            self.after_lf = Some(value);
            return Some(b"\n");
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(raw: &str) -> Vec<Field<'_>> {
        lines(raw.as_bytes()).map(|line| line.field).collect()
    }

    #[test]
    fn one_space_after_the_colon_goes() {
        use Field::{Comment, Data, Event, Id, Retry, Unknown};
        assert_eq!(
            fields("data: a\rdata:  b\ndata:c\r\ndata\n"),
            [Data(b"a"), Data(b" b"), Data(b"c"), Data(b"")]
        );
        assert_eq!(fields("event: e\nid: 1:2\nretry:3\n"), [Event(b"e"), Id(b"1:2"), Retry(b"3")]);
        assert_eq!(
            fields(": data\nData: x\n data: x\ndata : x\n"),
            [Comment, Unknown, Unknown, Unknown]
        );
    }

    #[test]
    fn a_walk_ends_at_a_blank_line_and_at_an_unfinished_one() {
        assert_eq!(fields("data: a\n\ndata: b\n"), [Field::Data(b"a")]);
        assert_eq!(fields("data: a\ndata: b"), [Field::Data(b"a")]);
    }

    #[test]
    fn ranges_join_without_a_gap() {
        let ranges: Vec<_> = lines(b"a\r\nb\rc\n\n").map(|line| line.range).collect();
        assert_eq!(ranges, [0..3, 3..5, 5..7]);
    }

    #[test]
    fn the_last_valid_id_counts() {
        assert_eq!(lines(b"id: 1\nid: a\0\n").last_id(), Some(&b"1"[..]));
        assert_eq!(lines(b"id: 1\nid\n").last_id(), Some(&b""[..]));
        assert_eq!(lines(b"id: \0\ndata\n").last_id(), None);
    }

    #[test]
    fn the_last_valid_retry_counts() {
        assert_eq!(lines(b"retry: 20\nretry: 2s\nretry\nretry: -1\n").last_retry(), Some(20));
        assert_eq!(lines(b"retry: 18446744073709551616\n").last_retry(), Some(u64::MAX));
    }

    #[test]
    fn data_comes_joined_by_lf() {
        let data = |raw: &'static [u8]| lines(raw).data().collect::<Vec<_>>().concat();
        assert_eq!(data(b"data: a\nid: 1\ndata\ndata: b\n"), b"a\n\nb");
        assert_eq!(data(b"data\n"), b"");
        assert_eq!(lines(b"event: x\nevent: y\n").event_type(), Some(&b"y"[..]));
    }
}
