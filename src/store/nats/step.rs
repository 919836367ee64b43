//! A step of a stream: the message on its subject that says all about it as of then, and has what is new. The last one
//! is the stream.

use std::time::Duration;

use bytes::Bytes;

use super::bytes::{Reader, Writer, malformed};
use super::server::Stored;
use crate::resume::GapReason;
use crate::store::codes::{self, PURGED};
use crate::store::{
    Append, Claim, Content, Error, ErrorKind, Extent, Generation, Keep, Key, NewStream, Record,
    State,
};

/// The version of this encoding.
const VERSION: u64 = 1;
/// The state of a stream that has expired, until its last message is removed.
const GONE: i64 = 4;
/// How many earlier steps a step knows of at most. When there are more, every second one of the older half goes.
const MOST_MARKS: usize = 32;

/// Where an earlier step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The offset of its first piece.
    pub(super) offset: u64,
    pub(super) sequence: u64,
}

/// Where the bytes of a step's pieces are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// In the step itself.
    Inline(Bytes),
    /// In messages of their own, each of so many bytes but the last, at these sequences.
    Chunks { size: u64, sequences: Vec<u64> },
}

/// What a piece is, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) count: u64,
    /// How many bytes it has, or why it has none.
    pub(super) content: Result<u64, GapReason>,
}

impl Shape {
    pub(super) fn bytes(&self) -> u64 {
        self.content.unwrap_or(0)
    }
}

/// A step; times are milliseconds by the server's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its own sequence, and when it was stored.
    pub(super) sequence: u64,
    pub(super) time: u64,
    code: i64,
    pub(super) producer: Key,
    pub(super) session: Option<Key>,
    pub(super) owner: Option<Key>,
    pub(super) keep: Keep,
    /// The sequence of the message that has the origin.
    pub(super) origin: u64,
    pub(super) progress: Bytes,
    pub(super) generations: Vec<Generation>,
    /// The first offset that can be read, and how many bytes the events before it had.
    pub(super) first: u64,
    pub(super) trimmed: u64,
    /// No event that can be read is older.
    pub(super) oldest: u64,
    /// The stream's next offset, and how many bytes of events it ever had.
    pub(super) next: u64,
    pub(super) total: u64,
    /// When it was created, appended to or claimed.
    pub(super) changed: u64,
    pub(super) marks: Vec<Mark>,
    pub(super) shapes: Vec<Shape>,
    pub(super) data: Data,
}

impl Step {
    /// The first step of a stream. Sequences and times that are 0 mean its own.
    pub(super) fn first(new: &NewStream, origin: u64) -> Self {
        Self {
            sequence: 0,
            time: 0,
            code: codes::state_code(State::Live),
            producer: new.producer.clone(),
            session: new.session.clone(),
            owner: new.owner.clone(),
            keep: new.keep,
            origin,
            progress: Bytes::new(),
            generations: vec![Generation { number: 1, first: 1, gap: None }],
            first: 1,
            trimmed: 0,
            oldest: 0,
            next: 1,
            total: 0,
            changed: 0,
            marks: Vec::new(),
            shapes: Vec::new(),
            data: Data::Inline(Bytes::new()),
        }
    }

    /// The step after this one, without anything new.
    fn following(&self) -> Self {
        let mut next = self.clone();
        if !self.shapes.is_empty() {
            next.marks.push(Mark { offset: self.begins(), sequence: self.sequence });
        }
        if next.marks.len() > MOST_MARKS {
            let mut n = 0;
            next.marks.retain(|_| {
                n += 1;
                n > MOST_MARKS / 2 || n % 2 == 1
            });
        }
        next.shapes.clear();
        next.data = Data::Inline(Bytes::new());
        (next.sequence, next.time, next.changed) = (0, 0, 0);
        next
    }

    /// The step that an entry of a batch makes, if it fits. Where its bytes are is left to be said.
    pub(super) fn appended(&self, append: &Append) -> Result<Self, Error> {
        let expected = (self.state()?, self.generation(), self.next);
        if expected != (State::Live, append.generation, append.first) {
            return Err(ErrorKind::Refused.into());
        }
        let mut step = self.following();
        if !append.pieces.is_empty() && self.first == self.next {
            step.oldest = 0;
        }
        step.next = append.next();
        step.total += append.bytes();
        step.shapes = append.pieces.iter().map(shape).collect();
        if let Some(progress) = &append.progress {
            step.progress = progress.clone();
        }
        if let (Some(gap), Some(running)) = (append.gap, step.generations.last_mut()) {
            running.gap = Some(gap);
        }
        if let Some(end) = append.end {
            step.code = codes::state_code(end.into());
        }
        Ok(step)
    }

