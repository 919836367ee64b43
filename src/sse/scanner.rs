//! Finds frames in an event stream that comes in pieces (section 9.2.5, "parsing an event stream").

use super::{
    BYTE_ORDER_MARK as BOM, CR, Fields, Frame, LF, LineEnding, Span,
    field::kind_of,
    line_end::{line_end, terminator},
};

/// As many bytes of a line as tell its kind: the longest known name and a colon.
const HEAD: usize = 6;

/// Finds the frames of one event stream. Holds none of its bytes, only what is known about the
/// unfinished frame.
///
/// Any bytes are a valid event stream: there are no errors, and invalid UTF-8 passes. A frame whose
/// blank line is a lone CR at the end of an input is complete at once; if an LF then begins the
/// next input, it is left out as the [`lead`](Frame::lead) of the next frame. A frame that is
/// unfinished when the stream ends is never returned, as clients drop it too.
///
/// Panics: never.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// Raw bytes of the unfinished frame in earlier inputs.
    len: usize,
    open: Open,
    /// The first bytes of the unfinished line, then colons: a line without a colon is one with a
    /// colon at its end.
    head: [u8; HEAD],
    carry: Carry,
}

/// What matters at the border of two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carry {
    /// At the start of the stream, or within its byte order mark.
    Start,
    /// Between two frames.
    Nothing,
    /// Between two frames, and the last byte was a CR.
    FrameCr,
    /// Within a frame: at the start of a line, or within its first bytes.
    Frame,
    /// Within a line that is past its first bytes.
    Line,
    /// Within a frame after a line that is not blank, and the last byte was a CR.
    LineCr,
}

