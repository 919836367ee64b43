//! Takes the `id` lines out of a frame that is too large to hold.

use memchr::memchr2;

use super::{CR, LF};

/// Tells the bytes of `id` lines from all others while a frame comes in pieces, holding back two
/// bytes at most.
///
/// For a frame that outgrows a limit: push what was collected of it, after
/// [`Scanner::lead`](super::Scanner::lead) bytes, then each further input up to the frame's blank
/// line. Nothing is held back there, so that an `id` line of one's own can be put before it.
///
/// What stays are the same lines, but for one thing: the LF of an `id` line after a line that ends
/// in CR stays, too, and makes that a CRLF. The CR and an LF that follows would become one line ending.
///
/// ```
/// use tower_sse_resume::sse::{IdFilter, Piece, lines};
///
/// let (mut kept, mut ids) = (Vec::new(), Vec::new());
/// let mut filter = IdFilter::new();
/// for input in [&b"data: a\ni"[..], b"d: 7", b"\ndata: b\n"] {
///     filter.push(input, |piece| match piece {
///         Piece::Keep(bytes) => kept.extend_from_slice(bytes),
///         Piece::Id(bytes) => ids.extend_from_slice(bytes),
///     });
/// }
/// assert_eq!(kept, b"data: a\ndata: b\n");
/// assert_eq!(lines(&ids).last_id(), Some(&b"7"[..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct IdFilter {
    state: State,
    /// Whether what stays ends in CR.
    is_after_cr: bool,
}

/// Bytes that the filter has decided on. The pieces of a kind, put together, are whole lines again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Of a line that stays.
    Keep(&'a [u8]),
    /// Of an `id` line.
    Id(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The line so far is this many bytes of `id`.
    Name(u8),
    /// Within a line of known kind.
    Inside { id: bool },
    /// After a CR: an LF that follows belongs to the same line.
    AfterCr { id: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl IdFilter {
    /// At the start of a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with `raw`, and hands over all that is decided then.
    pub fn push<'a>(&mut self, mut raw: &'a [u8], mut each: impl FnMut(Piece<'a>)) {
        while let Some(&byte) = raw.first() {
            let (taken, piece) = self.step(raw, byte);
            raw = &raw[taken..];
            if !matches!(piece, Piece::Keep([]) | Piece::Id([])) {
                each(piece);
            }
            match piece {
                Piece::Keep([.., last]) => self.is_after_cr = *last == CR,
                Piece::Id([.., LF]) if self.is_after_cr => {
                    self.is_after_cr = false;
                    each(Piece::Keep(b"\n"));
                }
                _ => {}
            }
        }
    }

    /// Takes some of `raw`, whose first byte is `byte`: how many bytes, and what is decided by
    /// them.
    fn step<'a>(&mut self, raw: &'a [u8], byte: u8) -> (usize, Piece<'a>) {
        let name: &'static [u8] = b"id";
        match self.state {
            State::Name(held) if name.get(usize::from(held)) == Some(&byte) => {
                self.state = State::Name(held + 1);
                (1, Piece::Keep(b""))
            }
            State::Name(held) => {
                let held = &name[..usize::from(held)];
                let id = held == name && matches!(byte, b':' | LF | CR);
                self.state = State::Inside { id };
                (0, Piece::new(id, held))
            }
            State::Inside { id } => {
                let end = memchr2(LF, CR, raw);
                match end.map(|end| raw[end]) {
                    Some(CR) => self.state = State::AfterCr { id },
                    Some(_) => self.state = State::Name(0),
                    None => {}
                }
                let taken = end.map_or(raw.len(), |end| end + 1);
                (taken, Piece::new(id, &raw[..taken]))
            }
            State::AfterCr { id } => {
                self.state = State::Name(0);
                let taken = usize::from(byte == LF);
                (taken, Piece::new(id, &raw[..taken]))
            }
        }
    }
}

impl<'a> Piece<'a> {
    fn new(id: bool, bytes: &'a [u8]) -> Self {
        if id { Self::Id(bytes) } else { Self::Keep(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays of a frame in pieces, and its `id` lines.
    fn filter(pieces: &[&str]) -> (String, String) {
        let (mut kept, mut ids) = (Vec::new(), Vec::new());
        let mut filter = IdFilter::new();
        for piece in pieces {
            filter.push(piece.as_bytes(), |piece| match piece {
                Piece::Keep(bytes) => kept.extend_from_slice(bytes),
                Piece::Id(bytes) => ids.extend_from_slice(bytes),
            });
        }
        (String::from_utf8(kept).unwrap(), String::from_utf8(ids).unwrap())
    }

    #[test]
    fn id_lines_go_with_their_line_endings() {
        let frame = "id\r\ndata: id: 1\rid: 2\ridea: x\nid: 3\n";
        let expected = ("data: id: 1\ridea: x\n".to_owned(), "id\r\nid: 2\rid: 3\n".to_owned());
        assert_eq!(filter(&[frame]), expected);
        assert_eq!(filter(&frame.split("").collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_cr_before_an_id_line_is_not_joined_with_an_lf_after_it() {
        for frame in ["event: e\rid: 1\n", "event: e\rid: 1\r\n", "event: e\rid: 1\rid\nid: 2\n"] {
            assert_eq!(filter(&[frame]).0, "event: e\r\n");
            assert_eq!(filter(&frame.split("").collect::<Vec<_>>()).0, "event: e\r\n");
        }
    }

    #[test]
    fn only_what_may_become_an_id_line_is_held_back() {
        assert_eq!(filter(&["data: a"]).0, "data: a");
        assert_eq!(filter(&["data: a\nid"]).0, "data: a\n");
        assert_eq!(filter(&["data: a\nide"]).0, "data: a\nide");
        assert_eq!(filter(&["id: 1"]).1, "id: 1");
    }
}
