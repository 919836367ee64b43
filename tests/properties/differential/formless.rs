//! Bytes of no particular form: lines, fields, and all that is nearly one.

use support::random::Random;

const LINE_ENDS: [&[u8]; 6] = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"];
const NAMES: [&[u8]; 12] = [
    b"data", b"event", b"id", b"retry", b"da", b"i", b"events", b"Data", b"ids", b"\nid:",
    b"\ndata:", b"\rdata:",
];
const BYTES: [&[u8]; 14] = [
    b":",
    b" ",
    b": ",
    b"d",
    b"a",
    b"t",
    b"\0",
    b"7",
    b"12",
    b"\x01",
    b"\xEF\xBB\xBF",
    b"\xEF",
    b"\xBB",
    b"\xEF\xBB\xBF\n",
];
/// Whole lines without their end, of which most events are made.
const LINES: [&[u8]; 18] = [
    b"data: x",
    b"data:y",
    b"data",
    b"data: two words",
    b"event: e",
    b"event",
    b"id: 1",
    b"id: 2",
    b"id: b",
    b"id",
    b"id: a\x01",
    b"id: no\0",
    b"retry: 10",
    b": comment",
    b":",
    b"\xEF\xBB\xBF",
    b"\xEF\xBB\xBFdata: no",
    b"nothing known",
];
const ENDS: [&[u8]; 3] = [b"\n", b"\r", b"\r\n"];

/// What a whole inner response says.
pub(crate) fn stream(random: &mut Random) -> Vec<u8> {
    let mut stream = random.pick(&[&b""[..], b"", b"", b"\xEF\xBB\xBF"]).to_vec();
    let by_lines = !random.one_in(4);
    for _ in 0..random.within(0..40) {
        if by_lines { lines(random, &mut stream) } else { fragment(random, &mut stream) }
    }
    if random.one_in(2) {
        stream.extend_from_slice(random.pick(&LINE_ENDS));
    }
    stream
}

fn lines(random: &mut Random, stream: &mut Vec<u8>) {
    let usual = random.pick(&ENDS);
    for _ in 0..random.within(1..5) {
        stream.extend_from_slice(random.pick(&LINES));
        // A number makes events differ.
        if stream.ends_with(b"x") {
            stream.extend_from_slice(random.within(0..1000).to_string().as_bytes());
        }
        stream.extend_from_slice(if random.one_in(3) { random.pick(&ENDS) } else { usual });
    }
    if !random.one_in(5) {
        stream.extend_from_slice(if random.one_in(3) { random.pick(&ENDS) } else { usual });
    }
}

fn fragment(random: &mut Random, stream: &mut Vec<u8>) {
    match random.within(0..20) {
        0..6 => stream.extend_from_slice(random.pick(&LINE_ENDS)),
        6..11 => stream.extend_from_slice(random.pick(&NAMES)),
        11..17 => stream.extend_from_slice(random.pick(&BYTES)),
        17 => (0..random.within(1..10)).for_each(|_| stream.push(random.number() as u8)),
        18 => stream.extend(std::iter::repeat_n(b'x', random.pick(&[20, 40, 70, 300]))),
        _ => stream.extend_from_slice(b"data: 1\n\n"),
    }
}

/// Cuts what is said into pieces that come one by one.
pub(crate) fn pieces(random: &mut Random, stream: &[u8]) -> Vec<Vec<u8>> {
    let longest = random.pick(&[1, 3, 10, 40, 10_000]);
    let (mut pieces, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let length = random.within(1..longest + 1).min(rest.len() as u64) as usize;
        let (piece, after) = rest.split_at(length);
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}