/// What is known about a frame before its end has come.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Where the unfinished line begins.
    line: usize,
    /// The last `id` line.
    id: (usize, usize),
    fields: Fields,
    lead: u8,
    ending: Option<LineEnding>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// At the start of a stream, where a byte order mark is left out.
    pub const fn new() -> Self {
        let open = Open { line: 0, id: (0, 0), fields: Fields::NONE, lead: 0, ending: None };
        Self { len: 0, open, head: [b':'; HEAD], carry: Carry::Start }
    }

    /// Between two frames of a stream whose start is elsewhere: U+FEFF is ordinary bytes here.
    ///
    /// For frames that were kept: what follows on a first part is no start, whatever it begins with.
    pub const fn between_frames() -> Self {
        Self { carry: Carry::Nothing, ..Self::new() }
    }

    /// Scans on, and returns the first frame that ends within `input`: call again with
    /// `&input[frame.end..]`.
    ///
    /// `None`: all of `input` belongs to an unfinished frame; call again with the bytes that
    /// follow.
    #[inline]
    pub fn scan(&mut self, input: &[u8]) -> Option<Frame> {
        match self.carry {
            Carry::Nothing => self.lines(input, 0, 0, Open::default()),
            Carry::Line => {
                if let Some(end) = line_end(input) {
                    return self.end_line(input, end);
                }
                self.len += input.len();
                None
            }
            _ => self.resume(input),
        }
    }

    /// The kinds of the lines of `input`, if that is just one frame whose lines all end with LF.
    ///
    /// It is then as if it had been [scanned](Self::scan), for much less. `None`: scan it, nothing has happened.
    #[inline]
    pub fn scan_one(&mut self, input: &[u8]) -> Option<Fields> {
        let (mut rest, mut fields) = (input, Fields::NONE);
        if self.carry != Carry::Nothing && !self.starts_without_mark(input) {
            return None;
        }
        while rest != [LF] {
            let (line, after) = rest.split_at(line_end(rest)?);
            rest = after.strip_prefix(&[LF])?;
            if line.is_empty() {
                return None;
            }
            fields |= kind_of(line);
        }
        self.carry = Carry::Nothing;
        Some(fields)
    }

    /// Whether the stream starts with `input`, and that not with a byte order mark.
    #[cold]
    fn starts_without_mark(&self, input: &[u8]) -> bool {
        self.carry == Carry::Start && self.len == 0 && !input.starts_with(&BOM[..1])
    }

    /// How many raw bytes of the unfinished frame have come so far, its [`lead`](Self::lead)
    /// included.
    #[inline]
    pub fn unfinished(&self) -> usize {
        self.len
    }

    /// How many of the [`unfinished`](Self::unfinished) bytes are to be left out; see
    /// [`Frame::lead`]. Settled as soon as three bytes have come.
    #[inline]
    pub fn lead(&self) -> usize {
        usize::from(self.open.lead)
    }

    /// The kinds of the whole lines of the unfinished frame.
    #[inline]
    pub fn fields(&self) -> Fields {
        self.open.fields
    }

    /// Goes on where the input before ended, in the less common cases.
    #[inline(never)]
    fn resume(&mut self, input: &[u8]) -> Option<Frame> {
        let &first = input.first()?;
        match self.carry {
            Carry::Start => {
                let at = self.byte_order_mark(input)?;
                if at > 0 || self.len == 0 {
                    return self.lines_on(input, at);
                }
            }
            Carry::FrameCr if first == LF => {
                (self.open.lead, self.open.line) = (1, 1);
                return self.lines_on(input, 1);
            }
            Carry::LineCr if first == LF => {
                self.open.end_with_lf();
                return self.lines_on(input, 1);
            }
            _ if self.len == self.open.line => return self.lines_on(input, 0),
            _ => {}
        }
        let end = line_end(input);
        let begun = self.len - self.open.line;
        self.extend_head(begun, &input[..end.unwrap_or(input.len())]);
        let Some(end) = end else {
            self.len += input.len();
            if self.len - self.open.line >= HEAD {
                self.carry = Carry::Line;
            } else {
                self.carry = Carry::Frame;
            }
            return None;
        };
        self.end_line(input, end)
    }

    /// The unfinished line ends at `end`.
    fn end_line(&mut self, input: &[u8], end: usize) -> Option<Frame> {
        let next = end + terminator(&input[end..]);
        self.open.add(kind_of(&self.head), self.open.line, self.len + next);
        self.open.ending = ending(&input[..next]).or(Some(LineEnding::Lf));
        self.lines_on(input, next)
    }

    /// Goes on within the unfinished frame from `at`, where a line begins.
    #[inline(never)]
    fn lines_on(&mut self, input: &[u8], at: usize) -> Option<Frame> {
        let (base, open) = (self.len, self.open);
        (self.len, self.open, self.carry) = (0, Open::default(), Carry::Nothing);
        self.lines(input, at, base, open)
    }

    /// Skips a byte order mark; `None` if more input must tell.
    fn byte_order_mark(&mut self, input: &[u8]) -> Option<usize> {
        let missing = &BOM[self.len..];
        let come = missing.len().min(input.len());
        if input[..come] != missing[..come] {
            return Some(0);
        }
        if come < missing.len() {
            self.extend_head(self.len, &input[..come]);
            self.len += come;
            return None;
        }
        (self.open.lead, self.open.line) = (3, 3);
        Some(come)
    }

    /// Walks whole lines from `at`, where one begins, to the end of the frame or of `input`. The
    /// first byte of `input` is at `base` in the raw frame.
    #[inline]
    fn lines(&mut self, input: &[u8], mut at: usize, base: usize, mut open: Open) -> Option<Frame> {
        loop {
            let rest = &input[at..];
            if let [LF | CR, ..] = rest {
                let end = at + terminator(rest);
                if rest == [CR] {
                    self.carry = Carry::FrameCr;
                }
                open.ending = ending(&input[..at]).or(open.ending);
                return Some(open.frame(base + at, end, base));
            }
            let Some(len) = line_end(rest) else {
                self.keep(input, at, base, open);
                return None;
            };
            let next = at + len + terminator(&rest[len..]);
            open.add(kind_of(&rest[..len]), base + at, base + next);
            at = next;
        }
    }

    /// The input ends within a frame, in the line from `at` on.
    #[inline]
    fn keep(&mut self, input: &[u8], at: usize, base: usize, open: Open) {
        if base + input.len() == 0 {
            return;
        }
        let (whole, rest) = input.split_at(at);
        self.len = base + input.len();
        self.open = Open { line: base + at, ending: ending(whole).or(open.ending), ..open };
        if let Some(head) = rest.first_chunk() {
            self.head = *head;
            self.carry = Carry::Line;
            return;
        }
        self.head = [b':'; HEAD];
        self.extend_head(0, rest);
        self.carry = match self.open.ending {
            Some(LineEnding::Cr) if rest.is_empty() => Carry::LineCr,
            _ => Carry::Frame,
        };
    }

    #[inline]
    fn extend_head(&mut self, from: usize, bytes: &[u8]) {
        let free = self.head.get_mut(from..).unwrap_or_default();
        free.iter_mut().zip(bytes).for_each(|(head, &byte)| *head = byte);
    }
}

/// How the last line of `lines` ends; `None` if that is for earlier inputs to tell.
#[inline]
fn ending(lines: &[u8]) -> Option<LineEnding> {
    match lines {
        [.., CR, LF] => Some(LineEnding::CrLf),
        [.., CR] => Some(LineEnding::Cr),
        [_, .., LF] => Some(LineEnding::Lf),
        _ => None,
    }
}

