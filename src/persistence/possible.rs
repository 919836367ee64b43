//! What a store says must be possible: numbers that no stream can have would be counted on from.

use crate::resume::position::Position;
use crate::store::{Error, ErrorKind, Extent, Page, Record};

/// The record, if there can be such a one.
pub(super) fn record(record: Record) -> Result<Record, Error> {
    let is_place = |number: u32, first| is_generation(number) && is_next(first);
    let are_places = record.generations.iter().all(|known| is_place(known.number, known.first));
    if are_places && is_extent(&record.extent) { Ok(record) } else { Err(impossible()) }
}

/// The page, if there can be such a one.
pub(super) fn page(page: Page) -> Result<Page, Error> {
    let are_places = page.pieces.iter().all(|piece| {
        is_next(piece.first) && piece.first.checked_add(piece.count).is_some_and(is_next)
    });
    if are_places && is_extent(&page.extent) { Ok(page) } else { Err(impossible()) }
}

fn is_extent(extent: &Extent) -> bool {
    is_generation(extent.generation)
        && is_next(extent.next)
        && (1..=extent.next).contains(&extent.first)
}

/// Whether there can be this generation, and a position after it.
fn is_generation(number: u32) -> bool {
    (1..Position::MAX_GENERATION).contains(&number)
}

/// Whether an event can come with this offset, or after the last one that can be.
fn is_next(offset: u64) -> bool {
    (1..=Position::MAX_OFFSET + 1).contains(&offset)
}

fn impossible() -> Error {
    Error::new(ErrorKind::InvalidData, "no stream can have such numbers")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::{Generation, Key, Piece, State};

    fn extent(generation: u32, first: u64, next: u64) -> Extent {
        let producer = Key::of_static("a");
        Extent { state: State::Live, generation, producer, lapsed: false, first, next }
    }

    fn is_possible(extent: &Extent, generation: Generation, piece: &Piece) -> bool {
        let (origin, progress) = (Bytes::new(), Bytes::new());
        let generations = vec![generation];
        let record = record(Record { extent: extent.clone(), origin, progress, generations });
        let page = page(Page { extent: extent.clone(), pieces: vec![piece.clone()] });
        record.is_ok() && page.is_ok()
    }

    #[test]
    fn numbers_that_no_stream_can_have_are_invalid() {
        let extents = [(1, 1, 1), (7, 3, 9), (u32::MAX - 2, 1, i64::MAX as u64)];
        let (known, piece) =
            (Generation { number: 1, first: 1, gap: None }, Piece::events(1, 1, ""));
        for (generation, first, next) in extents {
            assert!(is_possible(&extent(generation, first, next), known, &piece));
        }
        let bad = [
            (0, 1, 1),
            (u32::MAX, 1, 1),
            (u32::MAX - 1, 1, 1),
            (1, 0, 1),
            (1, 0, 0),
            (1, 2, 1),
            (1, 1, u64::MAX),
            (1, 1, 1 << 63),
        ];
        for (generation, first, next) in bad {
            assert!(!is_possible(&extent(generation, first, next), known, &piece));
        }
        let good = extent(1, 1, 2);
        for (number, first) in [(0, 1), (u32::MAX, 1), (1, 0), (1, u64::MAX)] {
            assert!(!is_possible(&good, Generation { number, first, gap: None }, &piece));
        }
        for (first, count) in [(0, 1), (u64::MAX, 1), (1, u64::MAX), (1 << 63, 1)] {
            assert!(!is_possible(&good, known, &Piece::events(first, count, "")));
        }
    }
}
