//! The scanner against a reference parser: the cases of web-platform-tests `eventsource/format-*`,
//! and arbitrary streams in arbitrary pieces.

use proptest::{collection::vec, prelude::*, sample::select};
use support::frames::{
    Scanned, check, check_cover, check_dispatch, check_filter, check_frame, check_values, cut, scan,
};
use support::reference;
use tower_sse_resume::sse::{BlockKind, Fields, LineEnding};

/// What `stream` dispatches, as (type, data, last event ID), after it passed through the scanner in
/// every small cut.
fn dispatched(stream: &str) -> Vec<(String, String, String)> {
    (0..20).for_each(|length| check(stream.as_bytes(), &[length]));
    let string = |bytes| String::from_utf8(bytes).unwrap();
    let strings = |event: reference::Event| {
        (string(event.name), string(event.data), string(event.last_event_id))
    };
    reference::events(stream.as_bytes()).into_iter().map(strings).collect()
}

/// The data of all events.
fn data(stream: &str) -> Vec<String> {
    dispatched(stream).into_iter().map(|(_, data, _)| data).collect()
}

/// The last reconnection time that `stream` sets.
fn retry(stream: &str) -> Option<u64> {
    check(stream.as_bytes(), &[]);
    reference::effects(stream.as_bytes()).into_iter().rev().find_map(|effect| match effect {
        reference::Effect::Retry(retry) => Some(retry),
        reference::Effect::Dispatch(_) => None,
    })
}

#[test]
fn one_byte_order_mark_at_the_start_is_left_out() {
    assert_eq!(data("\u{FEFF}data: a\n\n\u{FEFF}data: b\n\ndata: c\n\n"), ["a", "c"]);
}

#[test]
fn a_second_byte_order_mark_is_part_of_a_name() {
    assert_eq!(data("\u{FEFF}\u{FEFF}data: a\n\ndata: b\n\ndata: c\n\n"), ["b", "c"]);
}

#[test]
fn comments_are_ignored_however_long_they_are() {
    let long = "x".repeat(2048);
    let stream =
        format!("data: a\r:\0\n:\r\ndata: b\n:{long}\rdata: c\n:data: no\r:{long}\ndata: d\n\n");
    assert_eq!(data(&stream), ["a\nb\nc\nd"]);
}

#[test]
fn a_block_without_its_blank_line_is_dropped() {
    let events = dispatched("retry: 1000\ndata: a\n\nid: x\ndata: b\n");
    assert_eq!(events, [("message".into(), "a".into(), String::new())]);
}

#[test]
fn data_without_a_value_counts_and_without_a_colon_too() {
    assert_eq!(data("data:\n\ndata\ndata\n\ndata: a\n\n"), ["", "\n", "a"]);
}

#[test]
fn an_event_field_names_one_event_only() {
    let events = dispatched("event: a\ndata: x\n\ndata: x\n\nevent: b\n\ndata: x\n\n");
    let types: Vec<_> = events.iter().map(|event| &event.0).collect();
    assert_eq!(types, ["a", "message", "message"]);
}

#[test]
fn an_empty_event_field_means_message() {
    assert_eq!(dispatched("event: \ndata: x\n\nevent: a\nevent:\ndata: x\n\n")[0].0, "message");
}

#[test]
fn an_id_stays_in_force_until_the_next_one() {
    let events =
        dispatched("id: …\ndata: a\n\ndata: b\n\nid\ndata: c\n\ndata: d\n\nid: 2\n\ndata: e\n\n");
    let ids: Vec<_> = events.iter().map(|event| &event.2).collect();
    assert_eq!(ids, ["…", "…", "", "", "2"]);
}

#[test]
fn an_id_with_a_nul_is_ignored() {
    for nul in ["\0", "\0\0", "x\0", "\0x", "x\0x", " \0"] {
        assert_eq!(dispatched(&format!("id: 1\nid: {nul}\ndata: a\n\n"))[0].2, "1", "{nul:?}");
    }
}

#[test]
fn names_are_exact_and_only_the_first_space_goes() {
    let stream = "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n";
    assert_eq!(data(stream), ["\0\n 2\n1\n3\n\n4"]);
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(
        data("data:a\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:b\n\n"),
        ["a\n\nb"]
    );
}

#[test]
fn a_tab_or_a_second_space_after_the_colon_stays() {
    assert_eq!(data("data:\ta\rdata: \ndata:b\n\ndata:  c\n\n"), ["\ta\n\nb", " c"]);
}

