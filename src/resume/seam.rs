//! Where two inner responses of one stream meet: which events of the new one were had before.
//!
//! An inner service that is called again may go on exactly, resend a few events or all of them, or
//! begin anew. A *resend* is an event whose inner ID and content are both known, after the previous
//! resend in order (the earliest such place). Known is the *window*: the events that history still
//! has, and the last few beyond. Skipping ends when the newest known event was resent, and at the
//! first event that is no resend; from then on nothing is dropped.
//!
//! What follows from this, for better or worse:
//! - An inner service that resends events older than the window begins with an unknown one, so all
//!   that it resends is sent twice. Without this rule an event between two known ones could be lost.
//! - An event without an ID of its own stands under the ID that was sent, until the response gives
//!   one. So a resend that begins with such an event is not recognised, and a greeting or a
//!   snapshot at the head of each response is sent each time.
//! - Two events with the same ID and the same content cannot be told apart. If the inner service
//!   goes on exactly, and its next events repeat known ones under the ID that was sent, they are
//!   taken for a resend.

use std::collections::HashMap;

use super::gap::GapReason;

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was had before.
    Skip,
    /// It is new.
    Send,
    /// It is new, and belongs to another sequence than the one before: tell so first.
    SendAfterGap(GapReason),
}

/// Judges the events of a new inner response, in order.
#[derive(Debug)]
pub(crate) struct Seam {
    /// `None` once skipping has ended.
    skipping: Option<Skipping>,
}

impl Seam {
    /// A seam after the events of `window` (oldest to newest: the last event ID in force at each,
    /// and the hash of its content), with a response to a request that sent `sent` as its
    /// `Last-Event-ID`.
    ///
    /// Where no ID was sent (`sent` is empty) or no event is known, nothing is skipped.
    pub(crate) fn new<I: AsRef<[u8]>>(
        window: impl IntoIterator<Item = (I, u64)>,
        sent: &[u8],
    ) -> Self {
        let window = Window::new(window);
        let any = window.len > 0 && !sent.is_empty();
        Self { skipping: any.then(|| Skipping::new(window, sent)) }
    }

    /// Judges the next event: `own_id` is the ID that the response gave since the event before (an
    /// empty one resets it), `None` if it gave none; `hash` is that of its content.
    pub(crate) fn observe(&mut self, own_id: Option<&[u8]>, hash: u64) -> Verdict {
        let Some(skipping) = &mut self.skipping else { return Verdict::Send };
        let verdict = skipping.judge(own_id, hash);
        if verdict != Verdict::Skip || skipping.is_at_newest() {
            self.skipping = None;
        }
        verdict
    }

    /// Whether this is the ID of an event that may still be resent.
    pub(crate) fn may_resend(&self, id: &[u8]) -> bool {
        self.skipping.as_ref().is_some_and(|skipping| skipping.window.id(id).is_some())
    }

    /// Whether skipping has ended: every further event is [`Verdict::Send`], and needs no hash.
    pub(crate) fn is_over(&self) -> bool {
        self.skipping.is_none()
    }
}

#[derive(Debug)]
struct Skipping {
    window: Window,
    /// The ID that was sent and the one in force, where an event of the window has it.
    sent: Option<IdNumber>,
    in_force: Option<IdNumber>,
    /// The place after the previous resend.
    next: u32,
}

impl Skipping {
    fn new(window: Window, sent: &[u8]) -> Self {
        let sent = window.id(sent);
        Self { window, sent, in_force: sent, next: 0 }
    }

    fn judge(&mut self, own_id: Option<&[u8]>, hash: u64) -> Verdict {
        if let Some(id) = own_id {
            self.in_force = self.window.id(id);
        }
        let Some(id) = self.in_force else { return Verdict::Send };
        if let Some(place) = self.window.find(id, hash, self.next) {
            self.next = place + 1;
            Verdict::Skip
        } else if self.window.find(id, hash, 0).is_some() || !self.names(id, own_id.is_some()) {
            Verdict::Send
        } else {
            Verdict::SendAfterGap(GapReason::Diverged)
        }
    }

    /// Whether `id` names an event, so that other content under it contradicts what is known.
    ///
    /// The empty ID names nothing. The ID that was sent is also that of new events without an ID of
    /// their own, and of new events up to the next checkpoint if the service means it as one: if
    /// more than one known event has it.
    fn names(&self, id: IdNumber, has_own_id: bool) -> bool {
        if Some(id) == self.sent {
            return has_own_id && self.window.count(id) == 1;
        }
        Some(id) != self.window.id(b"")
    }

    fn is_at_newest(&self) -> bool {
        self.next == self.window.len
    }
}

type IdNumber = u32;

/// The known events, by ID and content.
#[derive(Debug)]
struct Window {
    ids: HashMap<Box<[u8]>, IdNumber>,
    /// ID, content and place of each event, sorted.
    events: Vec<(IdNumber, u64, u32)>,
    len: u32,
}

impl Window {
    fn new<I: AsRef<[u8]>>(known: impl IntoIterator<Item = (I, u64)>) -> Self {
        let mut window = Self { ids: HashMap::new(), events: Vec::new(), len: 0 };
        for (id, hash) in known {
            let id = window.number(id.as_ref());
            window.events.push((id, hash, window.len));
            window.len += 1;
        }
        window.events.sort_unstable();
        window
    }

    fn number(&mut self, id: &[u8]) -> IdNumber {
        self.id(id).unwrap_or_else(|| {
            let number = self.ids.len() as IdNumber;
            self.ids.insert(id.into(), number);
            number
        })
    }

    fn id(&self, id: &[u8]) -> Option<IdNumber> {
        self.ids.get(id).copied()
    }

    /// The first place from `from` on of an event with this ID and content.
    fn find(&self, id: IdNumber, hash: u64, from: u32) -> Option<u32> {
        let at = self.events.partition_point(|event| *event < (id, hash, from));
        let (found_id, found_hash, place) = *self.events.get(at)?;
        ((found_id, found_hash) == (id, hash)).then_some(place)
    }

    /// How many events have this ID.
    fn count(&self, id: IdNumber) -> usize {
        let start = self.events.partition_point(|event| event.0 < id);
        let end = self.events.partition_point(|event| event.0 <= id);
        end - start
    }
}

#[cfg(test)]
mod tests;
