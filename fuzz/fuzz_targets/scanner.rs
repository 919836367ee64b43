//! The scanner against the reference parser: any bytes, in any pieces.
//!
//! The first byte says how many of the next ones are lengths of pieces; the rest is the stream.

#![no_main]

#[path = "../../tests/support/src/frames.rs"]
mod frames;
#[path = "../../tests/support/src/reference.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let Some((lengths, stream)) = rest.split_at_checked(usize::from(count % 8)) else { return };
    let lengths: Vec<usize> = lengths.iter().map(|&length| usize::from(length)).collect();
    frames::check(stream, &lengths);
});
