//! What streams, sessions, owners, instances and values are named by.

use std::fmt;

use bytes::Bytes;

use super::{Error, ErrorKind};

/// A name in a store: of a stream, a session, an owner, an instance, or a session's value. 1 to 128 bytes, each of any
/// value; ordered by its bytes.
///
/// Names can be secrets, so [`Debug`](fmt::Debug) shows only how long one is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// How many bytes a key has at most.
    pub const MAX_LEN: usize = 128;

    /// A key of these bytes.
    ///
    /// # Errors
    /// [`InvalidData`](ErrorKind::InvalidData), if there are none, or more than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if (1..=Self::MAX_LEN).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Error::new(ErrorKind::InvalidData, "a key has 1 to 128 bytes"))
        }
    }

    /// A key of this text, which is neither empty nor too long.
    pub(crate) const fn of_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_to_128_bytes_of_any_value() {
        assert_eq!(Key::new("").unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Key::new(vec![0; 129]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(Key::new(vec![0xff; 128]).unwrap().as_bytes(), [0xff; 128]);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new("secret").unwrap()), "Key(6 bytes)");
    }
}
