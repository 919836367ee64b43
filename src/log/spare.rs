//! What a reader takes at once is written to memory that the streams of a thread share: servers let go of a piece before
//! they ask for the next one, so that a stream that waits need not keep a buffer of its own.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Who does not let go of a piece holds so much.
const SIZE: usize = 1024;
/// The most bytes that are written here.
pub(super) const LARGEST: usize = SIZE / 2;

thread_local! {
    static SPARE: RefCell<Option<BytesMut>> = const { RefCell::new(None) };
}

/// A copy of these bytes, at most [`LARGEST`] of them.
#[inline]
pub(super) fn copy(bytes: &[u8]) -> Bytes {
    let copy = |spare: &RefCell<Option<BytesMut>>| {
        let mut spare = spare.borrow_mut();
        let spare = spare.get_or_insert_with(|| BytesMut::with_capacity(SIZE));
        // Takes back what nobody has any more. If somebody has some of it still, new memory is as large again.
        spare.reserve(bytes.len());
        spare.extend_from_slice(bytes);
        spare.split().freeze()
    };
    // A thread that is ending has none.
    SPARE.try_with(copy).unwrap_or_else(|_| Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_kept_stays_as_it_is() {
        let kept: Vec<_> = (0..100_u8).map(|byte| copy(&[byte; 300])).collect();
        for (byte, copy) in (0..).zip(kept) {
            assert_eq!(copy, vec![byte; 300]);
        }
    }

    #[test]
    fn memory_is_used_again_once_nobody_has_a_copy_in_it() {
        let addresses: Vec<_> = (0..100).map(|_| copy(&[1; 300]).as_ptr() as usize).collect();
        let (first, last) = (addresses.iter().min().unwrap(), addresses.iter().max().unwrap());
        assert!(last - first < SIZE, "{addresses:?}");
    }
}
