//! What a client may get: each event once and in order, or a gap signal before what follows.

use std::collections::HashSet;

use super::upstream::{EVENTS, Kind, content};
use support::client::Event;

/// What a client may be told of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gaps {
    /// Of none, once it has had an event.
    None,
    /// For these reasons.
    Of(&'static [&'static str]),
}

/// What one client has got so far.
#[derive(Clone)]
pub(crate) struct Model {
    kind: Kind,
    stream: usize,
    allowed: Gaps,
    /// The last event.
    pub(crate) last: u64,
    /// Whether it was told of a gap since.
    is_told: bool,
    /// How often it was told.
    pub(crate) gaps: usize,
    /// IDs that were given to an event or a gap.
    ids: HashSet<String>,
}

impl Model {
    pub(crate) fn new(kind: Kind, stream: usize, allowed: Gaps) -> Self {
        Self { kind, stream, allowed, last: 0, is_told: false, gaps: 0, ids: HashSet::new() }
    }

    /// Takes what a client dispatches. An error says what is wrong with it.
    pub(crate) fn take(&mut self, event: &Event) -> Result<(), String> {
        if !self.ids.insert(event.id.clone()) {
            return Err(format!("this ID was there before: {event:?}"));
        }
        if event.event == "resume-gap" {
            return self.take_gap(&event.data);
        }
        let is_next = |number: &u64| content(self.kind, self.stream, *number) == event.data;
        let Some(number) = (self.last + 1..=EVENTS + 1).find(is_next) else {
            return Err(format!("after {} no event: {event:?}", self.last));
        };
        let may_miss = self.is_told && self.kind == Kind::Live;
        if number > self.last + 1 && !may_miss {
            return Err(format!("a silent hole after {}: {event:?}", self.last));
        }
        (self.last, self.is_told) = (number, false);
        Ok(())
    }

    /// It begins without a position, and gets what comes from now on.
    pub(crate) fn begin(&mut self) {
        self.is_told = true;
    }

    fn take_gap(&mut self, gap: &str) -> Result<(), String> {
        let is_for = |reason: &&str| gap.contains(&format!(r#""reason":"{reason}""#));
        let is_allowed = match self.allowed {
            // Before its first event no ID says that nothing is missing.
            Gaps::None => self.last == 0 && ["producer-lost", "unknown"].iter().any(is_for),
            Gaps::Of(reasons) => reasons.iter().any(is_for),
        };
        (self.gaps, self.is_told) = (self.gaps + 1, true);
        if is_allowed { Ok(()) } else { Err(format!("after {} a gap: {gap}", self.last)) }
    }
}
