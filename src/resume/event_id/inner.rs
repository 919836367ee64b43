//! The inner service's own ID, as our event ID carries it.
//!
//! Percent-encoded so that the whole is safe in a header, in a query parameter and in a log line,
//! and has no second dot-separated reading. Exactly one spelling is accepted.

use std::fmt;

use bytes::BufMut;

/// The inner service's own last event ID. Not empty, and a legal header field value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Inner(Box<[u8]>);

impl Inner {
    /// An ID as it is.
    pub(crate) fn of(id: &[u8]) -> Self {
        Self(id.into())
    }

    /// The bytes to send as `Last-Event-ID`.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The ID of an encoded text; `None` if [`encode`] does not write it so.
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let mut decoded = Vec::with_capacity(text.len());
        let mut rest = text;
        while let [first, after @ ..] = rest {
            match (Class::of(*first), after) {
                (Class::Plain, _) => {
                    decoded.push(*first);
                    rest = after;
                }
                (_, [high, low, after @ ..]) if *first == b'%' => {
                    decoded.push(escaped(*high, *low)?);
                    rest = after;
                }
                _ => return None,
            }
        }
        (!decoded.is_empty()).then(|| Self(decoded.into()))
    }
}

impl fmt::Debug for Inner {
    /// An inner ID may hold user data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner(..)")
    }
}

/// How many bytes the encoded ID has, or `None` if it is no legal header field value: the inner
/// service could never be sent it.
pub(super) fn encoded_len(id: &[u8]) -> Option<usize> {
    id.iter().try_fold(0, |len, byte| match Class::of(*byte) {
        Class::Plain => Some(len + 1),
        Class::Escaped => Some(len + 3),
        Class::Illegal => None,
    })
}

/// Appends the encoded ID.
pub(super) fn encode(id: &[u8], out: &mut impl BufMut) {
    // What need not be escaped is appended in one piece: most IDs are one.
    let mut rest = id;
    while let Some(at) = rest.iter().position(|byte| Class::of(*byte) != Class::Plain) {
        let byte = rest[at];
        out.put_slice(&rest[..at]);
        out.put_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Escaped,
    Illegal,
}

impl Class {
    fn of(byte: u8) -> Self {
        CLASSES[byte as usize]
    }

    const fn decide(byte: u8) -> Self {
        match byte {
            // What numbers, times, paths, addresses and log positions are made of.
            byte if byte.is_ascii_alphanumeric() => Self::Plain,
            b'-' | b'_' | b'~' | b':' | b'/' | b'@' => Self::Plain,
            // RFC 9110, section 5.5: a tab, and all that is visible or obs-text.
            b'\t' | b' '..=b'~' | 0x80..=0xff => Self::Escaped,
            _ => Self::Illegal,
        }
    }
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Illegal; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = Class::decide(byte as u8);
        byte += 1;
    }
    classes
};

/// The byte of an escape, if it is one that needs escaping and its digits are uppercase.
fn escaped(high: u8, low: u8) -> Option<u8> {
    let byte = unhex(high)? << 4 | unhex(low)?;
    (Class::of(byte) == Class::Escaped).then_some(byte)
}

const fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[nibble as usize & 15]
}

const fn unhex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn encoded(id: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(id, &mut out);
        out
    }

    #[test]
    fn every_byte_has_one_spelling_and_only_header_bytes_have_one() {
        for byte in 0..=255_u8 {
            let legal = HeaderValue::from_bytes(&[byte]).is_ok();
            assert_eq!(encoded_len(&[byte]).is_some(), legal, "{byte}");
            let text = encoded(&[byte]);
            let back = Inner::decode(&text).map(|inner| inner.as_bytes().to_vec());
            assert_eq!(back, legal.then(|| vec![byte]));
            assert!(!legal || encoded_len(&[byte]) == Some(text.len()));

            let escape = format!("%{byte:02X}").into_bytes();
            assert_eq!(Inner::decode(&escape).is_some(), legal && text == escape);
            assert_eq!(Inner::decode(&[byte]).is_some(), text == [byte]);
        }
    }

    #[test]
    fn an_encoded_id_is_safe_in_a_header_a_query_and_a_log() {
        let all: Vec<u8> = (0..=255).filter(|byte| encoded_len(&[*byte]).is_some()).collect();
        let unsafe_bytes = b" \t\r\n\0.,;\"'\\&=+#?<>`";
        assert!(encoded(&all).iter().all(u8::is_ascii_graphic));
        assert!(!encoded(&all).iter().any(|byte| unsafe_bytes.contains(byte)));
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for text in ["", "%", "%2", "%2c", "%zz", "a%", "%41", "%0D", "%00", "%7F", "a.b", "a b"] {
            assert_eq!(Inner::decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_inner_id_is_never_printed() {
        assert_eq!(format!("{:?}", Inner::decode(b"alice").unwrap()), "Inner(..)");
    }
}
