//! Numbers and strings of bytes in a row, as messages have them.

use bytes::{Buf, Bytes};

use crate::store::{Error, ErrorKind};

/// Puts one after the other.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// Seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Nothing, where the empty string is none.
    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        self.bytes(bytes.unwrap_or_default());
    }
}

/// Takes them off again.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.0.try_get_u8().map_err(|_| malformed())?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(malformed())
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Error> {
        let len = usize::try_from(self.number()?).map_err(|_| malformed())?;
        if len > self.0.len() {
            return Err(malformed());
        }
        Ok(self.0.split_to(len))
    }

    pub(super) fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| malformed())
    }

    /// So many of the same kind.
    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        (0..self.number()?).map(|_| one(self)).collect()
    }
}

pub(super) fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "a message in NATS is not as this store writes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut writer = Writer::default();
        for number in numbers {
            writer.number(number);
        }
        writer.bytes(b"abc");
        writer.optional(None);
        let mut reader = Reader(writer.0.into());
        for number in numbers {
            assert_eq!(reader.number().unwrap(), number);
        }
        assert_eq!(reader.text().unwrap(), "abc");
        assert_eq!(reader.bytes().unwrap(), "");
        assert!(reader.number().is_err());
    }

    #[test]
    fn what_is_cut_off_is_malformed() {
        for bytes in [&b""[..], b"\x80", b"\x05abc", &[0xff; 11]] {
            let error = Reader(Bytes::copy_from_slice(bytes)).bytes().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }
}
