//! Names of sessions: UUIDs of version 7 (RFC 9562, section 5.7).

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::random;
use crate::store::{Error, ErrorKind};

/// A new name: the time in milliseconds and 74 random bits.
///
/// # Errors
/// `Failed`, where the operating system gives no random bytes: a name that can be guessed is worse than none.
pub(super) fn new() -> Result<String, Error> {
    let mut random = [0; 10];
    random::fill(&mut random)
        .map_err(|_| Error::new(ErrorKind::Failed, "there are no random bytes"))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(v7(since.as_millis() as u64, random))
}

fn v7(milliseconds: u64, random: [u8; 10]) -> String {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    // The version, and the variant of section 4.1.
    bytes[6] = 0x70 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // A string takes what is written.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A.6; the bits of version and variant are other ones before.
    #[test]
    fn the_example_of_the_specification_comes_out() {
        let random = [0xfc, 0xc3, 0x58, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        assert_eq!(v7(0x017f_22e2_79b0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn two_names_differ_and_are_in_the_order_of_their_time() {
        assert_ne!(new().unwrap(), new().unwrap());
        assert!(v7(1, [0xff; 10]) < v7(2, [0; 10]));
    }
}
