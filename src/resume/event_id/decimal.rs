//! Decimal numbers with one spelling: no sign, no leading zero.

/// The digits of the largest number.
pub(super) const MAX_LEN: usize = 20;

/// Writes the digits to the end of `buffer`, two at a time, and returns them.
pub(super) fn digits(mut number: u64, buffer: &mut [u8; MAX_LEN]) -> &[u8] {
    let mut start = MAX_LEN;
    while number >= 100 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(pair(number % 100));
        number /= 100;
    }
    if number >= 10 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(pair(number));
    } else {
        start -= 1;
        buffer[start] = b'0' + number as u8;
    }
    &buffer[start..]
}

/// The number of these digits; `None` if [`digits`] does not write it so.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        number.checked_mul(10)?.checked_add((digit < 10).then(|| u64::from(digit))?)
    })
}

fn pair(below_100: u64) -> &'static [u8] {
    let at = below_100 as usize * 2;
    &PAIRS[at..at + 2]
}

const PAIRS: &[u8; 200] = b"\
    0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: u64) -> String {
        String::from_utf8(digits(number, &mut [0; MAX_LEN]).to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in (0..12_000).chain([u64::from(u32::MAX), u64::MAX - 1, u64::MAX]) {
            assert_eq!(written(number), number.to_string());
        }
    }

    #[test]
    fn only_one_spelling_of_a_number_is_read() {
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1a", "0x1", "1_0", "١"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"18446744073709551616"), None);
        assert_eq!(parse(b"99999999999999999999"), None);
        assert_eq!(parse(&[b'9'; 10_000]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            prop_assert_eq!(written(number), number.to_string());
            prop_assert_eq!(parse(written(number).as_bytes()), Some(number));
        }
    }
}
