//! Holds what one client got over one connection against what must hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Connection, Held};
use super::inner::lock;
use super::truth::{At, Stream, tag};
use support::reference::{self, Effect, Event};

pub(crate) type Streams = HashMap<String, Stream>;

/// What the layer was configured with, as far as it bounds what may be missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) read_on: bool,
    /// Whether frames may be over the limit.
    pub(crate) oversize: bool,
    /// Whether the inner service's reconnection times all stand in blocks of their own.
    pub(crate) retry_alone: bool,
}

/// A gap signal.
#[derive(Debug)]
struct Signal {
    requested: Option<u64>,
    resumed: u64,
    missed: Option<u64>,
    reason: String,
}

impl Signal {
    fn read(data: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(data).unwrap();
        Self {
            requested: json["requested"].as_u64(),
            resumed: json["resumed"].as_u64().unwrap(),
            missed: json["missed"].as_u64(),
            reason: json["reason"].as_str().unwrap().to_owned(),
        }
    }
}

/// The highest offset whose event is whole in `received`.
pub(crate) fn last_offset(received: &[u8]) -> u64 {
    let id = reference::last_event_id(received);
    id.map_or(0, |id| At::parse(std::str::from_utf8(&id).unwrap()).offset)
}

/// One client on one connection.
pub(crate) struct Check<'a> {
    pub(crate) streams: &'a mut Streams,
    pub(crate) bounds: Bounds,
    pub(crate) held: Held,
    pub(crate) post: bool,
    unknown: Option<u64>,
    at: At,
    /// Whether it was told that the rest is lost: nothing may follow.
    lost: bool,
}

impl<'a> Check<'a> {
    /// Checks what a client has of `connection` after it lost all but `kept` bytes; returns what it holds then.
    pub(crate) fn run(
        streams: &'a mut Streams,
        bounds: Bounds,
        post: bool,
        held: &Held,
        connection: &Connection,
        kept: usize,
    ) -> Held {
        let received = &connection.received[..kept];
        let start = connection.start.clone();
        let mut held_now = held.clone();
        if held.at.as_ref().is_none_or(|at| at.token != start.token) {
            held_now.newest = None;
            held_now.told_missing = 0;
            held_now.told_lost = false;
        }
        let unknown = connection.unknown;
        let mut check =
            Self { streams, bounds, held: held_now, post, unknown, at: start, lost: false };
        for effect in reference::effects(received) {
            match effect {
                Effect::Retry(retry) => check.held.retry = retry,
                Effect::Dispatch(event) if event.name == b"resume-gap" => check.gap(&event),
                Effect::Dispatch(event) => check.event(&event),
            }
        }
        let last = reference::last_event_id(received);
        if let Some(id) = &last {
            check.last_event_id(std::str::from_utf8(id).unwrap());
        }
        if kept == connection.received.len() && connection.end == Some(Ok(())) {
            check.clean_end();
        }
        if last.is_some() {
            return check.held;
        }
        // It got no event, and comes back as it was.
        Held { retry: check.held.retry, ..held.clone() }
    }

    fn stream(&mut self) -> &mut Stream {
        self.streams.get_mut(&self.at.token).unwrap()
    }

    fn position(&self, id: &[u8]) -> At {
        let at = At::parse(std::str::from_utf8(id).unwrap());
        assert_eq!(at.token, self.at.token, "an event of another stream");
        at
    }

    fn event(&mut self, event: &Event) {
        let at = self.position(&event.last_event_id);
        assert!(self.unknown.is_none(), "not told that the stream is unknown");
        assert!(!self.lost, "an event after all the rest was lost");
        assert_eq!(at.offset, self.at.offset + 1, "events are not one after the other");
        assert!(at.generation >= self.at.generation, "back to an earlier generation");
        let holes = self.bounds.oversize;
        for generation in self.at.generation + 1..=at.generation {
            let untold = self.stream().must_be_told(generation, holes);
            assert!(!untold, "not told that generation {generation} does not go on exactly");
        }
        let (spoken, index) = self.stream().check(&at, &event.name, &event.data);
        let said = &spoken[index];
        let (found, given) = (at.inner.escape_ascii(), said.inner_id.escape_ascii());
        assert_eq!(at.inner, said.inner_id, "carries the inner ID {found}, not {given}");
        if self.bounds.retry_alone {
            assert!(said.retry <= Some(self.held.retry), "a reconnection time was left out");
        }
        self.follows(&at, event);
        self.at = at;
    }

    /// The event is the inner service's next one, but for those that were told to be missing.
    fn follows(&mut self, at: &At, event: &Event) {
        let (universe, number) = tag(&event.data);
        let missing = self.held.told_missing as usize;
        let first = lock(self.stream().call(at.generation)).first;
        let before = match self.held.newest {
            Some((same, number)) if same == universe => Some(number),
            None if at.generation == 1 => Some(first - 1),
            // A generation of its own begins with its first event.
            _ => (missing == 0).then(|| first - 1),
        };
        if let Some(before) = before {
            // A frame that was cut off when it was over the limit is told as missing, and resent under the next offset.
            let least = if self.bounds.oversize { before + 1 } else { before + 1 + missing };
            let range = least..=before + 1 + missing;
            assert!(range.contains(&number), "event {number} of {universe} is not in {range:?}");
        }
        self.held.newest = Some((universe, number));
        self.held.told_missing = 0;
        self.held.told_lost = false;
    }

