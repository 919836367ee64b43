//! An inner body's bytes in, whole frames out. Pure: no I/O, no clock.

use std::collections::VecDeque;
use std::mem::take;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

use super::SseReconnectLayer;
use super::error::ReconnectErrorKind;
use super::place::{Passage, Place};
use crate::sse::{
    BYTE_ORDER_MARK, Fields, Frame, IdFilter, LineEnding, Piece, Scanner, cut_id_lines, lines,
};

/// See the [module](self).
pub(super) struct Relay {
    scanner: Scanner,
    /// What the inner body said and is not scanned yet.
    rest: Bytes,
    /// What was not sent of the unfinished frame: from its lead on, or from a later line.
    open: BytesMut,
    /// Whether the first lines of the unfinished frame were sent.
    is_begun: bool,
    oversize: Option<Oversize>,
    frame_limit: usize,
    /// Goes out next.
    due: VecDeque<Bytes>,
    /// Whether the client was sent anything.
    has_sent: bool,
    place: Place,
}

/// A frame that is too large to hold: it passes as it comes.
#[derive(Default)]
struct Oversize {
    ids: IdFilter,
    /// Its `id` lines, as far as they could be told to the inner service.
    id_lines: Vec<u8>,
}

impl Relay {
    /// For the answer to a request that sent `id` as its last event ID.
    pub(super) fn new(layer: &SseReconnectLayer, id: Vec<u8>) -> Self {
        Self {
            scanner: Scanner::new(),
            rest: Bytes::new(),
            open: BytesMut::new(),
            is_begun: false,
            oversize: None,
            frame_limit: layer.config.frame_limit,
            due: VecDeque::new(),
            has_sent: false,
            place: Place::new(layer, id),
        }
    }

    /// Takes in what the inner body said, once there is nothing [`next`](Self::next).
    pub(super) fn push(&mut self, data: Bytes) {
        self.rest = data;
    }

