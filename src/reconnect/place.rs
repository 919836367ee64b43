//! Where in a stream its client is, and what of an inner body that goes on from there is new to it.

use http::HeaderValue;

use super::SseReconnectLayer;
use super::error::ReconnectErrorKind;
use super::window::{IdPrint, Window};
use crate::content::content_hash;
use crate::resume::keys::Keys;
use crate::resume::seam::{Seam, Verdict};
use crate::sse::{BlockKind, Fields, Frame, lines};

/// The hash of an event that was too large to be hashed: nothing is taken for its resend.
const UNHASHED: u64 = 0;

/// See the [module](self).
pub(super) struct Place {
    keys: Keys,
    /// The inner service's last event ID in force; empty: none.
    id: Vec<u8>,
    /// The client's, from a reconnect until the two are sure to be the same.
    clients_id: Option<Vec<u8>>,
    /// Whether the inner body gave an ID, perhaps an empty one, since its last event.
    has_own_id: bool,
    /// The last reconnection time, in milliseconds.
    retry: Option<u64>,
    has_news: bool,
    window: Window,
    /// Only while there is a client's ID.
    seam: Option<Seam>,
}

/// How a frame is passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    AsItIs,
    /// After an `id` line: frames that were left out have changed the ID in force.
    WithId(Vec<u8>),
    /// Without its `id` lines: they may take the client back.
    WithoutIds,
    /// Not: it is an event that the client had before.
    No,
}

impl Place {
    /// At the beginning of the answer to a request that sent `id` as its last event ID.
    pub(super) fn new(layer: &SseReconnectLayer, id: Vec<u8>) -> Self {
        Self {
            keys: layer.keys.clone(),
            id,
            clients_id: None,
            has_own_id: false,
            retry: None,
            has_news: false,
            window: Window::of(layer.config.window),
            seam: None,
        }
    }

    /// The last event ID that the client has, if it is one to go on from.
    pub(super) fn position(&self) -> Option<HeaderValue> {
        let id = self.clients_id.as_ref().unwrap_or(&self.id);
        HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty())
    }

    /// The last reconnection time that the inner service set, in milliseconds.
    pub(super) fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Whether an event was passed since this was last asked.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// A new inner body goes on from the [`position`](Self::position).
    pub(super) fn go_on(&mut self) {
        if let Some(id) = self.clients_id.take() {
            self.id = id;
        }
        self.clients_id = Some(self.id.clone());
        self.has_own_id = false;
        let seam = self.window.seam(self.print());
        self.seam = (!seam.is_over()).then_some(seam);
    }

    /// Whether every frame passes as it is: the last seam is behind, and the client has the ID in force.
    pub(super) fn is_settled(&self) -> bool {
        self.clients_id.is_none()
    }

    /// Takes note of a frame that passes as it is.
    pub(super) fn pass(&mut self, frame: &Frame, block: &[u8]) {
        self.read(frame, block);
        if frame.kind() == BlockKind::Event {
            self.record(content_hash(block, &self.keys));
        }
    }

    /// Decides how a frame passes.
    pub(super) fn judge(
        &mut self,
        frame: &Frame,
        block: &[u8],
    ) -> Result<Passage, ReconnectErrorKind> {
        let gives_id = self.read(frame, block);
        if frame.kind() != BlockKind::Event {
            return Ok(self.judge_silent(frame, gives_id));
        }
        let hash = content_hash(block, &self.keys);
        match self.observe(hash) {
            Verdict::Skip => return Ok(Passage::No),
            Verdict::SendAfterGap(_) => return Err(ReconnectErrorKind::Diverged),
            Verdict::Send => {}
        }
        self.record(hash);
        let clients_id = self.clients_id.take();
        let knows_id = gives_id || clients_id.is_none_or(|id| id == self.id);
        Ok(if knows_id { Passage::AsItIs } else { Passage::WithId(self.id.clone()) })
    }

    /// Whether a frame that is too large to be judged may pass as it is.
    pub(super) fn admit_oversize(&mut self) -> Result<(), ReconnectErrorKind> {
        let knows_id = self.clients_id.as_ref().is_none_or(|id| *id == self.id);
        if self.seam.is_some() || !knows_id {
            return Err(ReconnectErrorKind::Oversize);
        }
        self.clients_id = None;
        Ok(())
    }

    /// Takes note of such a frame, which gave this ID.
    pub(super) fn pass_oversize(&mut self, frame: &Frame, id: Option<&[u8]>) {
        if let Some(id) = id {
            self.set_id(id);
        }
        if frame.kind() == BlockKind::Event {
            self.record(UNHASHED);
        }
    }

    /// A block that dispatches nothing: it may be sent twice, but its ID would be one of the past.
    fn judge_silent(&mut self, frame: &Frame, gives_id: bool) -> Passage {
        match self.seam {
            Some(_) if frame.fields.contains(Fields::ID) => return Passage::WithoutIds,
            None if gives_id => self.clients_id = None,
            _ => {}
        }
        Passage::AsItIs
    }

    fn observe(&mut self, hash: u64) -> Verdict {
        let own_id = std::mem::take(&mut self.has_own_id).then(|| self.print());
        let Some(seam) = &mut self.seam else { return Verdict::Send };
        let verdict = seam.observe(own_id.as_ref().map(AsRef::as_ref), hash);
        if seam.is_over() {
            self.seam = None;
        }
        verdict
    }

    /// Takes the ID and the reconnection time of a frame. Returns whether it gives an ID.
    fn read(&mut self, frame: &Frame, block: &[u8]) -> bool {
        if frame.fields.contains(Fields::RETRY) {
            self.retry = lines(block).last_retry().or(self.retry);
        }
        let id = if frame.fields.contains(Fields::ID) { lines(block).last_id() } else { None };
        if let Some(id) = id {
            self.set_id(id);
        }
        id.is_some()
    }

    fn set_id(&mut self, id: &[u8]) {
        self.id.clear();
        self.id.extend_from_slice(id);
        self.has_own_id = true;
    }

    fn record(&mut self, hash: u64) {
        self.window.push(self.print(), hash);
        self.has_news = true;
    }

    fn print(&self) -> IdPrint {
        IdPrint::of(&self.id, &self.keys)
    }
}