    /// The step that a claim makes, if the generation is the one that the claimer saw, and this state may go on.
    pub(super) fn claimed(&self, claim: &Claim) -> Result<Self, Error> {
        if self.state()? == State::Finished || claim.after != self.generation() {
            return Err(ErrorKind::Refused.into());
        }
        let mut step = self.following();
        if step.generations.len() == Record::MOST_GENERATIONS {
            step.generations.remove(0);
        }
        let number = claim.after + 1;
        step.generations.push(Generation { number, first: self.next, gap: claim.gap });
        step.producer = claim.producer.clone();
        step.code = codes::state_code(State::Live);
        Ok(step)
    }

    /// The step that says that events before `first` are gone.
    pub(super) fn trimmed(&self, first: u64, trimmed: u64, oldest: u64) -> Self {
        let mut step = self.following();
        step.marks.retain(|mark| mark.offset >= first);
        (step.first, step.trimmed, step.oldest) = (first, trimmed, oldest);
        step.changed = self.changed;
        step
    }

    /// The tombstone.
    pub(super) fn purged(&self) -> Self {
        self.emptied(PURGED)
    }

    /// The last message of a stream that has expired.
    pub(super) fn gone(&self) -> Self {
        self.emptied(GONE)
    }

    fn emptied(&self, code: i64) -> Self {
        let mut step = self.following();
        step.code = code;
        (step.session, step.owner) = (None, None);
        step.marks.clear();
        step.generations.truncate(1);
        step.progress = Bytes::new();
        step
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

    fn generation(&self) -> u32 {
        self.generations.last().map_or(1, |generation| generation.number)
    }

    /// The offset of its first piece.
    pub(super) fn begins(&self) -> u64 {
        self.next - self.shapes.iter().map(|shape| shape.count).sum::<u64>()
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

    pub(super) fn encode(&self) -> Bytes {
        let mut to = Writer::default();
        to.number(VERSION);
        to.number(codes::unsigned(self.code));
        to.bytes(self.producer.as_bytes());
        to.optional(self.session.as_ref().map(Key::as_bytes));
        to.optional(self.owner.as_ref().map(Key::as_bytes));
        let Keep { events, bytes, age } = self.keep;
        let age = codes::unsigned(codes::millis(age));
        for number in [events, bytes, age, self.origin, self.first, self.trimmed, self.oldest] {
            to.number(number);
        }
        for number in [self.next, self.total, self.changed] {
            to.number(number);
        }
        to.bytes(&self.progress);
        to.number(self.generations.len() as u64);
        for generation in &self.generations {
            to.number(u64::from(generation.number));
            to.number(generation.first);
            to.optional(generation.gap.map(|gap| gap.as_str().as_bytes()));
        }
        to.number(self.marks.len() as u64);
        for mark in &self.marks {
            to.number(mark.offset);
            to.number(mark.sequence);
        }
        to.number(self.shapes.len() as u64);
        for shape in &self.shapes {
            to.number(shape.count);
            to.optional(shape.content.err().map(|gap| gap.as_str().as_bytes()));
            to.number(shape.bytes());
        }
        self.encode_data(&mut to);
        to.0.into()
    }

    fn encode_data(&self, to: &mut Writer) {
        match &self.data {
            Data::Inline(bytes) => {
                to.number(0);
                to.bytes(bytes);
            }
            Data::Chunks { size, sequences } => {
                to.number(*size);
                to.number(sequences.len() as u64);
                for sequence in sequences {
                    to.number(*sequence);
                }
            }
        }
    }

    pub(super) fn decode(message: Stored) -> Result<Self, Error> {
        let Stored { sequence, time, payload } = message;
        let mut from = Reader(payload);
        if from.number()? != VERSION {
            return Err(ErrorKind::IncompatibleSchema.into());
        }
        let own = |stored: u64| if stored == 0 { time } else { stored };
        let code = codes::signed(from.number()?);
        let producer = Key::new(from.bytes()?)?;
        let (session, owner) = (optional_key(from.bytes()?)?, optional_key(from.bytes()?)?);
        let (events, bytes) = (from.number()?, from.number()?);
        let keep = Keep { events, bytes, age: Duration::from_millis(from.number()?) };
        // An origin that was stored in the same batch is just before the first step.
        let origin = match from.number()? {
            0 => sequence - 1,
            origin => origin,
        };
        let (first, trimmed, oldest) = (from.number()?, from.number()?, own(from.number()?));
        let (next, total, changed) = (from.number()?, from.number()?, own(from.number()?));
        let progress = from.bytes()?;
        let generations = from.list(generation)?;
        let marks =
            from.list(|from| Ok(Mark { offset: from.number()?, sequence: from.number()? }))?;
        let shapes = from.list(|from| {
            let (count, gap, bytes) = (from.number()?, from.text()?, from.number()?);
            Ok(Shape { count, content: optional_gap(&gap)?.map_or(Ok(bytes), Err) })
        })?;
        let data = match from.number()? {
            0 => Data::Inline(from.bytes()?),
            size => {
                Data::Chunks { size, sequences: own_chunks(from.list(Reader::number)?, sequence) }
            }
        };
        Ok(Self {
            sequence,
            time,
            code,
            producer,
            session,
            owner,
            keep,
            origin,
            progress,
            generations,
            first,
            trimmed,
            oldest,
            next,
            total,
            changed,
            marks,
            shapes,
            data,
        })
    }
}

/// Chunks that were stored in the same batch are just before their step, in their order.
fn own_chunks(sequences: Vec<u64>, step: u64) -> Vec<u64> {
    let before = step - (sequences.len() as u64).min(step);
    let own = |(n, stored)| if stored == 0 { before + n } else { stored };
    (0..).zip(sequences).map(own).collect()
}

fn shape(piece: &crate::store::Piece) -> Shape {
    let content = match &piece.content {
        Content::Events(bytes) => Ok(bytes.len() as u64),
        Content::Hole(reason) => Err(*reason),
    };
    Shape { count: piece.count, content }
}

fn generation(from: &mut Reader) -> Result<Generation, Error> {
    let number = u32::try_from(from.number()?).map_err(|_| malformed())?;
    Ok(Generation { number, first: from.number()?, gap: optional_gap(&from.text()?)? })
}

fn optional_key(bytes: Bytes) -> Result<Option<Key>, Error> {
    if bytes.is_empty() { Ok(None) } else { Key::new(bytes).map(Some) }
}

fn optional_gap(word: &str) -> Result<Option<GapReason>, Error> {
    codes::gap(Some(word).filter(|word| !word.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{End, Piece};

    fn key(name: &'static str) -> Key {
        Key::new(name).unwrap()
    }

    fn stored(step: &Step, sequence: u64) -> Step {
        Step::decode(Stored { sequence, time: 1000 + sequence, payload: step.encode() }).unwrap()
    }

    fn first() -> Step {
        let keep = Keep { events: 5, bytes: 100, age: Duration::from_secs(60) };
        let (session, owner, origin) = (None, Some(key("owner")), Bytes::new());
        let new = NewStream { producer: key("p"), session, owner, origin, keep };
        stored(&Step::first(&new, 0), 8)
    }

    fn entry(first: u64, pieces: Vec<Piece>) -> Append {
        let (stream, generation) = (key("s"), 1);
        Append { stream, generation, first, pieces, progress: None, gap: None, end: None }
    }

    #[test]
    fn a_step_comes_back_as_it_was_stored() {
        let step = first();
        assert_eq!((step.origin, step.oldest, step.changed), (7, 1008, 1008));
        let hole = Piece::hole(3, 4, GapReason::Oversize);
        let mut append = entry(1, vec![Piece::events(1, 2, "abc"), hole]);
        append.progress = Some("progress".into());
        append.end = Some(End::Aborted);
        let mut next = step.appended(&append).unwrap();
        next.data = Data::Chunks { size: 2, sequences: vec![0, 0] };
        let next = stored(&next, 12);
        assert_eq!((next.begins(), next.next, next.total), (1, 7, 3));
        assert_eq!((next.origin, next.progress.as_ref()), (7, &b"progress"[..]));
        assert_eq!(next.data, Data::Chunks { size: 2, sequences: vec![10, 11] });
        assert_eq!(stored(&next, 12), next);
        assert_eq!(next.state().unwrap(), State::Aborted);
    }

    #[test]
    fn steps_before_are_remembered_more_closely_the_later_they_are() {
        let mut step = first();
        for n in 1..=1000 {
            step = step.appended(&entry(n, vec![Piece::events(n, 1, "e")])).unwrap();
            step = stored(&step, 100 + n);
            assert!(step.marks.len() <= MOST_MARKS);
            assert!(step.marks.is_sorted_by_key(|mark| mark.offset));
            assert!(step.marks.iter().all(|mark| mark.sequence == 100 + mark.offset));
        }
        let newest: Vec<u64> = step.marks.iter().rev().take(8).map(|mark| mark.offset).collect();
        assert_eq!(newest, [999, 998, 997, 996, 995, 994, 993, 992]);
        assert_eq!(step.marks[0].offset, 1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let step = first();
        for (generation, at) in [(0, 1), (2, 1), (1, 0), (1, 2)] {
            let refused = step.appended(&Append { generation, ..entry(at, vec![]) }).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused);
        }
        let tombstone = stored(&step.purged(), 9);
        assert_eq!(tombstone.appended(&entry(1, vec![])).unwrap_err().kind(), ErrorKind::Purged);
        let gone = stored(&step.gone(), 9);
        assert_eq!(gone.appended(&entry(1, vec![])).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!tombstone.is_there() && !gone.is_there() && step.is_there());
    }

    #[test]
    fn a_version_that_is_not_known_is_refused() {
        let payload = Bytes::from_static(&[2]);
        let error = Step::decode(Stored { sequence: 1, time: 1, payload }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncompatibleSchema);
    }
}
