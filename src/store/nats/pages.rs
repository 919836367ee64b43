//! Pages of events, out of a stream's steps.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use ::bytes::{Bytes, BytesMut};

use super::bytes::malformed;
use super::step::{Data, Shape, Step};
use super::streams::Streams;
use crate::resume::GapReason;
use crate::store::codes;
use crate::store::{Error, Key, Page, Piece};

/// How many pieces a page has at most.
const MOST_PIECES: usize = 4096;

/// A piece of a step, and which of the step's bytes it has.
struct Found {
    first: u64,
    shape: Shape,
    range: Range<u64>,
    step: usize,
}

impl Streams {
    pub(super) async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        let mut seen = 0;
        loop {
            let last = self.last(stream).await?;
            let is_unchanged = seen == last.sequence;
            seen = last.sequence;
            if let Some(page) = self.page(stream, last, after, bytes, is_unchanged).await? {
                return Ok(page);
            }
            if is_unchanged {
                return Err(malformed());
            }
            // It was trimmed or removed meanwhile, as the next look has to say.
        }
    }

    /// A page as of the step `last`; none, if something of it was not there.
    async fn page(
        &self,
        stream: &Key,
        last: Step,
        after: u64,
        bytes: usize,
        skip_gone: bool,
    ) -> Result<Option<Page>, Error> {
        let mut extent = self.extent_of(&last).await?;
        let target = last.first.max(after.saturating_add(1));
        if target >= last.next {
            return Ok(Some(Page { extent, pieces: Vec::new() }));
        }
        let Some(found) = self.step_with(stream, &last, target).await? else { return Ok(None) };
        let Some((steps, found)) = self.walk(stream, &last, found, target, bytes).await? else {
            return Ok(None);
        };
        let mut chunks = HashMap::new();
        let mut pieces = Vec::new();
        for piece in found {
            match self.piece(&steps[piece.step], &piece, &mut chunks).await? {
                Some(read) => pieces.push(read),
                None if skip_gone => {
                    // Its age has come: it is gone, with all before it.
                    pieces.clear();
                    extent.first = piece.first + piece.shape.count;
                }
                None => return Ok(None),
            }
        }
        Ok(Some(Page { extent, pieces }))
    }

    /// The step that has the event with this offset.
    async fn step_with(
        &self,
        stream: &Key,
        last: &Step,
        target: u64,
    ) -> Result<Option<Step>, Error> {
        if last.begins() <= target {
            return Ok(Some(last.clone()));
        }
        let subject = self.subjects.steps(stream);
        let after = last.marks.partition_point(|mark| mark.offset <= target);
        let mut low = after.checked_sub(1).map_or(0, |before| last.marks[before].sequence);
        // From here on they begin later.
        let mut high = last.marks.get(after).map_or(last.sequence, |mark| mark.sequence);
        let mut probe = low;
        while low < high {
            let step = self.log.next(&subject, probe).await?.map(Step::decode).transpose()?;
            match step {
                Some(step) if step.begins() <= target && target < step.next => {
                    return Ok(Some(step));
                }
                Some(step) if step.sequence < high && step.next <= target => {
                    low = step.sequence + 1;
                }
                _ => high = probe,
            }
            probe = low + (high.max(low) - low) / 2;
        }
        Ok(None)
    }

    /// The pieces from an offset on, as many as fit, and the steps that have them.
    async fn walk(
        &self,
        stream: &Key,
        last: &Step,
        from: Step,
        target: u64,
        bytes: usize,
    ) -> Result<Option<(Vec<Step>, Vec<Found>)>, Error> {
        let subject = self.subjects.steps(stream);
        let (mut steps, mut found) = (Vec::new(), Vec::new());
        let mut ahead = VecDeque::new();
        let mut room = bytes as u64;
        let mut step = from;
        loop {
            let (sequence, next) = (step.sequence, step.next);
            let is_full = !take(&step, target, steps.len(), &mut room, &mut found);
            steps.push(step);
            if is_full || next >= last.next || found.len() >= MOST_PIECES {
                return Ok(Some((steps, found)));
            }
            if ahead.is_empty() {
                // Steps have other things than events in them.
                let bytes = room.clamp(64 << 10, 1 << 20);
                ahead = self.log.following(&subject, sequence + 1, bytes).await?.into();
            }
            step = match ahead.pop_front() {
                Some(message) => Step::decode(message)?,
                None => return Ok(None),
            };
            if step.begins() != next || step.sequence > last.sequence {
                return Ok(None);
            }
        }
    }

    /// A piece with its bytes; none, if they are not there.
    async fn piece(
        &self,
        step: &Step,
        found: &Found,
        chunks: &mut HashMap<u64, Bytes>,
    ) -> Result<Option<Piece>, Error> {
        let hole = found.shape.content.err().map(GapReason::as_str);
        let bytes = match hole {
            Some(_) => Some(Bytes::new()),
            None => self.bytes(step, &found.range, chunks).await?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let content = codes::content(hole, bytes)?;
        Ok(Some(Piece { first: found.first, count: found.shape.count, content }))
    }

    async fn bytes(
        &self,
        step: &Step,
        range: &Range<u64>,
        chunks: &mut HashMap<u64, Bytes>,
    ) -> Result<Option<Bytes>, Error> {
        let (size, sequences) = match &step.data {
            Data::Inline(bytes) => return slice(bytes, range.clone()).map(Some),
            Data::Chunks { size, sequences } => (*size, sequences),
        };
        let mut all = BytesMut::new();
        let mut at = range.start;
        while at < range.end {
            let n = at / size;
            let sequence = *sequences.get(n as usize).ok_or_else(malformed)?;
            let chunk = match chunks.get(&sequence) {
                Some(chunk) => chunk.clone(),
                None => match self.log.at(sequence).await? {
                    Some(chunk) => chunk.payload,
                    None => return Ok(None),
                },
            };
            let end = range.end.min((n + 1) * size);
            let part = slice(&chunk, at - n * size..end - n * size)?;
            chunks.insert(sequence, chunk);
            if (at, end) == (range.start, range.end) {
                return Ok(Some(part));
            }
            all.extend_from_slice(&part);
            at = end;
        }
        Ok(Some(all.freeze()))
    }
}

/// Adds a step's pieces from an offset on, as long as there is room; says whether there still is.
fn take(step: &Step, target: u64, number: usize, room: &mut u64, found: &mut Vec<Found>) -> bool {
    let (mut first, mut begins) = (step.begins(), 0);
    for shape in &step.shapes {
        let range = begins..begins + shape.bytes();
        if first + shape.count > target {
            let rest = room.checked_sub(shape.bytes());
            if rest.is_none() && !found.is_empty() {
                return false;
            }
            *room = rest.unwrap_or(0);
            found.push(Found { first, shape: *shape, range: range.clone(), step: number });
        }
        (first, begins) = (first + shape.count, range.end);
    }
    true
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Result<Bytes, Error> {
    let range = range.start as usize..range.end as usize;
    if range.end > bytes.len() {
        return Err(malformed());
    }
    Ok(bytes.slice(range))
}
