//! How far a response has passed, by its blank lines or by a text in it.

/// Where to cut a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// Behind so many blank lines: the head's is the first one, each event has one more. 0 is before all.
    Blocks(usize),
    /// In the middle of an event: right behind this text.
    Text(&'static str),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    blocks: usize,
    line: usize,
    line_before: usize,
    /// The last bytes, as many as the longest text needs.
    tail: Vec<u8>,
}

impl Place {
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.step(byte);
        }
    }

    /// How many of these bytes come before the stop, if it is among them.
    pub(crate) fn find(&self, stop: Stop, bytes: &[u8]) -> Option<usize> {
        let mut place = self.clone();
        (0..=bytes.len()).find(|&at| {
            if let Some(before) = at.checked_sub(1) {
                place.step(bytes[before]);
            }
            match stop {
                Stop::Blocks(blocks) => place.blocks >= blocks,
                Stop::Text(text) => place.tail.ends_with(text.as_bytes()),
            }
        })
    }

    /// A blank line is an empty one after one that is not: a chunk's CRLF behind an event is none.
    fn step(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.blocks += usize::from(self.line == 0 && self.line_before > 0);
                self.line_before = self.line;
                self.line = 0;
            }
            b'\r' => {}
            _ => self.line += 1,
        }
        if self.tail.len() == 64 {
            self.tail.remove(0);
        }
        self.tail.push(byte);
    }
}
