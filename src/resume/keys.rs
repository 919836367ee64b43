//! The keys of a layer, and the three keyed hashes made with them.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};

/// Two independent keys: one for the MAC that clients see, one for what stays with the server.
#[derive(Clone)]
pub(crate) struct Keys {
    mac: [u8; 16],
    inside: [u8; 16],
}

impl Keys {
    /// The keys of a secret: the same on every instance that is given the same one.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut keys = Self { mac: [0; 16], inside: [0; 16] };
        keys.mac.copy_from_slice(&secret[..16]);
        keys.inside.copy_from_slice(&secret[16..]);
        keys
    }

    /// The MAC of a token's random part: the first half of its SipHash-2-4.
    pub(crate) fn mac(&self, random: &[u8; 12]) -> [u8; 4] {
        let [a, b, c, d, ..] = SipHasher24::new_with_key(&self.mac).hash(random).to_le_bytes();
        [a, b, c, d]
    }

    /// A name for `parts` that tells nothing about them.
    ///
    /// Each part counts with its length, so that no byte can move from one to the next; values of
    /// different `domain`s never compare as equal.
    pub(crate) fn fingerprint<'a>(
        &self,
        domain: u8,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> u128 {
        let mut hasher = SipHasher128::new_with_key(&self.inside);
        hasher.write(&[domain]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// Starts the hash of one event's content. An event without a type of its own is a `message`.
    pub(crate) fn content_hash(&self, event_type: &[u8]) -> ContentHasher {
        let event_type = if event_type.is_empty() { b"message" } else { event_type };
        let mut hasher = ContentHasher(SipHasher13::new_with_key(&self.inside));
        hasher.line(event_type);
        hasher
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// The hash of an event's type and data, so that a resent event is known without keeping it.
///
/// Takes the value of each `data` line in turn: line endings do not count.
#[derive(Clone)]
pub(crate) struct ContentHasher(SipHasher13);

impl ContentHasher {
    /// Adds the value of one `data` line.
    pub(crate) fn data_line(&mut self, value: &[u8]) {
        self.line(value);
    }

    /// The hash of what was added.
    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }

    /// No value of a field holds a line feed, so that one says where a value ends.
    fn line(&mut self, value: &[u8]) {
        self.0.write(value);
        self.0.write(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let mut secret = [0; 32];
        for (i, byte) in secret.iter_mut().enumerate() {
            *byte = i as u8;
        }
        Keys::new(&secret)
    }

    fn content(event_type: &str, lines: &[&str]) -> u64 {
        let mut hasher = keys().content_hash(event_type.as_bytes());
        for line in lines {
            hasher.data_line(line.as_bytes());
        }
        hasher.finish()
    }

    #[test]
    fn the_mac_is_the_published_siphash_vector() {
        let random = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        assert_eq!(keys().mac(&random), [0xfb, 0xe5, 0x0e, 0x86]);
    }

    #[test]
    fn a_byte_cannot_move_from_one_part_to_the_next() {
        let print = |domain, parts: &[&str]| {
            keys().fingerprint(domain, parts.iter().map(|part| part.as_bytes()))
        };
        assert_eq!(print(1, &["ab", "c"]), print(1, &["ab", "c"]));
        assert_ne!(print(1, &["ab", "c"]), print(1, &["a", "bc"]));
        assert_ne!(print(1, &["ab"]), print(1, &["ab", ""]));
        assert_ne!(print(1, &["ab"]), print(2, &["ab"]));
    }

    #[test]
    fn content_counts_line_by_line() {
        assert_eq!(content("tick", &["a", "b"]), content("tick", &["a", "b"]));
        assert_ne!(content("tick", &["a", "b"]), content("tick", &["ab"]));
        assert_ne!(content("tick", &["a"]), content("tick", &["a", ""]));
        assert_ne!(content("tick", &["a"]), content("tock", &["a"]));
        assert_ne!(content("a", &[]), content("", &["a"]));
    }

    #[test]
    fn an_event_without_a_type_is_a_message() {
        assert_eq!(content("", &["a"]), content("message", &["a"]));
    }

    #[test]
    fn keys_of_two_secrets_differ_and_are_never_printed() {
        assert_ne!(keys().mac(&[0; 12]), Keys::new(&[7; 32]).mac(&[0; 12]));
        assert_eq!(format!("{:?}", keys()), "Keys(..)");
    }
}
