//! Random bytes: all that the layer takes of them comes from here, so that a simulation can repeat it.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    static REPEATED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes what is random on this thread the same again for the same seed, from now on. For simulations alone: whoever
/// knows the seed can guess the names of streams.
#[doc(hidden)]
pub fn repeat_random(seed: u64) {
    REPEATED.set(Some(seed));
}

/// Fills `bytes` with random ones. Fails only where the operating system gives none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    let Some(mut state) = REPEATED.get() else { return getrandom::fill(bytes) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&split_mix(&mut state).to_le_bytes()[..chunk.len()]);
    }
    REPEATED.set(Some(state));
    Ok(())
}

/// A secret of this process: from the seeds of the standard library's hash maps, where the operating system gives no
/// random bytes.
pub(crate) fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    if fill(&mut secret).is_err() {
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
    }
    secret
}

/// `SplitMix64`.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn some() -> [u8; 20] {
        let mut bytes = [0; 20];
        fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_seed_repeats_on_any_thread_and_on_no_other_than_that() {
        let of = |seed| {
            repeat_random(seed);
            [some(), some()]
        };
        let one = thread::spawn(move || of(1)).join().unwrap();
        thread::spawn(move || {
            let mut fresh = some();
            assert_ne!(fresh, some());
            assert_eq!(of(1), one);
            assert_eq!(of(1), one);
            assert_ne!(of(2), one);
            fresh = thread::spawn(some).join().unwrap();
            assert!(!of(2).contains(&fresh));
        })
        .join()
        .unwrap();
        assert_ne!(one[0], one[1]);
    }
}
