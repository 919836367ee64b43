//! Writes the `id` line of each event.

use std::fmt;

use bytes::BufMut;

use super::{MAX_LEN, Marker, Token, decimal, inner};

/// The part of a stream's event IDs that does not change within a generation, ready to be written.
#[derive(Clone, Copy)]
pub(crate) struct IdLine {
    pub(super) start: [u8; START_MAX],
    pub(super) len: u8,
}

const FIELD: &[u8] = b"id: ";

/// CR LF after the line, and for a blank line after it.
const ENDING_MAX: usize = 4;

const START_MAX: usize = IdLine::START_MAX;

impl IdLine {
    /// Field, marker, token and generation (ten digits at most), each part of the ID with its dot.
    pub(super) const START_MAX: usize =
        FIELD.len() + Marker::MAX_LEN + 1 + Token::TEXT_LEN + 1 + 10 + 1;

    /// The most bytes that [`IdLine::write`] appends: field, ID and two times CR LF.
    pub(crate) const LINE_LEN_MAX: usize = FIELD.len() + MAX_LEN + ENDING_MAX;

    /// The line of one stream under one generation (from 1: an ID of generation 0 is malformed).
    pub(crate) fn new(marker: &Marker, token: &Token, generation: u32) -> Self {
        let mut line = Self { start: [0; START_MAX], len: 0 };
        line.push(FIELD);
        for part in [
            marker.as_bytes(),
            &token.text(),
            decimal::digits(generation.into(), &mut [0; decimal::MAX_LEN]),
        ] {
            line.push(part);
            line.push(b".");
        }
        line
    }

    /// Whether `id` is an ID of the same stream, under whichever generation.
    pub(crate) fn is_of_this_stream(&self, id: &[u8]) -> bool {
        let start = &self.start[FIELD.len()..usize::from(self.len)];
        let token_end = start.iter().rposition(|byte| *byte == b'.').unwrap_or_default();
        let stream_end =
            start[..token_end].iter().rposition(|byte| *byte == b'.').unwrap_or_default();
        id.starts_with(&start[..=stream_end])
    }

    /// The most bytes that [`IdLine::write`] appends with this inner ID.
    #[inline]
    pub(crate) fn len_max(&self, inner: &[u8]) -> usize {
        if inner.is_empty() {
            usize::from(self.len) + decimal::MAX_LEN + ENDING_MAX
        } else {
            Self::LINE_LEN_MAX
        }
    }

    fn push(&mut self, part: &[u8]) {
        let at = usize::from(self.len);
        self.start[at..at + part.len()].copy_from_slice(part);
        self.len += part.len() as u8;
    }

    /// Appends the `id` line of the event at `offset`, with the line ending `ending`: that of the line, and perhaps that
    /// of a blank line after it.
    ///
    /// Returns whether the ID says all there is: `false` if `inner` had to be left out, because the
    /// ID would pass 128 bytes or because `inner` is no legal header field value. No inner ID and
    /// an empty one are the same: after either, no `Last-Event-ID` is sent.
    ///
    /// A buffer that does not grow needs room for [`IdLine::LINE_LEN_MAX`] bytes.
    #[inline]
    #[must_use]
    pub(crate) fn write(
        &self,
        out: &mut impl BufMut,
        offset: u64,
        inner: Option<&[u8]>,
        ending: &[u8],
    ) -> bool {
        let Some(inner) = inner.filter(|inner| !inner.is_empty()) else {
            self.write_plain(out, offset, ending);
            return true;
        };
        let complete = self.write_from(0, out, offset, Some(inner));
        out.put_slice(ending);
        complete
    }

