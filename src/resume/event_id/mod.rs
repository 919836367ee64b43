//! The event IDs that clients see: `<marker>.<token>.<generation>.<offset>`, and `.<inner ID>`
//! after that where the inner service gave one and the whole stays within 128 bytes.
//!
//! Each position has exactly one spelling: what [`parse`] accepts is byte for byte what [`IdLine`]
//! writes. There is no trailing dot: an empty inner ID means, like none, that the inner service
//! is called without `Last-Event-ID`.

use super::keys::Keys;
use super::position::Position;

mod decimal;
mod inner;
mod line;
mod marker;
mod next_line;
mod token;

pub(crate) use inner::Inner;
pub(crate) use line::IdLine;
pub use marker::{InvalidMarker, Marker};
pub(crate) use next_line::NextLine;
pub(crate) use token::Token;

/// The most bytes that an event ID of ours has.
pub(crate) const MAX_LEN: usize = 128;

/// What a `Last-Event-ID` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// It does not begin with our marker: it is the inner service's.
    NotOurs,
    /// It begins with our marker and breaks the form: nothing of it is used.
    Malformed,
    /// It has the form of an ID of ours.
    Id(EventId),
}

/// What an event ID says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The stream.
    pub(crate) token: Token,
    /// Whether the token was made with our keys. Otherwise the stream is unknown, and only `inner`
    /// counts.
    pub(crate) authentic: bool,
    /// The event.
    pub(crate) position: Position,
    /// The inner service's own last event ID.
    pub(crate) inner: Option<Inner>,
}

/// Reads the value of a `Last-Event-ID`.
pub(crate) fn parse(marker: &Marker, raw: &[u8], keys: &Keys) -> Parsed {
    let Some([b'.', rest @ ..]) = raw.strip_prefix(marker.as_bytes()) else {
        return Parsed::NotOurs;
    };
    if raw.len() > MAX_LEN {
        return Parsed::Malformed;
    }
    parse_rest(rest, keys).map_or(Parsed::Malformed, Parsed::Id)
}

fn parse_rest(rest: &[u8], keys: &Keys) -> Option<EventId> {
    // An inner ID has no dots: one too many ends up in it, and is refused there.
    let mut parts = rest.splitn(4, |byte| *byte == b'.');
    let token = Token::from_text(parts.next()?)?;
    let generation = decimal::parse(parts.next()?)?;
    let position = Position::checked(generation, decimal::parse(parts.next()?)?)?;
    let inner = parts.next().map(|text| Inner::decode(text).ok_or(()));
    Some(EventId {
        token,
        authentic: token.is_authentic(keys),
        position,
        inner: inner.transpose().ok()?,
    })
}

/// Whether the inner service can be asked to go on from its own ID: an empty one says nothing, and what is no legal
/// header field value reaches nobody.
pub(crate) fn can_be_sent(inner_id: &[u8]) -> bool {
    !inner_id.is_empty() && inner::encoded_len(inner_id).is_some()
}