    /// What the client is sent next; `None` if the inner body is to say more first.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ReconnectErrorKind> {
        while self.due.is_empty() && !self.rest.is_empty() {
            if let Err(kind) = self.scan() {
                self.rest.clear();
                return Err(kind);
            }
        }
        Ok(self.due.pop_front())
    }

    /// The last event ID that the client has, if it is possible to go on from there.
    pub(super) fn position(&self) -> Option<HeaderValue> {
        if self.oversize.is_some() { None } else { self.place.position() }
    }

    /// The last reconnection time that the inner service set, in milliseconds.
    pub(super) fn retry(&self) -> Option<u64> {
        self.place.retry()
    }

    /// Whether an event was passed since this was last asked.
    pub(super) fn take_news(&mut self) -> bool {
        self.place.take_news()
    }

    /// The inner body broke: what it left unfinished is dropped. A new one goes on from the
    /// [`position`](Self::position).
    pub(super) fn go_on(&mut self) {
        self.scanner = Scanner::new();
        self.open = BytesMut::new();
        self.is_begun = false;
        self.place.go_on();
    }

    /// The inner body ended: what it left unfinished is passed on, for some clients dispatch it.
    pub(super) fn finish(&mut self) {
        if self.place.is_settled() {
            let open = self.take_open(self.scanner.lead());
            self.send(open);
        }
    }

    /// Walks the frames of `rest`. A run of those that pass as they are is one piece, without a copy.
    fn scan(&mut self) -> Result<(), ReconnectErrorKind> {
        let mut rest = take(&mut self.rest);
        let mut run = 0;
        while let Some(frame) = self.scanner.scan(&rest[run..]) {
            let end = run + frame.end;
            let raw = &rest[run..end];
            let is_whole = frame.len == frame.end && frame.lead == 0 && !lacks_lf(&frame, raw);
            if is_whole && self.place.is_settled() {
                self.place.pass(&frame, raw);
                run = end;
                continue;
            }
            self.send(rest.split_to(run));
            let part = rest.split_to(frame.end);
            self.rest = rest;
            return self.end_frame(&frame, &part);
        }
        self.send(rest.split_to(run));
        self.grow(rest)
    }

    /// The last part of a frame has come.
    fn end_frame(&mut self, frame: &Frame, part: &[u8]) -> Result<(), ReconnectErrorKind> {
        let lacks_lf = lacks_lf(frame, part);
        self.open.extend_from_slice(part);
        if lacks_lf {
            self.open.extend_from_slice(b"\n");
        }
        if let Some(oversize) = self.oversize.take() {
            self.end_oversize(oversize, frame, part);
            return Ok(());
        }
        let block = self.take_open(frame.lead);
        let passage = if self.place.is_settled() {
            self.place.pass(frame, &block);
            Passage::AsItIs
        } else {
            self.place.judge(frame, &block)?
        };
        match passage {
            Passage::AsItIs => self.send(block),
            Passage::WithId(id) => self.send(with_id(&id, frame, &block)),
            Passage::WithoutIds => self.send(without_ids(&block)),
            Passage::No => {}
        }
        Ok(())
    }

    /// More of the unfinished frame has come.
    fn grow(&mut self, part: Bytes) -> Result<(), ReconnectErrorKind> {
        if let Some(oversize) = &mut self.oversize {
            oversize.push(&part, self.frame_limit);
            self.send(part);
            return Ok(());
        }
        self.open.extend_from_slice(&part);
        // Comments keep a connection alive, so they are not held back. They cannot be resent to harm, either.
        let only_comments = self.scanner.fields() == Fields::OTHER && self.open.ends_with(b"\n");
        let is_oversize = self.open.len() > self.frame_limit;
        if !only_comments && !is_oversize {
            return Ok(());
        }
        let open = self.take_open(self.scanner.lead());
        if !only_comments {
            self.place.admit_oversize()?;
            let mut oversize = Oversize::default();
            oversize.push(&open, self.frame_limit);
            self.oversize = Some(oversize);
        }
        self.send(open);
        self.is_begun = true;
        Ok(())
    }

    fn end_oversize(&mut self, mut oversize: Oversize, frame: &Frame, part: &[u8]) {
        let blank = part.len() - (frame.len - frame.blank);
        oversize.push(&part[..blank], self.frame_limit);
        self.place.pass_oversize(frame, oversize.id(self.frame_limit));
        let open = self.take_open(0);
        self.send(open);
    }

    /// What is held back of a frame with this lead, without it.
    fn take_open(&mut self, lead: usize) -> Bytes {
        let mut open = take(&mut self.open).freeze();
        if !take(&mut self.is_begun) {
            let lead = open.split_to(lead.min(open.len()));
            // It stays where it was: clients look for one at the very start, and only there.
            if lead == BYTE_ORDER_MARK[..] && !self.has_sent {
                self.send(lead);
            }
        }
        open
    }

    fn send(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.has_sent = true;
            self.due.push_back(bytes);
        }
    }
}

impl Oversize {
    fn push(&mut self, raw: &[u8], limit: usize) {
        let id_lines = &mut self.id_lines;
        self.ids.push(raw, |piece| {
            if let Piece::Id(bytes) = piece {
                let room = (limit + 1).saturating_sub(id_lines.len());
                id_lines.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        });
    }

    /// The ID that the frame gives. One that is too long counts as empty: nobody can go on from there.
    fn id(&self, limit: usize) -> Option<&[u8]> {
        if self.id_lines.len() > limit { Some(b"") } else { lines(&self.id_lines).last_id() }
    }
}

/// Whether the frame's blank line is a lone CR which may be the first half of a CRLF.
///
/// The scanner leaves the LF out that may follow. Where lines end in CRLF it is sent at once: some clients split the
/// stream at CRLF CRLF.
fn lacks_lf(frame: &Frame, raw: &[u8]) -> bool {
    let is_one = frame.len - frame.blank == 1 && raw.ends_with(b"\r");
    is_one && frame.ending == Some(LineEnding::CrLf)
}

/// The block after an `id` line.
fn with_id(id: &[u8], frame: &Frame, block: &[u8]) -> Bytes {
    let ending = frame.ending.unwrap_or(LineEnding::Lf).as_bytes();
    [b"id: ", id, ending, block].concat().into()
}

/// The block without its `id` lines; nothing if it has no others.
fn without_ids(block: &[u8]) -> Bytes {
    let mut kept = block.to_vec();
    let len = cut_id_lines(&mut kept);
    kept.truncate(len);
    if lines(&kept).next().is_none() { Bytes::new() } else { kept.into() }
}