    fn gap(&mut self, event: &Event) {
        let signal = Signal::read(&event.data);
        let at = self.position(&event.last_event_id);
        assert_eq!(at.offset, signal.resumed, "{signal:?}");
        assert!(!self.lost, "a signal after all the rest was lost");
        match &*signal.reason {
            "unknown" => {
                assert_eq!(self.unknown.take(), Some(signal.requested.unwrap()), "{signal:?}");
                assert_eq!((signal.resumed, signal.missed, &at), (0, None, &self.at));
            }
            "producer-lost" | "diverged" => self.generation_gap(&signal, &at),
            "evicted" | "expired" | "too-slow" | "oversize" => self.events_gap(&signal, &at),
            other => panic!("no reason for this: {other}"),
        }
        self.at = at;
    }

    fn generation_gap(&mut self, signal: &Signal, at: &At) {
        let offset = self.at.offset;
        assert_eq!((signal.requested, signal.resumed, signal.missed), (Some(offset), offset, None));
        assert!(at.generation > self.at.generation, "told twice: {signal:?}");
        self.held.told_lost = true;
        let (post, newest) = (self.post, self.stream().generation());
        let call = (at.generation <= newest).then(|| Arc::clone(self.stream().call(at.generation)));
        let (restarted, sent) = call.map_or((false, None), |call| {
            let call = lock(&call);
            (call.restarted, Some(call.last_event_id.clone()))
        });
        let without_id = sent.as_ref().is_some_and(Vec::is_empty);
        // The rest is lost for it; others may have taken the stream over since.
        if signal.reason == "producer-lost" && !without_id {
            assert!(self.stream().ends_with_loss(post), "{signal:?}");
            self.lost = true;
            return;
        }
        assert!(sent.is_some(), "{signal:?}");
        assert_eq!(without_id, signal.reason == "producer-lost", "{signal:?}");
        if restarted || without_id {
            self.stream().shift(at.generation, offset as i64);
        }
    }

    fn events_gap(&mut self, signal: &Signal, at: &At) {
        let offset = self.at.offset;
        assert_eq!(signal.requested, Some(offset), "{signal:?}");
        assert!(signal.resumed > offset, "nothing is missing: {signal:?}");
        assert_eq!(signal.missed, Some(signal.resumed - offset), "{signal:?}");
        assert!((self.at.generation..=self.stream().generation()).contains(&at.generation));
        if signal.reason == "oversize" {
            assert!(self.bounds.oversize, "{signal:?}");
        } else {
            self.is_justified(signal);
        }
        self.held.told_missing += signal.resumed - offset;
    }

    /// What is within the retention is not missing.
    fn is_justified(&mut self, signal: &Signal) {
        let Bounds { events, bytes, age, read_on, oversize, .. } = self.bounds;
        let stream = self.stream();
        let last = stream.last_offset_at_most(oversize);
        // An ID line has up to 133 bytes, and each frame may come to have a comment of two more.
        let most_bytes = stream.bytes_said() + 140 * last as usize;
        let aged = stream.born().elapsed() >= age;
        let over = last >= signal.resumed + events || most_bytes > bytes;
        assert!(
            aged || over || stream.purged,
            "missing although it is within the retention: {signal:?}"
        );
        let held_back = !read_on && !stream.purged && signal.reason != "expired";
        let sent = stream.sent + u64::from(oversize);
        assert!(!held_back || signal.resumed <= sent, "evicted before anybody had it: {signal:?}");
    }

    fn last_event_id(&mut self, id: &str) {
        let at = self.position(id.as_bytes());
        let same = (at.generation, at.offset) == (self.at.generation, self.at.offset);
        let generations = self.stream().generation();
        let is_end = (at.generation, at.offset) == (generations + 1, self.at.offset);
        assert!(same || is_end && self.stream().finished(), "an ID of no event: {id}");
        self.held.at = Some(at);
        self.held.last_event_id = Some(id.to_owned());
    }

    fn clean_end(&mut self) {
        assert!(self.stream().finished(), "a clean end of a stream that has not ended cleanly");
        self.has_all();
    }

    /// Nothing of what the inner service said is still to come.
    pub(crate) fn has_all(&mut self) {
        let (newest, missing) = (self.held.newest, self.held.told_missing as usize);
        let (offset, seen) = (self.at.offset, self.stream().last_seen());
        assert!(offset >= seen, "ends at {offset}, though another client saw {seen}");
        let Some((universe, number)) = self.stream().newest() else { return };
        let has = match newest {
            Some((same, held)) if same == universe => number <= held + missing,
            _ => missing > 0,
        };
        let has = has || self.held.told_lost;
        assert!(has, "ends at {newest:?} with {missing} told missing, not {number} of {universe}");
    }

    /// The same for a client that waits.
    pub(crate) fn waiting(streams: &'a mut Streams, bounds: Bounds, held: Held, at: At) {
        Self { streams, bounds, held, post: false, unknown: None, at, lost: false }.has_all();
    }
}