/// The inner service's ID that one of our own IDs embeds.
pub(crate) fn embedded(id: &[u8]) -> Option<Vec<u8>> {
    let text = id.splitn(5, |byte| *byte == b'.').nth(4)?;
    Inner::decode(text).map(|inner| inner.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new(&[7; 32])
    }

    fn token() -> Token {
        Token::sign(*b"twelve bytes", &keys())
    }

    fn parsed(raw: impl AsRef<[u8]>) -> Parsed {
        parse(&Marker::default(), raw.as_ref(), &keys())
    }

    /// `rest` after the marker and an authentic token.
    fn parsed_after_token(rest: &str) -> Parsed {
        let text = token().text();
        parsed(format!("r1.{}.{rest}", std::str::from_utf8(&text).unwrap()))
    }

    fn inner_of(parsed: &Parsed) -> Option<&[u8]> {
        match parsed {
            Parsed::Id(EventId { inner: Some(inner), .. }) => Some(inner.as_bytes()),
            _ => None,
        }
    }

    #[test]
    fn another_marker_is_not_ours() {
        for raw in ["", "r1", "r", "R1.x", "r2.x", "r11.x", "42", ".r1.", " r1.x", "r1-x"] {
            assert_eq!(parsed(raw), Parsed::NotOurs, "{raw}");
        }
        let other = Marker::new("r2").unwrap();
        let id = IdLine::new(&other, &token(), 1).id(1, None);
        assert_eq!(parsed(&id), Parsed::NotOurs);
        assert!(matches!(parse(&other, id.as_bytes(), &keys()), Parsed::Id(_)));
    }

    #[test]
    fn an_id_says_token_position_and_inner_id() {
        let expected = EventId {
            token: token(),
            authentic: true,
            position: Position::new(3, 129),
            inner: None,
        };
        assert_eq!(parsed_after_token("3.129"), Parsed::Id(expected));
        assert_eq!(inner_of(&parsed_after_token("3.129.a%2Eb")), Some(&b"a.b"[..]));
        assert_eq!(inner_of(&parsed_after_token("3.129.%C3%A9%FF")), Some(&b"\xc3\xa9\xff"[..]));
    }

    #[test]
    fn what_breaks_the_form_is_malformed() {
        let rests = [
            "",
            "1",
            "1.",
            ".1",
            "1..",
            "1.1.",
            "1.1..",
            "1.1.a.",
            "1.1.a.b",
            "0.1",
            "00.1",
            "01.1",
            "1.01",
            "1.00",
            "+1.1",
            "1.-1",
            "1.1 ",
            " 1.1",
            "1.1a",
            "4294967296.1",
            "99999999999999999999.1",
            "1.18446744073709551616",
            "1.18446744073709551615",
            "1.9223372036854775807",
            "4294967295.1",
            "1.1.%",
            "1.1.%4",
            "1.1.%41",
            "1.1.%2e",
            "1.1.a b",
            "1.1.é",
            "1.1.%00",
            "1.1.%0D",
            "1.1.%0A",
            "1.1.%7F",
            "1.1.%1B",
        ];
        for rest in rests {
            assert_eq!(parsed_after_token(rest), Parsed::Malformed, "{rest}");
        }
        for raw in [
            &b"r1."[..],
            b"r1..1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAA.1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAAAA.1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAAB.1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAA+.1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAA=.1.1",
            b"r1.AAAAAAAAAAAAAAAAAAAAAA.1.1\0",
            b"r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.a\0",
            b"r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.a\r",
            b"r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.a\n",
            b"r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.\xff",
            b"r1.\xff\xfe\xfd",
        ] {
            assert_eq!(parsed(raw), Parsed::Malformed, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn the_bounds_of_the_numbers_are_read() {
        for (generation, offset) in [(1, 0), (Position::MAX_GENERATION, Position::MAX_OFFSET)] {
            let Parsed::Id(id) = parsed_after_token(&format!("{generation}.{offset}")) else {
                panic!("{generation}.{offset}");
            };
            assert_eq!(id.position, Position { generation, offset });
        }
    }

    #[test]
    fn more_than_128_bytes_are_malformed() {
        let longest = "x".repeat(128 - "r1.0123456789abcdef012345.1.1.".len());
        assert!(inner_of(&parsed_after_token(&format!("1.1.{longest}"))).is_some());
        for rest in [format!("1.1.x{longest}"), "1.1.".to_owned() + &"x".repeat(10_000)] {
            assert_eq!(parsed_after_token(&rest), Parsed::Malformed);
        }
        assert_eq!(parsed(format!("r1.{}", ".".repeat(10_000))), Parsed::Malformed);
        assert_eq!(parsed("x".repeat(10_000)), Parsed::NotOurs);
    }

    #[test]
    fn a_forged_token_is_told_and_keeps_its_inner_id() {
        let Parsed::Id(id) = parsed("r1.AAAAAAAAAAAAAAAAAAAAAA.1.1.a") else { panic!() };
        assert!(!id.authentic);
        assert_eq!(id.inner.unwrap().as_bytes(), b"a");
    }

    #[test]
    fn nothing_of_a_client_is_printed() {
        let printed = format!("{:?}", parsed_after_token("1.1.alice"));
        assert!(!printed.contains("alice") && printed.contains("Token(..)"), "{printed}");
    }

    /// Bytes that are close to an ID, and some that are not.
    fn raw() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..200),
            vec(any::<u8>(), 0..200).prop_map(|tail| [b"r1.".as_slice(), &tail].concat()),
            "r1\\.[A-Za-z0-9_-]{21}[AQgw]\\.[0-9]{0,3}\\.[0-9]{1,3}(\\.[a-c%20AEF]{0,5})?"
                .prop_map(String::into_bytes),
            "r1\\.[A-Za-z0-9_-]{21}[AQgw]\\.[1-9]\\.[1-9]\\.([a-z]|%2[0-9A-F]){1,40}"
                .prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            marker in "[A-Za-z0-9_-]{1,16}",
            random: [u8; 12],
            generation in 1..=Position::MAX_GENERATION,
            offset in 0..=Position::MAX_OFFSET,
            inner in proptest::option::of(vec(any::<u8>(), 0..60)),
        ) {
            let marker = Marker::new(&marker).unwrap();
            let token = Token::sign(random, &keys());
            let line = IdLine::new(&marker, &token, generation);
            let mut out = Vec::new();
            let complete = line.write(&mut out, offset, inner.as_deref(), b"\n");
            let id = line.id(offset, inner.as_deref());
            let expected = format!("id: {id}\n");
            prop_assert_eq!(&out, expected.as_bytes());
            prop_assert!(id.len() <= MAX_LEN);
            prop_assert!(http::HeaderValue::from_str(&id).is_ok());

            let Parsed::Id(read) = parse(&marker, id.as_bytes(), &keys()) else {
                return Err(TestCaseError::fail(id));
            };
            prop_assert!(read.authentic && read.token == token);
            prop_assert_eq!(read.position, Position { generation, offset });
            let embedded = inner.as_deref().filter(|inner| complete && !inner.is_empty());
            prop_assert_eq!(read.inner.as_ref().map(Inner::as_bytes), embedded);
        }

        #[test]
        fn every_accepted_id_is_the_one_spelling_of_what_it_says(raw in raw()) {
            let marker = Marker::default();
            if let Parsed::Id(id) = parse(&marker, &raw, &keys()) {
                let line = IdLine::new(&marker, &id.token, id.position.generation);
                let inner = id.inner.as_ref().map(Inner::as_bytes);
                let written = line.id(id.position.offset, inner);
                prop_assert_eq!(written.as_bytes(), &raw);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(raw in vec(any::<u8>(), 0..10_000), marker in "[a-z]{1,3}") {
            parse(&Marker::new(&marker).unwrap(), &raw, &keys());
            parse(&Marker::default(), &[b"r1.", raw.as_slice()].concat(), &keys());
        }
    }
}