    /// The line of an ID without an inner one, appended in one piece.
    #[inline]
    fn write_plain(&self, out: &mut impl BufMut, offset: u64, ending: &[u8]) {
        let mut line = [0; START_MAX + decimal::MAX_LEN + ENDING_MAX];
        line[..START_MAX].copy_from_slice(&self.start);
        let mut len = usize::from(self.len);
        let mut digits = [0; decimal::MAX_LEN];
        for part in [decimal::digits(offset, &mut digits), ending] {
            line[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        out.put_slice(&line[..len]);
    }

    /// The ID of the event at `offset`, for a header. `inner` as in [`IdLine::write`].
    pub(crate) fn id(&self, offset: u64, inner: Option<&[u8]>) -> String {
        let mut id = Vec::with_capacity(MAX_LEN);
        self.write_from(FIELD.len(), &mut id, offset, inner);
        String::from_utf8(id).unwrap_or_default()
    }

    fn write_from(
        &self,
        from: usize,
        out: &mut impl BufMut,
        offset: u64,
        inner: Option<&[u8]>,
    ) -> bool {
        let mut digits = [0; decimal::MAX_LEN];
        let digits = decimal::digits(offset, &mut digits);
        let len = usize::from(self.len) + digits.len();
        out.put_slice(&self.start[from..usize::from(self.len)]);
        out.put_slice(digits);
        let Some(inner) = inner.filter(|inner| !inner.is_empty()) else { return true };
        write_inner(inner, MAX_LEN + FIELD.len() - len, out)
    }
}

/// Appends a dot and the inner ID, if it may be sent at all and both fit into `room`.
fn write_inner(id: &[u8], room: usize, out: &mut impl BufMut) -> bool {
    // An ID of many bytes need not be looked at to know that it does not fit.
    let fits = id.len() < room && inner::encoded_len(id).is_some_and(|len| len < room);
    if fits {
        out.put_u8(b'.');
        inner::encode(id, out);
    }
    fits
}

impl fmt::Debug for IdLine {
    /// Holds a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdLine(..)")
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn line(marker: &str, generation: u32) -> IdLine {
        IdLine::new(
            &Marker::new(marker).unwrap(),
            &Token::from_text(&[b'A'; 22]).unwrap(),
            generation,
        )
    }

    fn written(offset: u64, inner: Option<&[u8]>, ending: &str) -> (String, bool) {
        let mut out = BytesMut::new();
        let complete = line("r1", 3).write(&mut out, offset, inner, ending.as_bytes());
        (String::from_utf8(out.to_vec()).unwrap(), complete)
    }

    #[test]
    fn a_line_is_field_marker_token_generation_offset_and_inner_id() {
        let start = "id: r1.AAAAAAAAAAAAAAAAAAAAAA.3.";
        assert_eq!(written(0, None, "\n"), (format!("{start}0\n"), true));
        assert_eq!(written(129, None, "\r\n"), (format!("{start}129\r\n"), true));
        assert_eq!(written(7, Some(b"a-1"), "\r"), (format!("{start}7.a-1\r"), true));
        assert_eq!(written(7, Some(b"1.5 %"), "\n"), (format!("{start}7.1%2E5%20%25\n"), true));
    }

    #[test]
    fn an_empty_inner_id_is_none() {
        assert_eq!(written(7, Some(b""), "\n"), written(7, None, "\n"));
    }

    #[test]
    fn an_inner_id_that_no_header_can_hold_is_left_out() {
        for id in [&b"\0"[..], b"a\0", b"a\x1b", b"\x7f"] {
            assert_eq!(written(7, Some(id), "\n"), (written(7, None, "\n").0, false));
        }
    }

    #[test]
    fn an_id_has_at_most_128_bytes() {
        for (offset, longest) in [(1, 98), (10, 97)] {
            let id = line("r1", 1).id(offset, Some(&vec![b'x'; longest]));
            assert_eq!(id.len(), 128, "the inner ID and its dot fill the line");
            let id = line("r1", 1).id(offset, Some(&vec![b'x'; longest + 1]));
            assert_eq!(id, line("r1", 1).id(offset, None));
        }
        assert_eq!(line("r1", 1).id(1, Some(&[b'.'; 32])).len(), 29 + 1 + 96);
        assert_eq!(line("r1", 1).id(1, Some(&[b'.'; 33])).len(), 29);
        assert_eq!(line("r1", 1).id(1, Some(&[b'.'; 10_000])).len(), 29);
    }

    #[test]
    fn the_longest_line_has_the_length_that_is_promised() {
        let line = line("0123456789abcdef", u32::MAX);
        let mut out = vec![];
        assert!(line.write(&mut out, u64::MAX, Some(&[b'x'; 56]), b"\r\n\r\n"));
        assert_eq!(out.len(), IdLine::LINE_LEN_MAX);
    }

    #[test]
    fn a_line_fits_into_a_cache_line() {
        assert_eq!(size_of::<IdLine>(), 56);
    }

    #[test]
    fn a_line_is_never_printed() {
        assert_eq!(format!("{:?}", line("r1", 1)), "IdLine(..)");
    }
}
