//! The first word of an event ID, by which a layer knows its own.

use std::error::Error;
use std::fmt;

/// What the event IDs of a layer begin with: 1 to 16 characters of `A-Za-z0-9_-`.
///
/// An ID that begins otherwise belongs to the inner service, so layers can be stacked: give each
/// its own. Default: `r1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marker {
    bytes: [u8; Marker::MAX_LEN],
    len: u8,
}

impl Marker {
    /// The most characters that a marker has.
    pub const MAX_LEN: usize = 16;

    /// The marker of this text.
    ///
    /// # Errors
    /// [`InvalidMarker`] if the text is empty, longer than 16 characters, or has one outside
    /// `A-Za-z0-9_-`.
    pub fn new(text: &str) -> Result<Self, InvalidMarker> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=Self::MAX_LEN).contains(&text.len()) || !text.bytes().all(legal) {
            return Err(InvalidMarker(()));
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len: text.len() as u8 })
    }

    /// The text of this marker.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for Marker {
    fn default() -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..2].copy_from_slice(b"r1");
        Self { bytes, len: 2 }
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Marker").field(&self.as_str()).finish()
    }
}

/// The text is no marker: it is empty, longer than 16 characters, or has one outside
/// `A-Za-z0-9_-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMarker(());

impl fmt::Display for InvalidMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a marker has 1 to 16 characters of A-Z, a-z, 0-9, '_' and '-'")
    }
}

impl Error for InvalidMarker {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_one_to_sixteen_plain_characters() {
        for text in ["r1", "a", "A_b-9", "0123456789abcdef"] {
            assert_eq!(Marker::new(text).unwrap().as_str(), text);
        }
        for text in ["", "0123456789abcdefg", "a.b", "a b", "é", "a\n", "a\0"] {
            assert_eq!(Marker::new(text), Err(InvalidMarker(())), "{text:?}");
        }
    }

    #[test]
    fn the_default_marker_is_r1() {
        assert_eq!(Marker::default(), Marker::new("r1").unwrap());
    }
}
