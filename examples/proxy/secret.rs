//! The key that event IDs are signed with, from a file.

use std::fs;

/// The key. It has no `Debug`, so that it cannot get into a log line.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) [u8; LENGTH]);

const LENGTH: usize = 32;

/// Reads a file with the 32 bytes, or with their 64 hexadecimal digits.
pub(crate) fn read(path: &str) -> Result<Secret, String> {
    let content = fs::read(path).map_err(|error| error.to_string())?;
    parse(&content)
        .map(Secret)
        .ok_or_else(|| format!("expected {LENGTH} bytes or {} hexadecimal digits", 2 * LENGTH))
}

fn parse(content: &[u8]) -> Option<[u8; LENGTH]> {
    // As it is first: the last of 32 random bytes may be a line feed.
    raw(content).or_else(|| {
        let line = without_line_break(content);
        raw(line).or_else(|| hexadecimal(line))
    })
}

fn without_line_break(content: &[u8]) -> &[u8] {
    let line = content.strip_suffix(b"\n").unwrap_or(content);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn raw(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    bytes.try_into().ok()
}

fn hexadecimal(digits: &[u8]) -> Option<[u8; LENGTH]> {
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let bytes = digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?));
    raw(&bytes.collect::<Option<Vec<u8>>>()?)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_bytes_are_taken_as_they_are() {
        assert_eq!(parse(&[b'\n'; 32]), Some([b'\n'; 32]));
    }

    #[test]
    fn sixty_four_digits_are_decoded() {
        let mut key = [0xab; 32];
        key[0] = 0x01;
        assert_eq!(parse(format!("01{}", "aB".repeat(31)).as_bytes()), Some(key));
    }

    #[test]
    fn one_line_break_at_the_end_is_left_out() {
        assert_eq!(parse(format!("{}\n", "k".repeat(32)).as_bytes()), Some([b'k'; 32]));
        assert_eq!(parse(format!("{}\r\n", "11".repeat(32)).as_bytes()), Some([0x11; 32]));
    }

    #[test]
    fn any_other_length_or_digit_is_refused() {
        for content in
            ["", "short", &"k".repeat(31), &"zz".repeat(32), &"1".repeat(65), &"11".repeat(33)]
        {
            assert_eq!(parse(content.as_bytes()), None, "{content}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_an_error() {
        assert!(read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).is_err());
        assert!(read("/nowhere").is_err());
    }
}
