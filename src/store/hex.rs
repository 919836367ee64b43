//! Names in hexadecimal digits, for stores whose names cannot have any byte. They keep the order of their bytes.

use std::fmt::Write;

use super::{Error, ErrorKind, Key};
use crate::random;

pub(super) fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The name that has these digits.
pub(super) fn named(digits: &str) -> Result<Key, Error> {
    let malformed = || Error::new(ErrorKind::InvalidData, "no name has the digits that are stored");
    let byte = |at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    Key::new(bytes.ok_or_else(malformed)?)
}

/// A name that nobody else makes up.
pub(super) fn unique() -> Result<String, Error> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes).map_err(|error| Error::new(ErrorKind::Failed, error))?;
    Ok(hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_order_and_come_back() {
        let names: Vec<Key> = [&[0][..], &[0, 0], b"a", b"a.b", b"b", &[0xff; 128]]
            .map(|bytes| Key::new(bytes.to_vec()).unwrap())
            .into();
        let digits: Vec<String> = names.iter().map(hex).collect();
        assert!(digits.is_sorted());
        for (name, digits) in names.iter().zip(&digits) {
            assert_eq!(named(digits).unwrap(), *name);
        }
        assert!(named("é0").is_err() && named("abc").is_err() && named("").is_err());
    }
}
