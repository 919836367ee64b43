//! What is known of a stream: the item that each change of it changes.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use super::error::malformed;
use super::item::{Change, Item, Place, binary, number, text};
use crate::store::codes::{self, PURGED, gap, millis, unsigned};
use crate::store::{
    Append, Error, ErrorKind, Extent, Generation, Keep, Key, NewStream, Record, State,
};

/// The state of a stream that has expired, until its items are removed.
const GONE: i64 = 4;

/// A stream as of one moment; times are milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Tells streams of the same name apart, so that one has no items of the other.
    pub(super) life: String,
    /// How often it changed.
    pub(super) revision: u64,
    code: i64,
    pub(super) producer: Key,
    pub(super) session: Option<Key>,
    pub(super) owner: Option<Key>,
    pub(super) keep: Keep,
    /// The first offset that can be read, and how many bytes the events before it had.
    pub(super) first: u64,
    pub(super) trimmed: u64,
    /// No event that can be read is older.
    pub(super) oldest: Option<u64>,
    pub(super) next: u64,
    /// How many bytes of events it ever had.
    pub(super) total: u64,
    /// When it was created, appended to or claimed.
    pub(super) changed: u64,
    pub(super) progress: Bytes,
    pub(super) generations: Vec<Generation>,
}

impl Head {
    pub(super) fn decode(mut item: Item) -> Result<Self, Error> {
        let keep = Keep {
            events: item.number("events")?,
            bytes: item.number("bytes")?,
            age: Duration::from_millis(item.number("age")?),
        };
        Ok(Self {
            life: item.text("life")?.to_owned(),
            revision: item.number("revision")?,
            code: item.number("state")?,
            producer: item.key("producer")?,
            session: item.optional_key("session")?,
            owner: item.optional_key("owner")?,
            keep,
            first: item.number("first")?,
            trimmed: item.number("trimmed")?,
            oldest: item.optional_number("oldest")?,
            next: item.number("next")?,
            total: item.number("total")?,
            changed: item.number("changed")?,
            progress: item.bytes("progress")?,
            generations: item
                .list("generations")?
                .iter()
                .map(generation)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Puts a new stream, where none is.
    pub(super) fn create(place: Place, new: &NewStream, life: &str, now: u64) -> Change {
        let first = Generation { number: 1, first: 1, gap: None };
        let attributes = [
            ("life", text(life)),
            ("revision", number(1)),
            ("state", code(State::Live)),
            ("producer", binary(new.producer.as_bytes())),
            ("events", number(new.keep.events)),
            ("bytes", number(new.keep.bytes)),
            ("age", number(unsigned(millis(new.keep.age)))),
            ("first", number(1)),
            ("trimmed", number(0)),
            ("next", number(1)),
            ("total", number(0)),
            ("changed", number(now)),
            ("generation", number(1)),
            ("generations", generations(&[first])),
        ];
        let name = |key: &Option<Key>| key.as_ref().map(|key| binary(key.as_bytes()));
        Change::put(place, attributes)
            .and("session", name(&new.session))
            .and("owner", name(&new.owner))
            .only_if("attribute_not_exists(#pk)")
    }

    /// Changes the stream, as long as it is this one.
    pub(super) fn update(&self, place: Place, steps: &str) -> Change {
        Change::update(place, format!("SET #revision = #revision + :one, {steps}"))
            .only_if("#life = :life")
            .with(":one", number(1))
            .with(":life", text(&self.life))
    }

    /// Changes the stream if it is as it was when this was read.
    pub(super) fn update_unchanged(&self, place: Place, steps: &str) -> Change {
        self.update(place, steps)
            .only_if("#life = :life AND #revision = :revision")
            .with(":revision", number(self.revision))
    }

    /// Its state; an error for a tombstone, and for what is gone.
    pub(super) fn state(&self) -> Result<State, Error> {
        if self.is_gone() { Err(ErrorKind::NotFound.into()) } else { codes::state(self.code) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.code == GONE
    }

    /// Whether it is a stream, and no tombstone of one.
    pub(super) fn is_there(&self) -> bool {
        self.code < PURGED
    }

    pub(super) fn is_live(&self) -> bool {
        self.state().is_ok_and(|state| state == State::Live)
    }

    pub(super) fn generation(&self) -> u32 {
        self.generations.last().map_or(1, |generation| generation.number)
    }

    /// Whether an entry of a batch comes next.
    pub(super) fn fits(&self, append: &Append) -> bool {
        (self.is_live(), self.generation(), self.next) == (true, append.generation, append.first)
    }

    pub(super) fn extent(&self, lapsed: bool) -> Result<Extent, Error> {
        Ok(Extent {
            state: self.state()?,
            generation: self.generation(),
            producer: self.producer.clone(),
            lapsed,
            first: self.first,
            next: self.next,
        })
    }

    pub(super) fn record(&self, lapsed: bool, origin: Bytes) -> Result<Record, Error> {
        let (progress, generations) = (self.progress.clone(), self.generations.clone());
        Ok(Record { extent: self.extent(lapsed)?, origin, progress, generations })
    }
}

pub(super) fn code(state: State) -> AttributeValue {
    number(unsigned(codes::state_code(state)))
}

pub(super) fn purged() -> AttributeValue {
    number(unsigned(PURGED))
}

pub(super) fn gone() -> AttributeValue {
    number(unsigned(GONE))
}

/// Generations as they are stored, each a line: its number, its first offset, and the gap or nothing.
pub(super) fn generations(generations: &[Generation]) -> AttributeValue {
    let line = |generation: &Generation| {
        let Generation { number, first, gap } = generation;
        text(format!("{number} {first} {}", gap.map_or("", |gap| gap.as_str())))
    };
    AttributeValue::L(generations.iter().map(line).collect())
}

fn generation(line: &AttributeValue) -> Result<Generation, Error> {
    let mut words = line.as_s().map_err(|_| malformed())?.splitn(3, ' ');
    let number = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    let first = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    Ok(Generation { number, first, gap: gap(words.next().filter(|word| !word.is_empty()))? })
}
