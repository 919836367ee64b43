//! Finds frames in an event stream that comes in pieces (section 9.2.5, "parsing an event stream").

use memchr::memchr2;

use super::{CR, Fields, Frame, LF, LineEnding, Span, field::kind_of};

/// U+FEFF in UTF-8: one is ignored at the very start of a stream, anywhere else it is ordinary bytes.
const BOM: [u8; 3] = *b"\xEF\xBB\xBF";

/// As many bytes of a line as tell its kind: the longest known name and a colon.
const HEAD: usize = 6;

/// Finds the frames of one event stream. Holds none of its bytes, only what is known about the unfinished frame.
///
/// Any bytes are a valid event stream: there are no errors, and invalid UTF-8 passes. A frame whose blank line is a
/// lone CR at the end of an input is complete at once; if an LF then begins the next input, it is left out as the
/// [`lead`](Frame::lead) of the next frame. A frame that is unfinished when the stream ends is never returned, as
/// clients drop it too.
///
/// Panics: never.
#[derive(Clone, Debug)]
pub struct Scanner {
    /// Raw bytes of the unfinished frame in earlier inputs.
    len: usize,
    open: Open,
    /// The first bytes of the unfinished line, then colons: a line without a colon is one with a colon at its end.
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
    /// Within a frame.
    Frame,
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

    /// Scans on, and returns the first frame that ends within `input`: call again with `&input[frame.end..]`.
    ///
    /// `None`: all of `input` belongs to an unfinished frame; call again with the bytes that follow.
    #[inline]
    pub fn scan(&mut self, input: &[u8]) -> Option<Frame> {
        if self.carry == Carry::Nothing {
            self.lines(input, 0, 0, Open::default())
        } else {
            self.resume(input)
        }
    }

    /// How many raw bytes of the unfinished frame have come so far, its [`lead`](Self::lead) included.
    #[inline]
    pub fn unfinished(&self) -> usize {
        self.len
    }

    /// How many of the [`unfinished`](Self::unfinished) bytes are to be left out; see [`Frame::lead`]. Settled as soon
    /// as three bytes have come.
    #[inline]
    pub fn lead(&self) -> usize {
        usize::from(self.open.lead)
    }

    /// The kinds of the whole lines of the unfinished frame.
    #[inline]
    pub fn fields(&self) -> Fields {
        self.open.fields
    }

    /// Goes on where the input before ended, if that was not just between two frames.
    #[inline(never)]
    fn resume(&mut self, input: &[u8]) -> Option<Frame> {
        let &first = input.first()?;
        let mut at = 0;
        match self.carry {
            Carry::Start => at = self.byte_order_mark(input)?,
            Carry::FrameCr if first == LF => {
                (self.open.lead, self.open.line) = (1, 1);
                at = 1;
            }
            Carry::LineCr if first == LF => {
                self.open.end_with_lf();
                at = 1;
            }
            Carry::LineCr | Carry::FrameCr | Carry::Frame | Carry::Nothing => {}
        }
        let (base, mut open) = (self.len, self.open);
        if base + at > open.line {
            // `at` is 0 here: what may be skipped above is never within a line.
            let end = memchr2(LF, CR, input);
            self.extend_head(base - open.line, &input[..end.unwrap_or(input.len())]);
            let Some(end) = end else {
                self.len += input.len();
                self.carry = Carry::Frame;
                return None;
            };
            at = open.end_line(kind_of(&self.head), input, end, base);
        }
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

    /// Walks whole lines from `at`, where one begins, to the end of the frame or of `input`. The first byte of `input`
    /// is at `base` in the raw frame.
    #[inline]
    fn lines(&mut self, input: &[u8], mut at: usize, base: usize, mut open: Open) -> Option<Frame> {
        loop {
            let rest = &input[at..];
            match rest {
                [LF, ..] => return Some(open.frame(base + at, at + 1, base)),
                [CR, LF, ..] => return Some(open.frame(base + at, at + 2, base)),
                [CR, after @ ..] => {
                    if after.is_empty() {
                        self.carry = Carry::FrameCr;
                    }
                    return Some(open.frame(base + at, at + 1, base));
                }
                _ => {}
            }
            let Some(len) = memchr2(LF, CR, rest) else {
                self.keep(input, at, base, open);
                return None;
            };
            at = open.end_line(kind_of(&rest[..len]), input, at + len, base);
        }
    }

    /// The input ends within a frame, in the line from `at` on.
    fn keep(&mut self, input: &[u8], at: usize, base: usize, open: Open) {
        self.len = base + input.len();
        self.open = open;
        self.head = [b':'; HEAD];
        self.extend_head(0, &input[at..]);
        self.carry = match open.ending {
            _ if self.len == 0 => Carry::Nothing,
            Some(LineEnding::Cr) if at == input.len() => Carry::LineCr,
            _ => Carry::Frame,
        };
    }

    #[inline]
    fn extend_head(&mut self, from: usize, bytes: &[u8]) {
        let free = self.head.get_mut(from..).unwrap_or_default();
        free.iter_mut().zip(bytes).for_each(|(head, &byte)| *head = byte);
    }
}

impl Open {
    /// Takes in the line that ends at `end` in `input`: its terminator lies there. Returns where the next one begins.
    #[inline]
    fn end_line(&mut self, kind: Fields, input: &[u8], end: usize, base: usize) -> usize {
        let (ending, next) = match &input[end..] {
            [CR, LF, ..] => (LineEnding::CrLf, end + 2),
            [CR, ..] => (LineEnding::Cr, end + 1),
            _ => (LineEnding::Lf, end + 1),
        };
        if kind == Fields::ID {
            if self.fields.contains(Fields::ID) {
                self.fields |= Fields::SEVERAL_IDS;
            }
            self.id = (self.line, base + next);
        }
        self.fields |= kind;
        self.ending = Some(ending);
        self.line = base + next;
        next
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