#[test]
fn every_line_ending_ends_a_line() {
    assert_eq!(
        data("data:a\r\ndata:b\ndata:c\r\rdata:d\n\r\ndata:e\r\n\rdata:f\r\n\r\n"),
        ["a\nb\nc", "d", "e", "f"]
    );
}

#[test]
fn a_nul_in_data_is_data() {
    assert_eq!(data("data:\0\n\n\n\n"), ["\0"]);
}

#[test]
fn bytes_that_are_not_utf_8_pass() {
    check(b"data: \xFF\xC0\xEF\xBB\n\nid: \xFE\ndata\xFF: x\n\n\xEF\xBBdata: y\n\n", &[1]);
    assert_eq!(data("data: ok…\n\n"), ["ok…"]);
}

#[test]
fn retry_takes_digits_only() {
    assert_eq!(retry("retry: 3000\n"), Some(3000));
    assert_eq!(retry("retry: 3000\nretry: 1000x\n"), Some(3000));
    assert_eq!(retry("retry: 3000\nretry\nretry:\nretry: +1\nretry: -1\nretry:  5\n"), Some(3000));
    assert_eq!(retry("retry: 007\n\n"), Some(7));
    assert_eq!(retry("retry: 99999999999999999999999\n\n"), Some(u64::MAX));
}

/// Fragments that make lines, fields, and all that is nearly one.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let ends = select(vec![&b"\n"[..], b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"]);
    let names = select(vec![
        &b"data"[..],
        b"event",
        b"id",
        b"retry",
        b"da",
        b"i",
        b"events",
        b"Data",
        b"ids",
        b"\nid:",
    ]);
    let bytes = select(vec![
        &b":"[..],
        b" ",
        b": ",
        b"d",
        b"a",
        b"t",
        b"\0",
        b"7",
        b"12",
        b"\xEF\xBB\xBF",
        b"\xEF",
        b"\xBB",
    ]);
    let any = vec(any::<u8>(), 1..10);
    prop_oneof![
        6 => ends.prop_map(<[u8]>::to_vec),
        5 => names.prop_map(<[u8]>::to_vec),
        6 => bytes.prop_map(<[u8]>::to_vec),
        1 => any,
        1 => select(vec![20_usize, 40, 70, 300]).prop_map(|length| vec![b'x'; length]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let mark = select(vec![&b""[..], b"", b"", b"\xEF\xBB\xBF", b"\xEF\xBB"]);
    (mark, vec(fragment(), 0..40))
        .prop_map(|(mark, fragments)| [mark, &fragments.concat()].concat())
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(0_usize..4, 1..6), vec(0_usize..40, 0..6)]
}

/// What must not depend on how a stream comes: all of a block but its lead and its blank line.
type Block<'a> = (&'a [u8], BlockKind, Fields, Option<usize>, Option<LineEnding>);

fn blocks(scanned: &Scanned) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for (frame, raw) in &scanned.frames {
        let id = frame.id_line.map(|id| id.start - frame.lead);
        blocks.push((&raw[frame.lead..frame.blank], frame.kind(), frame.fields, id, frame.ending));
    }
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn frames_and_rest_are_all_of_the_stream(stream in stream(), lengths in lengths()) {
        check_cover(&stream, &scan(cut(&stream, &lengths)));
    }

    #[test]
    fn frames_dispatch_what_the_stream_dispatches(stream in stream(), lengths in lengths()) {
        check_dispatch(&stream, &scan(cut(&stream, &lengths)));
    }

    #[test]
    fn blocks_do_not_depend_on_the_cuts(stream in stream(), lengths in lengths()) {
        let (whole, pieces) = (scan([&stream[..]]), scan(cut(&stream, &lengths)));
        prop_assert_eq!(blocks(&whole), blocks(&pieces));
    }

    #[test]
    fn a_frame_says_what_its_lines_say(stream in stream(), lengths in lengths()) {
        for (frame, raw) in &scan(cut(&stream, &lengths)).frames {
            check_frame(frame, raw);
            check_values(frame, raw);
        }
    }

    #[test]
    fn the_filter_takes_out_the_id_lines(stream in stream(), lengths in lengths()) {
        for (frame, raw) in &scan([&stream[..]]).frames {
            check_filter(frame, raw, &lengths);
        }
    }
}
