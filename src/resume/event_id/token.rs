//! The name of a stream, as clients see it.

use std::fmt;

use crate::resume::keys::Keys;

/// The name of a stream: 96 random bits and a 32-bit MAC of them.
///
/// The MAC keeps guessed and foreign tokens away from a store; the random bits are what makes a
/// stream hard to find. Who has a token may try to resume, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token([u8; 16]);

impl Token {
    /// Characters of a token's text.
    pub(crate) const TEXT_LEN: usize = 22;

    /// The token of these bytes, which are to be random.
    pub(crate) fn sign(random: [u8; 12], keys: &Keys) -> Self {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&random);
        bytes[12..].copy_from_slice(&keys.mac(&random));
        Self(bytes)
    }

    /// Whether these keys made this token. Takes the same time either way.
    pub(crate) fn is_authentic(&self, keys: &Keys) -> bool {
        let mut random = [0; 12];
        random.copy_from_slice(&self.0[..12]);
        let differences = keys.mac(&random).into_iter().zip(&self.0[12..]);
        differences.fold(0, |all, (ours, theirs)| all | (ours ^ theirs)) == 0
    }

    /// The bytes of this token, for a store.
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Unpadded base64url.
    pub(crate) fn text(&self) -> [u8; Self::TEXT_LEN] {
        let mut text = [0; Self::TEXT_LEN];
        for (from, to) in self.0.chunks(3).zip(text.chunks_mut(4)) {
            let group = from.iter().enumerate();
            let group = group.fold(0, |all, (i, byte)| all | u32::from(*byte) << (16 - 8 * i));
            for (i, to) in to.iter_mut().enumerate() {
                *to = ALPHABET[(group >> (18 - 6 * i)) as usize & 63];
            }
        }
        text
    }

    /// The token of this text, or `None` if it is not what [`Token::text`] writes.
    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::TEXT_LEN] = text.try_into().ok()?;
        let mut bits = 0_u128;
        for byte in &text[..Self::TEXT_LEN - 1] {
            bits = bits << 6 | u128::from(digit(*byte)?);
        }
        // 21 characters make 126 bits: only the upper two of the last one's six are of the token.
        let last = digit(text[Self::TEXT_LEN - 1])?;
        (last % 16 == 0).then(|| Self((bits << 2 | u128::from(last >> 4)).to_be_bytes()))
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_unpadded_base64url() {
        let bytes = *b"\xfb\xff\xfeHello, world!";
        assert_eq!(&Token(bytes).text(), b"-__-SGVsbG8sIHdvcmxkIQ");
        assert_eq!(&Token([0; 16]).text(), b"AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(&Token([255; 16]).text(), b"_____________________w");
    }

    #[test]
    fn unused_bits_of_the_last_character_must_be_zero() {
        assert!(Token::from_text(b"AAAAAAAAAAAAAAAAAAAAAQ").is_some());
        for last in *b"BCDEFGHIJKLMNOPRSTUVWXYZabcdefhijklmnopqrstuvxyz0123456789-_=" {
            let mut text = *b"AAAAAAAAAAAAAAAAAAAAA?";
            text[21] = last;
            assert_eq!(Token::from_text(&text), None, "{}", char::from(last));
        }
    }

    #[test]
    fn every_changed_bit_is_a_forgery() {
        let keys = Keys::new(&[7; 32]);
        let token = Token::sign(*b"random bytes", &keys);
        assert!(token.is_authentic(&keys));
        assert!(!token.is_authentic(&Keys::new(&[8; 32])));
        for bit in 0..128 {
            let mut bytes = token.0;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!Token(bytes).is_authentic(&keys));
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        assert_eq!(format!("{:?}", Token([9; 16])), "Token(..)");
    }

    proptest! {
        #[test]
        fn text_and_token_are_one_to_one(bytes: [u8; 16], text in "[A-Za-z0-9_-]{22}") {
            prop_assert_eq!(Token::from_text(&Token(bytes).text()), Some(Token(bytes)));
            if let Some(token) = Token::from_text(text.as_bytes()) {
                prop_assert_eq!(&token.text(), text.as_bytes());
            }
        }
    }
}
