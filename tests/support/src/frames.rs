//! Scans whole streams for tests, and checks all that must hold of the result.

use tower_sse_resume::sse::{
    Field, Fields, Frame, IdFilter, LineEnding, Piece, Scanner, Span, lines,
};

use crate::reference;

/// All frames of a stream, and what is left over.
#[derive(Debug)]
pub struct Scanned {
    /// Each frame with its raw bytes.
    pub frames: Vec<(Frame, Vec<u8>)>,
    /// The unfinished frame.
    pub rest: Vec<u8>,
    /// How much of `rest` is to be left out.
    pub rest_lead: usize,
}

/// Scans a stream that comes in these pieces.
pub fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Scanned {
    let mut scanner = Scanner::new();
    let (mut frames, mut pending) = (Vec::new(), Vec::new());
    for mut input in pieces {
        while let Some(frame) = scanner.scan(input) {
            pending.extend_from_slice(&input[..frame.end]);
            frames.push((frame, std::mem::take(&mut pending)));
            input = &input[frame.end..];
            assert_eq!(scanner.unfinished(), 0);
        }
        pending.extend_from_slice(input);
        assert_eq!(scanner.unfinished(), pending.len());
    }
    Scanned { frames, rest: pending, rest_lead: scanner.lead() }
}

/// Cuts `stream` into pieces of these lengths, over and over.
pub fn cut<'a>(stream: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    let forever = lengths.iter().any(|&length| length > 0);
    for &length in lengths.iter().cycle().take_while(|_| forever) {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// The frames lie one after the other, without a gap, and with the rest they are all of the stream.
pub fn check_cover(stream: &[u8], scanned: &Scanned) {
    let mut at = 0;
    for (frame, raw) in &scanned.frames {
        assert_eq!(frame.len, raw.len());
        assert_eq!(&stream[at..at + frame.len], raw);
        at += frame.len;
    }
    assert_eq!(&stream[at..], scanned.rest);
}

/// Clients that get the frames without their leads see what clients of the stream see.
pub fn check_dispatch(stream: &[u8], scanned: &Scanned) {
    // A frame may begin with U+FEFF, which must not come to lie at the start.
    let mut sent = b":\n".to_vec();
    for (frame, raw) in &scanned.frames {
        sent.extend_from_slice(&raw[frame.lead..]);
    }
    assert_eq!(reference::events(&sent), reference::events(stream));
    sent.extend_from_slice(&scanned.rest[scanned.rest_lead..]);
    assert_eq!(reference::effects(&sent), reference::effects(stream));
}

/// A frame says of its lines what a walk over them finds.
pub fn check_frame(frame: &Frame, raw: &[u8]) {
    assert!(matches!(&raw[frame.blank..], b"\n" | b"\r" | b"\r\n"));
    let (mut fields, mut ids, mut ending, mut at) = (Fields::NONE, Vec::new(), None, frame.lead);
    for line in frame.lines(raw) {
        assert_eq!(line.range.start, at);
        at = line.range.end;
        ending = ending_of(&raw[line.range.clone()]);
        fields |= match line.field {
            Field::Data(_) => Fields::DATA,
            Field::Event(_) => Fields::EVENT,
            Field::Id(_) => Fields::ID,
            Field::Retry(_) => Fields::RETRY,
            Field::Comment | Field::Unknown => Fields::OTHER,
        };
        if matches!(line.field, Field::Id(_)) {
            ids.push(line.range);
        }
    }
    if ids.len() > 1 {
        fields |= Fields::SEVERAL_IDS;
    }
    let only_id = if ids.len() == 1 { ids.pop() } else { None };
    assert_eq!((frame.blank, frame.fields, frame.ending), (at, fields, ending));
    assert_eq!(frame.id_line.map(Span::range), only_id);
}

fn ending_of(line: &[u8]) -> Option<LineEnding> {
    [LineEnding::CrLf, LineEnding::Lf, LineEnding::Cr]
        .into_iter()
        .find(|ending| line.ends_with(ending.as_bytes()))
}

/// The walker reads a frame as the reference does.
pub fn check_values(frame: &Frame, raw: &[u8]) {
    let block = &raw[frame.lead..];
    let effects = reference::effects(&[b":\n", block].concat());
    let dispatched = effects.iter().find_map(|effect| match effect {
        reference::Effect::Dispatch(event) => Some(event),
        reference::Effect::Retry(_) => None,
    });
    let retry = effects.iter().rev().find_map(|effect| match effect {
        reference::Effect::Dispatch(_) => None,
        reference::Effect::Retry(retry) => Some(*retry),
    });
    assert_eq!(lines(block).last_retry(), retry);
    let data: Vec<u8> = lines(block).data().flatten().copied().collect();
    match dispatched {
        Some(event) => {
            let event_type = lines(block).event_type().filter(|name| !name.is_empty());
            assert_eq!(data, event.data);
            assert_eq!(event_type.unwrap_or(b"message"), event.name);
            assert_eq!(lines(block).last_id().unwrap_or_default(), event.last_event_id);
        }
        None => assert!(!frame.fields.contains(Fields::DATA)),
    }
}

/// However the frame comes, the filter takes out its `id` lines and nothing else.
pub fn check_filter(frame: &Frame, raw: &[u8], lengths: &[usize]) {
    let (mut kept, mut ids) = (Vec::new(), Vec::new());
    let mut filter = IdFilter::new();
    for piece in cut(&raw[frame.lead..frame.blank], lengths) {
        filter.push(piece, |piece| match piece {
            Piece::Keep(bytes) => kept.extend_from_slice(bytes),
            Piece::Id(bytes) => ids.extend_from_slice(bytes),
        });
    }
    let of = |id| {
        let is_id = |field| matches!(field, Field::Id(_));
        frame.lines(raw).filter(move |line| is_id(line.field) == id)
    };
    assert_eq!(ids, of(true).flat_map(|line| raw[line.range].to_vec()).collect::<Vec<_>>());
    // A line ending may be a longer one, so that a blank line after it is still one.
    let fields = of(false).map(|line| line.field).collect::<Vec<_>>();
    let block = [&kept, &raw[frame.blank..]].concat();
    assert_eq!(lines(&block).map(|line| line.field).collect::<Vec<_>>(), fields);
    let end = lines(&block).last().map_or(0, |line| line.range.end);
    assert_eq!(block[end..], raw[frame.blank..]);
}

/// All of the above for one stream and one way to cut it.
pub fn check(stream: &[u8], lengths: &[usize]) {
    let scanned = scan(cut(stream, lengths));
    check_cover(stream, &scanned);
    check_dispatch(stream, &scanned);
    for (frame, raw) in &scanned.frames {
        check_frame(frame, raw);
        check_values(frame, raw);
        check_filter(frame, raw, lengths);
    }
}
