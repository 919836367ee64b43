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

/// Eight bytes at a time; the last eight may overlap the ones before, which are known to have none.
#[inline(never)]
fn short(bytes: &[u8]) -> Option<usize> {
    let Some(last) = bytes.last_chunk::<WORD>() else {
        return bytes.iter().position(|&byte| byte == LF || byte == CR);
    };
    let mut at = 0;
    for word in bytes.chunks_exact(WORD) {
        let word = word.try_into().map(u64::from_le_bytes).unwrap_or_default();
        if let Some(end) = in_word(word) {
            return Some(at + end);
        }
        at += WORD;
    }
    in_word(u64::from_le_bytes(*last)).map(|end| bytes.len() - WORD + end)
}

/// The first LF or CR of eight bytes, of which the first one is the lowest.
#[inline]
fn in_word(word: u64) -> Option<usize> {
    // Cheap, and in text seldom wrong: no byte is as low as CR.
    if below(word, CR + 1) == 0 {
        return None;
    }
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
