//! How the events of an append lie in items: as one *step* in most cases.
//!
//! An item holds 400 KB at most, and a transaction 4 MB. So what is larger than a step goes into *chunks* first, which
//! nobody knows of before a step names them: the steps come in the same transaction as the change of the head.

use std::ops::Range as Span;

use ::bytes::BytesMut;
use aws_sdk_dynamodb::types::AttributeValue;

use super::error::malformed;
use super::item::{Change, Item, Place, TTL, binary, number, text};
use super::server::Range;
use super::streams::SLACK;
use crate::store::codes::{self, columns};
use crate::store::{Append, Content, Error, ErrorKind, Piece};

/// How many bytes a step or a chunk has at most.
const LARGEST: usize = 256 << 10;
/// What a piece takes beside its bytes, at most.
const OVERHEAD: usize = 64;
/// How many steps an append has at most: a quarter of a million pieces.
const MOST_STEPS: usize = 56;

/// The events of an append, as they will lie in items.
pub(super) struct Layout<'a> {
    append: &'a Append,
    steps: Vec<&'a [Piece]>,
    is_inline: bool,
}

/// What the items of an append have in common.
pub(super) struct Common<'a> {
    pub(super) partition: &'a str,
    pub(super) life: &'a str,
    /// Tells attempts apart.
    pub(super) attempt: &'a str,
    /// When, in milliseconds, and how long it is kept.
    pub(super) now: u64,
    pub(super) age: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn of(append: &'a Append) -> Result<Self, Error> {
        let pieces = &append.pieces;
        let weight: usize = pieces.iter().map(|piece| piece.bytes() + OVERHEAD).sum();
        if weight <= LARGEST {
            let steps = if pieces.is_empty() { Vec::new() } else { vec![&pieces[..]] };
            return Ok(Self { append, steps, is_inline: true });
        }
        let steps: Vec<_> = pieces.chunks(LARGEST / OVERHEAD).collect();
        if steps.len() > MOST_STEPS {
            return Err(ErrorKind::LimitReached.into());
        }
        Ok(Self { append, steps, is_inline: false })
    }

    pub(super) fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// What is to be stored before the steps.
    pub(super) fn chunks(&self, common: &Common<'_>) -> Vec<Change> {
        let mut all = BytesMut::with_capacity(self.append.bytes() as usize);
        for piece in self.append.pieces.iter().filter(|_| !self.is_inline) {
            all.extend_from_slice(columns(&piece.content).1);
        }
        let base = self.append.first;
        let chunks = all.chunks(LARGEST).zip(0..).map(|(chunk, n)| {
            let place =
                Place::new(common.partition, chunk_key(common.life, base, common.attempt, n));
            let ttl = ttl(common.now, common.age);
            Change::put(place, [("bytes", binary(chunk)), (TTL, ttl)])
        });
        chunks.collect()
    }

    /// What is stored with the change of the head.
    pub(super) fn steps(&self, common: &Common<'_>) -> Vec<Change> {
        let mut at = 0;
        let steps = self.steps.iter().map(|pieces| {
            let (first, last) = (pieces[0].first, pieces[pieces.len() - 1].next() - 1);
            let begins = at;
            at += pieces.iter().map(Piece::bytes).sum::<usize>() as u64;
            let attributes = [
                ("first", number(first)),
                (
                    "pieces",
                    AttributeValue::L(pieces.iter().map(|piece| self.piece(piece)).collect()),
                ),
                ("time", number(common.now)),
                (TTL, ttl(common.now, common.age)),
            ];
            let place = Place::new(common.partition, step_key(common.life, last));
            let step = Change::put(place, attributes);
            if self.is_inline {
                return step;
            }
            step.and("attempt", Some(text(common.attempt)))
                .and("base", Some(number(self.append.first)))
                .and("at", Some(number(begins)))
        });
        steps.collect()
    }

    fn piece(&self, piece: &Piece) -> AttributeValue {
        let content = match &piece.content {
            Content::Hole(reason) => Some(("hole", text(reason.as_str()))),
            Content::Events(bytes) if bytes.is_empty() => None,
            Content::Events(bytes) if self.is_inline => Some(("bytes", binary(bytes))),
            Content::Events(bytes) => Some(("length", number(bytes.len() as u64))),
        };
        let count = Some(("count", number(piece.count)));
        let attributes = count.into_iter().chain(content);
        AttributeValue::M(attributes.map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// A step as it is stored.
pub(super) struct Step {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) time: u64,
    pub(super) pieces: Vec<Held>,
    pub(super) chunks: Option<Chunks>,
}

/// A piece of a step.
pub(super) struct Held {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) content: HeldContent,
}

