//! Pages of events.

use std::ops::Range as Span;

use ::bytes::{Bytes, BytesMut};

use super::error::malformed;
use super::head::Head;
use super::steps::{Chunks, Held, HeldContent, Step, chunks_with, steps_from};
use super::streams::Streams;
use crate::store::{Content, Error, Key, Page, Piece};

/// How many pieces a page has at most.
const MOST_PIECES: usize = 4096;
/// How many steps are asked for at first. More are, if they are small.
const FIRST_STEPS: usize = 8;

/// A piece, and where its bytes may be.
struct Found {
    held: Held,
    chunks: Option<Chunks>,
}

impl Streams {
    pub(super) async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        let mut seen = None;
        loop {
            let head = self.last(stream).await?;
            let look = Some((head.life.clone(), head.first));
            let is_trimmed_by_itself = look == seen;
            if let Some(page) = self.page(stream, &head, after, bytes, is_trimmed_by_itself).await?
            {
                return Ok(page);
            }
            if is_trimmed_by_itself {
                return Err(malformed());
            }
            // Something was removed meanwhile, as the next look has to say: or else DynamoDB did, after its time.
            seen = look;
        }
    }

    /// A page as of this head; none, if something of it was not there.
    async fn page(
        &self,
        stream: &Key,
        head: &Head,
        after: u64,
        bytes: usize,
        skip_gone: bool,
    ) -> Result<Option<Page>, Error> {
        let mut extent = self.extent_of(head).await?;
        let target = head.first.max(after.saturating_add(1));
        if target >= head.next {
            return Ok(Some(Page { extent, pieces: Vec::new() }));
        }
        let Some(found) = self.find_pieces(stream, head, target, bytes, skip_gone).await? else {
            return Ok(None);
        };
        let mut pieces = Vec::new();
        let mut chunk = None;
        for Found { held, chunks } in found {
            let Held { first, count, content } = held;
            let content = match content {
                HeldContent::Here(content) => Some(content),
                HeldContent::Elsewhere(span) => {
                    let chunks = chunks.ok_or_else(malformed)?;
                    let bytes = self.bytes(stream, head, &chunks, &span, &mut chunk).await?;
                    bytes.map(Content::Events)
                }
            };
            match content {
                Some(content) => pieces.push(Piece { first, count, content }),
                // It is gone, with all before it.
                None if skip_gone => pieces.clear(),
                None => return Ok(None),
            }
        }
        match pieces.first() {
            Some(first) if first.first > target => extent.first = first.first,
            Some(_) => {}
            None => extent.first = extent.next,
        }
        Ok(Some(Page { extent, pieces }))
    }

    /// The pieces from an offset on, as many as there is room for.
    async fn find_pieces(
        &self,
        stream: &Key,
        head: &Head,
        target: u64,
        bytes: usize,
        skip_gone: bool,
    ) -> Result<Option<Vec<Found>>, Error> {
        let range = steps_from(&self.partition(stream), &head.life, target, head.next);
        let (mut room, mut limit, mut after) = (bytes as u64, FIRST_STEPS, None);
        let (mut found, mut next) = (Vec::new(), target);
        loop {
            let part = self.server.some(&range, Some(limit), after).await?;
            for item in part.items {
                let step = Step::decode(item)?;
                if step.first > next && !(skip_gone && found.is_empty()) {
                    return Ok(None);
                }
                next = step.next;
                for held in step.pieces.into_iter().filter(|held| held.next() > target) {
                    let rest = room.checked_sub(held.bytes());
                    if (rest.is_none() || found.len() >= MOST_PIECES) && !found.is_empty() {
                        return Ok(Some(found));
                    }
                    room = rest.unwrap_or(0);
                    found.push(Found { held, chunks: step.chunks.clone() });
                }
            }
            after = part.rest;
            if after.is_none() {
                let is_whole = next == head.next || skip_gone && found.is_empty();
                return Ok(Some(found).filter(|_| is_whole));
            }
            limit *= 4;
        }
    }

    /// Bytes that lie in chunks; none, if they are not there. What was got last is kept for the next piece.
    async fn bytes(
        &self,
        stream: &Key,
        head: &Head,
        chunks: &Chunks,
        span: &Span<u64>,
        last: &mut Option<(Chunks, Span<u64>, Bytes)>,
    ) -> Result<Option<Bytes>, Error> {
        let is_in = |(of, has, _): &&(Chunks, Span<u64>, Bytes)| {
            of == chunks && has.start <= span.start && span.end <= has.end
        };
        if !last.as_ref().is_some_and(|last| is_in(&last)) {
            let (range, begins) = chunks_with(&self.partition(stream), &head.life, chunks, span);
            let mut all = BytesMut::new();
            for mut item in self.server.all(&range).await? {
                all.extend_from_slice(&item.bytes("bytes")?);
            }
            let ends = begins + all.len() as u64;
            *last = Some((chunks.clone(), begins..ends, all.freeze()));
        }
        let got = last.as_ref().filter(is_in).map(|(_, has, bytes)| {
            bytes.slice((span.start - has.start) as usize..(span.end - has.start) as usize)
        });
        Ok(got)
    }
}
