//! The `id` lines of events that follow each other.

use std::fmt;

use super::{IdLine, decimal};

/// The `id` line of one event, ready to become that of the next one: as a rule they differ in a digit.
pub(crate) struct NextLine {
    text: [u8; LONGEST],
    len: u8,
    /// The offset in it.
    offset: u64,
}

/// How the line ends, and the blank line after it.
const ENDING: &[u8] = b"\n\n";

const LONGEST: usize = IdLine::START_MAX + decimal::MAX_LEN + ENDING.len();

impl NextLine {
    /// Before the first event.
    pub(crate) fn new() -> Self {
        Self { text: [0; LONGEST], len: 0, offset: u64::MAX }
    }

    /// What `line` [writes](IdLine::write) for the event at `offset`, which has no inner ID, and an LF for each of the
    /// line and the blank line after it. It must always be the same `line`.
    #[inline]
    pub(crate) fn at(&mut self, offset: u64, line: &IdLine) -> &[u8] {
        if !self.step_to(offset) {
            self.write(offset, line);
        }
        &self.text[..usize::from(self.len)]
    }

    /// Counts one up, if that is what it takes.
    #[inline]
    fn step_to(&mut self, offset: u64) -> bool {
        let last = usize::from(self.len).wrapping_sub(ENDING.len() + 1);
        match self.text.get_mut(last) {
            Some(digit) if *digit < b'9' && self.offset.checked_add(1) == Some(offset) => {
                *digit += 1;
                self.offset = offset;
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn write(&mut self, offset: u64, line: &IdLine) {
        let mut rest = &mut self.text[..];
        let _ = line.write(&mut rest, offset, None, ENDING);
        self.len = (LONGEST - rest.len()) as u8;
        self.offset = offset;
    }
}

impl fmt::Debug for NextLine {
    /// Holds a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextLine(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Marker, Token};
    use super::*;

    #[test]
    fn a_line_that_was_counted_up_is_what_would_be_written() {
        let (marker, token) = (Marker::new("r1").unwrap(), Token::from_text(&[b'A'; 22]).unwrap());
        let line = IdLine::new(&marker, &token, 3);
        let mut next = NextLine::new();
        for offset in (1..1_200).chain([7, 8, u64::MAX - 1, u64::MAX, 1, 2]) {
            let mut written = Vec::new();
            assert!(line.write(&mut written, offset, None, b"\n\n"));
            assert_eq!(next.at(offset, &line), written);
        }
    }

    #[test]
    fn a_line_is_never_printed() {
        assert_eq!(format!("{:?}", NextLine::new()), "NextLine(..)");
    }
}
