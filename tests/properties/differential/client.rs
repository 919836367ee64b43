//! A client that is cut, comes back with its last event ID, and remembers what it has dispatched.

use http::HeaderValue;
use serde_json::Value;

use super::mode::{Erased, Mode};
use support::client::Client as Connection;
use support::reference::{self, Effect, Event};

/// Which event is next for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `None`: the client has no position.
    pub(crate) next: Option<usize>,
    /// Whether it was told that it is not known how many are missing.
    pub(crate) is_told: bool,
    /// Up to which event it has had all: after a service has begun anew, it need not get them again.
    pub(crate) had: usize,
}

impl Place {
    /// After this event.
    pub(crate) fn after(self, number: usize) -> Self {
        Self { next: Some(number + 1), is_told: false, had: self.had.max(number + 1) }
    }
}

/// Says the number of an event that a client dispatches at a place; panics if it is not to come there.
pub(crate) trait Expect {
    fn number(&self, event: &Event, place: Place) -> usize;
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) last_event_id: Vec<u8>,
    /// Where it is, by its last event ID.
    pub(crate) place: Place,
    pub(crate) connection: Option<Connection<Erased>>,
    pub(crate) is_done: bool,
}

impl Client {
    /// What it sends back: an ID that no header can hold is as good as none.
    pub(crate) fn resume_from(&mut self) -> Vec<u8> {
        if self.last_event_id.is_empty() || HeaderValue::from_bytes(&self.last_event_id).is_err() {
            self.last_event_id.clear();
            self.place = Place::default();
        }
        self.last_event_id.clone()
    }

    /// The token of its ID, if that is one of the layer's.
    pub(crate) fn token(&self) -> Option<String> {
        Some(position(std::str::from_utf8(&self.last_event_id).ok()?)?.0)
    }

    /// The connection ends, and of what it brought so many bytes are kept. Returns where it is now: where its ID says
    /// less, it gets some events again.
    pub(crate) fn close(&mut self, mode: Mode, kept: usize, expect: &dyn Expect) -> Place {
        let Some(connection) = self.connection.take() else { return self.place };
        let kept = &connection.received[..kept];
        let mut place = self.place;
        for effect in reference::effects(kept) {
            let Effect::Dispatch(event) = effect else { continue };
            if event.name == b"resume-gap" {
                gap(&mut place, &event.data);
            } else if !(mode.is_mcp() && is_empty(&event)) {
                let number = expect.number(&event, place);
                place = place.after(number);
            }
            self.note_id(&event.last_event_id, place);
        }
        self.note_id(&reference::last_event_id(kept).unwrap_or_default(), place);
        place
    }

    fn note_id(&mut self, id: &[u8], place: Place) {
        if !id.is_empty() && id != self.last_event_id {
            (self.last_event_id, self.place) = (id.to_vec(), place);
        }
    }

    /// Where it is with all that it has received, without a cut.
    pub(crate) fn place_now(&self, mode: Mode, expect: &dyn Expect) -> Place {
        let mut place = self.place;
        let received = self.connection.as_ref().map_or(&[][..], |it| &it.received[..]);
        for event in reference::events(received) {
            if event.name == b"resume-gap" {
                gap(&mut place, &event.data);
            } else if !(mode.is_mcp() && is_empty(&event)) {
                place = place.after(expect.number(&event, place));
            }
        }
        place
    }
}

/// Events of a protocol that takes them for nothing: the preset primes with them.
pub(crate) fn is_empty(event: &Event) -> bool {
    event.name == b"message" && event.data.iter().all(|byte| *byte == b'\n')
}

fn gap(place: &mut Place, data: &[u8]) {
    let gap: Value = serde_json::from_slice(data).expect("a gap signal is JSON");
    if let Some(missed) = gap["missed"].as_u64() {
        assert!(missed > 0, "nothing is missing: {gap}");
        // From where it is not known how many are missing, it is not either.
        place.next = place.next.filter(|_| !place.is_told).map(|next| next + missed as usize);
        place.had = place.had.max(place.next.unwrap_or_default());
    } else {
        let reason = gap["reason"].as_str();
        let known = matches!(reason, Some("unknown" | "producer-lost" | "not-stored" | "diverged"));
        assert!(known, "an unexpected gap: {gap}");
        place.is_told = true;
    }
}

/// The token and the offset of an ID of the layer.
pub(crate) fn position(id: &str) -> Option<(String, usize)> {
    let mut parts = id.strip_prefix("r1.")?.split('.');
    let token = parts.next()?.to_owned();
    let _generation = parts.next()?;
    Some((token, parts.next()?.parse().ok()?))
}
