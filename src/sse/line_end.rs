//! Finds where a line ends.

use std::hint::black_box;

use memchr::memchr2;

use super::{CR, LF};

/// Inputs up to this length are searched here: a call of memchr would cost more than the search.
const SHORT: usize = 64;

const WORD: usize = size_of::<u64>();

/// The first LF or CR.
#[inline]
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    if bytes.len() > SHORT { memchr2(LF, CR, bytes) } else { short(bytes) }
}

/// How many bytes the terminator at the start of `bytes` has.
///
/// The black box keeps this a branch: then the search for the next line begins on the predicted
/// length, and need not wait for the bytes.
#[inline]
pub(super) fn terminator(bytes: &[u8]) -> usize {
    match bytes {
        [LF, ..] => 1,
        [CR, LF, ..] => 2,
        _ => black_box(1),
    }
}

/// Two words at a time. The last ones may overlap bytes before, which are known to have none.
#[inline(never)]
fn short(bytes: &[u8]) -> Option<usize> {
    let len = bytes.len();
    let mut at = 0;
    while at + 2 * WORD <= len {
        if let Some(end) = in_pair(bytes, at, at + WORD) {
            return Some(end);
        }
        at += 2 * WORD;
    }
    match len - at {
        0 => None,
        _ if len >= WORD => in_pair(bytes, at.min(len - WORD), len - WORD),
        _ => bytes.iter().position(|&byte| byte == LF || byte == CR),
    }
}

/// The first LF or CR in the words at `first` and, if not there, at `second`.
#[inline]
fn in_pair(bytes: &[u8], first: usize, second: usize) -> Option<usize> {
    let (low, high) = (word(bytes, first)?, word(bytes, second)?);
    // Cheap, and in text seldom wrong: no byte is as low as CR.
    if below(low, CR + 1) | below(high, CR + 1) == 0 {
        return None;
    }
    in_word(low).map(|end| first + end).or_else(|| in_word(high).map(|end| second + end))
}

/// The word at `at`; its lowest byte is the first one.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[inline]
fn in_word(word: u64) -> Option<usize> {
    let ends = below(word ^ each(LF), 1) | below(word ^ each(CR), 1);
    (ends != 0).then(|| ends.trailing_zeros() as usize / 8)
}

/// The highest bit of each byte that is less than `limit`, at most 128. Bytes above the lowest such
/// one may be wrong.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(each(limit)) & !word & each(0x80)
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_end_is_found_at_every_length_and_place() {
        for length in 0..100 {
            for other in [b'x', b'\t', 0x0B, 0x0C, 0x0E, 0x8A, 0x8D, 0, 0xFF] {
                let mut bytes = vec![other; length];
                assert_eq!(line_end(&bytes), None, "{bytes:?}");
                for at in (0..length).rev() {
                    bytes[at] = if at % 3 == 0 { LF } else { CR };
                    assert_eq!(line_end(&bytes), Some(at), "{bytes:?}");
                }
            }
        }
    }
}