pub(super) enum HeldContent {
    Here(Content),
    /// In the chunks, from one byte of the append to another one.
    Elsewhere(Span<u64>),
}

/// Where the chunks of a step are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Chunks {
    /// The first offset of the append.
    pub(super) base: u64,
    attempt: String,
}

impl Held {
    pub(super) fn next(&self) -> u64 {
        self.first + self.count
    }

    pub(super) fn bytes(&self) -> u64 {
        match &self.content {
            HeldContent::Here(content) => columns(content).1.len() as u64,
            HeldContent::Elsewhere(span) => span.end - span.start,
        }
    }
}

impl Step {
    pub(super) fn decode(mut item: Item) -> Result<Self, Error> {
        let first = item.number("first")?;
        let chunks = match item.optional_text("attempt")? {
            Some(attempt) => {
                Some(Chunks { attempt: attempt.to_owned(), base: item.number("base")? })
            }
            None => None,
        };
        let (mut next, mut at) = (first, item.optional_number("at")?.unwrap_or(0));
        let mut pieces = Vec::new();
        for piece in item.list("pieces")? {
            let AttributeValue::M(piece) = piece else { return Err(malformed()) };
            let held = held(Item(piece), next, at)?;
            next = held.next();
            at += if chunks.is_some() { held.bytes() } else { 0 };
            pieces.push(held);
        }
        Ok(Self { first, next, time: item.number("time")?, pieces, chunks })
    }

    /// From which offset on items are needed for this step.
    pub(super) fn base(&self) -> u64 {
        self.chunks.as_ref().map_or(self.first, |chunks| chunks.base)
    }
}

fn held(mut piece: Item, first: u64, at: u64) -> Result<Held, Error> {
    let count = piece.number("count")?;
    let content = if let Some(length) = piece.optional_number::<u64>("length")? {
        HeldContent::Elsewhere(at..at + length)
    } else {
        let bytes = piece.bytes("bytes")?;
        HeldContent::Here(codes::content(piece.optional_text("hole")?, bytes)?)
    };
    Ok(Held { first, count, content })
}

/// The chunks with these bytes of an append, and at which byte the first of these begins.
pub(super) fn chunks_with(
    partition: &str,
    life: &str,
    chunks: &Chunks,
    span: &Span<u64>,
) -> (Range, u64) {
    let key = |n| chunk_key(life, chunks.base, &chunks.attempt, n);
    let size = LARGEST as u64;
    let (from, to) = (span.start / size, span.end.saturating_sub(1) / size);
    (Range::new(partition, key(from), key(to)), from * size)
}

/// The steps with events from one offset up to another one.
pub(super) fn steps_from(partition: &str, life: &str, from: u64, next: u64) -> Range {
    Range::new(partition, step_key(life, from), step_key(life, next - 1))
}

/// The steps that end before an offset, and the chunks of appends that begin before another one.
pub(super) fn before(partition: &str, life: &str, first: u64, base: u64) -> [Range; 2] {
    let steps = Range::new(partition, step_key(life, 0), step_key(life, first - 1));
    let chunks =
        Range::new(partition, format!("{life}#chunk#"), format!("{life}#chunk#{base:020}"));
    [steps, chunks]
}

/// All items of one life of a stream but its head.
pub(super) fn of_life(partition: &str, life: &str) -> Range {
    Range::new(partition, format!("{life}#"), format!("{life}~"))
}

pub(super) fn origin_key(life: &str) -> String {
    format!("{life}#origin")
}

fn step_key(life: &str, last: u64) -> String {
    format!("{life}#step#{last:020}")
}

fn chunk_key(life: &str, base: u64, attempt: &str, n: u64) -> String {
    format!("{life}#chunk#{base:020}#{attempt}#{n:08}")
}

/// When DynamoDB may remove what was stored now and is kept so long, in seconds: a day after all others may.
pub(super) fn ttl(now: u64, age: u64) -> AttributeValue {
    number(now.saturating_add(age).saturating_add(SLACK) / 1000)
}
