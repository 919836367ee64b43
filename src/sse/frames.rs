//! The frames of a part of a stream that was kept.

use super::Scanner;

/// The whole frames that `bytes` has, one after the other.
///
/// These are bytes that went over the wire, less what is no part of a frame: they are never the start of an inner
/// response, so that a frame may begin with U+FEFF.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    Frames { bytes, scanner: Scanner::between_frames() }
}

struct Frames<'a> {
    bytes: &'a [u8],
    scanner: Scanner,
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let frame = self.scanner.scan(self.bytes)?;
        let (this, rest) = self.bytes.split_at(frame.end);
        self.bytes = rest;
        Some(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_begins_with_a_byte_order_mark_is_one_wherever_it_lies() {
        let (mark, other) = ("\u{FEFF}\ndata: a\n\n", "data: b\n\n");
        for bytes in [[mark, other].concat(), [other, mark].concat()] {
            assert_eq!(frames(bytes.as_bytes()).count(), 2);
        }
        assert_eq!(frames("\u{FEFF}\ndata: a\n".as_bytes()).count(), 0);
    }
}
