//! Finds where a line ends.

use memchr::memchr2;

use super::{CR, LF};

/// Inputs up to this length are searched here: a call of memchr would cost more than the search.
const SHORT: usize = 64;

const BLOCK: usize = 16;

/// The first LF or CR.
#[inline]
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    if bytes.len() > SHORT { memchr2(LF, CR, bytes) } else { short(bytes) }
}

/// How many bytes the terminator at the start of `bytes` has.
#[inline]
pub(super) fn terminator(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 1 }
}

#[inline(never)]
fn short(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(end) = in_block(block) {
            return Some(at + end);
        }
        at += BLOCK;
    }
    match bytes.last_chunk() {
        _ if at == bytes.len() => None,
        // This block overlaps the one before, which is known to have none.
        Some(block) => in_block(block).map(|end| bytes.len() - BLOCK + end),
        None => bytes.iter().position(|&byte| byte == LF || byte == CR),
    }
}

/// Written so that the compiler makes a few vector instructions of it.
#[inline(always)]
fn in_block(block: &[u8; BLOCK]) -> Option<usize> {
    let mut hits = [0; BLOCK];
    for (hit, &byte) in hits.iter_mut().zip(block) {
        *hit = if byte == LF || byte == CR { 0xFF } else { 0 };
    }
    let hits = u128::from_le_bytes(hits);
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}