impl Open {
    /// Takes in a whole line that is not blank.
    #[inline]
    fn add(&mut self, kind: Fields, start: usize, end: usize) {
        if kind == Fields::ID {
            if self.fields.contains(Fields::ID) {
                self.fields |= Fields::SEVERAL_IDS;
            }
            self.id = (start, end);
        }
        self.fields |= kind;
    }

    /// The CR that ended the line before was the first half of a CRLF.
    fn end_with_lf(&mut self) {
        if self.id.1 == self.line {
            self.id.1 += 1;
        }
        self.line += 1;
        self.ending = Some(LineEnding::CrLf);
    }

    #[inline]
    fn frame(&self, blank: usize, end: usize, base: usize) -> Frame {
        let only_id =
            self.fields.contains(Fields::ID) && !self.fields.contains(Fields::SEVERAL_IDS);
        Frame {
            end,
            len: base + end,
            lead: usize::from(self.lead),
            blank,
            fields: self.fields,
            id_line: only_id.then_some(Span { start: self.id.0, end: self.id.1 }),
            ending: self.ending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::BlockKind;

    /// All frames of a stream in pieces.
    fn scan(pieces: &[&str]) -> Vec<Frame> {
        let mut scanner = Scanner::new();
        let mut frames = Vec::new();
        for piece in pieces {
            let mut input = piece.as_bytes();
            while let Some(frame) = scanner.scan(input) {
                input = &input[frame.end..];
                frames.push(frame);
            }
        }
        frames
    }

    fn kinds(pieces: &[&str]) -> Vec<BlockKind> {
        scan(pieces).iter().map(Frame::kind).collect()
    }

    #[test]
    fn a_scanner_is_small() {
        assert!(size_of::<Scanner>() <= 48);
    }

    #[test]
    fn a_frame_ends_with_its_blank_line() {
        let frame = scan(&["event: a\r\nid: 1\r\ndata: x\r\n\r\ndata: y"])[0];
        assert_eq!((frame.end, frame.len, frame.lead, frame.blank), (28, 28, 0, 26));
        assert_eq!(frame.fields, Fields::EVENT | Fields::ID | Fields::DATA);
        assert_eq!(frame.id_line, Some(Span { start: 10, end: 17 }));
        assert_eq!(frame.ending, Some(LineEnding::CrLf));
    }

    #[test]
    fn blocks_are_told_by_what_they_dispatch() {
        use BlockKind::{Blank, Event, EventWithoutData, Silent};
        assert_eq!(
            kinds(&["data\n\n", "event\n\n", "id: 1\n\n"]),
            [Event, EventWithoutData, Silent]
        );
        assert_eq!(
            kinds(&[": c\n\n", "retry: 1\n\n", "x\n\n", "\n"]),
            [Silent, Silent, Silent, Blank]
        );
    }

    #[test]
    fn a_frame_that_ends_in_a_lone_cr_is_complete_at_once() {
        let frames = scan(&["data: x\r\r", "data: y\r\r"]);
        assert_eq!(
            (frames[0].len, frames[0].blank, frames[0].ending),
            (9, 8, Some(LineEnding::Cr))
        );
        assert_eq!((frames[1].len, frames[1].lead), (9, 0));
    }

    #[test]
    fn the_lf_of_a_blank_line_that_was_complete_without_it_is_a_lead() {
        let frames = scan(&["data: x\r\n\r", "\ndata: y\r\n\r\n"]);
        assert_eq!((frames[0].end, frames[0].blank), (10, 9));
        assert_eq!((frames[1].lead, frames[1].len, frames[1].blank), (1, 12, 10));
    }

    #[test]
    fn such_an_lf_alone_stays_pending_and_is_no_blank_line() {
        let mut scanner = Scanner::new();
        assert!(scanner.scan(b"data: x\r\n\r").is_some());
        assert!(scanner.scan(b"").is_none());
        assert!(scanner.scan(b"\n").is_none());
        assert_eq!((scanner.unfinished(), scanner.lead()), (1, 1));
        let frame = scanner.scan(b"\r\n").unwrap();
        assert_eq!((frame.lead, frame.blank, frame.len, frame.kind()), (1, 1, 3, BlockKind::Blank));
    }

    #[test]
    fn the_lf_after_a_cr_that_ended_an_input_belongs_to_that_line() {
        let frame = scan(&["data: x\nid: 7\r", "\n", "\n"])[0];
        assert_eq!((frame.len, frame.blank, frame.end), (16, 15, 1));
        assert_eq!(frame.id_line, Some(Span { start: 8, end: 15 }));
        assert_eq!(frame.ending, Some(LineEnding::CrLf));
    }

    #[test]
    fn no_lf_after_a_cr_that_ended_an_input_is_a_lone_cr() {
        let frame = scan(&["id: 7\r", "data: x\r", "\r"])[0];
        assert_eq!(frame.id_line, Some(Span { start: 0, end: 6 }));
        assert_eq!((frame.blank, frame.ending), (14, Some(LineEnding::Cr)));
    }

    #[test]
    fn a_byte_order_mark_at_the_start_is_a_lead_however_it_is_cut() {
        for cut in 1..4 {
            let mut scanner = Scanner::new();
            let (first, second) = b"\xEF\xBB\xBFdata\n\n".split_at(cut);
            assert!(scanner.scan(first).is_none());
            assert_eq!(scanner.unfinished(), cut);
            let frame = scanner.scan(second).unwrap();
            assert_eq!((frame.lead, frame.len, frame.kind()), (3, 9, BlockKind::Event));
        }
    }

    #[test]
    fn between_two_frames_a_byte_order_mark_is_the_start_of_a_line() {
        for input in ["\u{FEFF}\ndata: a\n\n", "\u{FEFF}data: a\n\n"] {
            for cut in 0..4 {
                let mut scanner = Scanner::between_frames();
                let (first, second) = input.as_bytes().split_at(cut);
                assert_eq!(scanner.scan(first), None);
                let frame = scanner.scan(second).unwrap();
                assert_eq!((frame.lead, frame.len), (0, input.len()));
                assert!(frame.fields.contains(Fields::OTHER));
            }
        }
    }

    #[test]
    fn half_a_byte_order_mark_is_the_start_of_a_name() {
        let mut scanner = Scanner::new();
        assert!(scanner.scan(b"\xEF").is_none());
        let frame = scanner.scan(b"\xBBdata\n\n").unwrap();
        assert_eq!((frame.lead, frame.fields), (0, Fields::OTHER));
    }

    #[test]
    fn a_field_is_told_however_its_name_is_cut() {
        let lines = [
            ("data", Fields::DATA),
            ("event: x", Fields::EVENT),
            ("id", Fields::ID),
            ("retry:1", Fields::RETRY),
            (":data", Fields::OTHER),
            ("dat: x", Fields::OTHER),
            ("retry1: x", Fields::OTHER),
        ];
        for (line, fields) in lines {
            let block = format!("{line}\n\n");
            for cut in 0..block.len() {
                let (first, second) = block.split_at(cut);
                assert_eq!(scan(&[first, second])[0].fields, fields, "{first} | {second}");
                let bytes: Vec<&str> = block.split("").collect();
                assert_eq!(scan(&bytes)[0].fields, fields, "{line}");
            }
        }
    }

    #[test]
    fn just_one_frame_with_lf_is_told_without_a_scan() {
        let told = |input: &str| {
            let (mut scanner, mut other) = (Scanner::new(), Scanner::new());
            let told = scanner.scan_one(input.as_bytes());
            let frame = other.scan(input.as_bytes());
            assert!(told.is_none() || (scanner.len, scanner.carry) == (other.len, other.carry));
            assert!(told.is_none_or(|fields| frame.is_some_and(|frame| frame.fields == fields)));
            assert!(told.is_none() || frame.is_some_and(|frame| frame.end == input.len()));
            assert!(told.is_some() || scanner.scan(input.as_bytes()) == frame);
            told
        };
        assert_eq!(told("data: a\n\n"), Some(Fields::DATA));
        assert_eq!(told("event: x\ndata\ndata:\n\n"), Some(Fields::EVENT | Fields::DATA));
        assert_eq!(told(": c\nid: 1\n\n"), Some(Fields::OTHER | Fields::ID));
        assert_eq!(told("\n"), Some(Fields::NONE));
        for other in ["", "data: a", "data: a\n", "\n\n", "data: a\n\ndata: b\n\n", "data: a\n\n\n"]
        {
            assert_eq!(told(other), None, "{other:?}");
        }
        for other in ["data: a\r\n\r\n", "data: a\n\r\n", "data: a\r\r", "data: a\rdata: b\n\n"] {
            assert_eq!(told(other), None, "{other:?}");
        }
        assert_eq!(told("\u{FEFF}data: a\n\n"), None);
        let mut within = Scanner::new();
        assert_eq!(within.scan(b"data: a\n"), None);
        assert_eq!(within.scan_one(b"data: b\n\n"), None);
    }

    #[test]
    fn several_id_lines_are_flagged() {
        let frame = scan(&["id: 1\nid\ndata\n\n"])[0];
        assert!(frame.fields.contains(Fields::ID | Fields::SEVERAL_IDS));
        assert_eq!(frame.id_line, None);
    }
}
