//! The `id` lines of events that follow each other.

use std::fmt;

use super::{IdLine, decimal};

/// The `id` line of one event, ready to become that of the next one: as a rule they differ in a digit.
pub(crate) struct NextLine {
    /// Begins as all the lines do, with as many bytes as `start` says.
    text: [u8; LONGEST],
    start: u8,
    len: u8,
    /// The offset in it.
    offset: u64,
}

/// How the line ends, and the blank line after it.
const ENDING: &[u8] = b"\n\n";

const LONGEST: usize = IdLine::START_MAX + decimal::MAX_LEN + ENDING.len();

impl NextLine {
    /// Before the first event.
    pub(crate) fn new(line: IdLine) -> Self {
        let mut text = [0; LONGEST];
        text[..IdLine::START_MAX].copy_from_slice(&line.start);
        Self { text, start: line.len, len: 0, offset: u64::MAX }
    }

    /// What all the lines have in common.
    #[inline]
    pub(crate) fn line(&self) -> IdLine {
        let mut line = IdLine { start: [0; IdLine::START_MAX], len: self.start };
        line.start.copy_from_slice(&self.text[..IdLine::START_MAX]);
        line
    }

    /// What [`IdLine::write`] writes for the event at `offset`, which has no inner ID, and an LF for each of the line
    /// and the blank line after it.
    #[inline]
    pub(crate) fn at(&mut self, offset: u64) -> &[u8] {
        if !self.step_to(offset) {
            self.write(offset);
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
    fn write(&mut self, offset: u64) {
        let line = self.line();
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

    fn line() -> IdLine {
        let (marker, token) = (Marker::new("r1").unwrap(), Token::from_text(&[b'A'; 22]).unwrap());
        IdLine::new(&marker, &token, 3)
    }

    #[test]
    fn a_line_that_was_counted_up_is_what_would_be_written() {
        let line = line();
        let mut next = NextLine::new(line);
        for offset in (1..1_200).chain([7, 8, u64::MAX - 1, u64::MAX, 1, 2]) {
            let mut written = Vec::new();
            assert!(line.write(&mut written, offset, None, b"\n\n"));
            assert_eq!(next.at(offset), written);
            assert_eq!(next.line().id(offset, Some(b"a")), line.id(offset, Some(b"a")));
        }
    }

    #[test]
    fn a_line_is_never_printed() {
        assert_eq!(format!("{:?}", NextLine::new(line())), "NextLine(..)");
    }
}
