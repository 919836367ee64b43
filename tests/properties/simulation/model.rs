//! What a client may see: the events of its own stream, each once, in order, or an explicit gap.

use std::sync::Arc;

use super::inner;
use super::world::World;
use support::client::Event;

/// Where a client is in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) token: String,
    pub(crate) generation: u32,
    pub(crate) offset: u64,
}

impl Position {
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let mut parts = id.splitn(5, '.');
        if parts.next() != Some("r1") {
            return None;
        }
        let token = parts.next()?.to_owned();
        let generation = parts.next()?.parse().ok()?;
        let offset = parts.next()?.parse().ok()?;
        Some(Self { token, generation, offset })
    }
}

/// A gap signal.
#[derive(Debug)]
struct Gap {
    requested: Option<u64>,
    resumed: u64,
    missed: Option<u64>,
    reason: String,
}

impl Gap {
    fn parse(data: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(data).ok()?;
        let number = |name: &str| value[name].as_u64();
        let reason = value["reason"].as_str()?.to_owned();
        let (requested, resumed) = (number("requested"), number("resumed")?);
        Some(Self { requested, resumed, missed: number("missed"), reason })
    }
}

/// What one client has seen, held against what has happened.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) world: Arc<World>,
    pub(crate) who: usize,
    pub(crate) topic: usize,
    /// Where it is, if its last response had IDs of ours.
    pub(crate) at: Option<Position>,
    /// The number of the inner service's last event that it had, where that is known.
    pub(crate) number: Option<u64>,
    /// Whether it has seen anything at all.
    pub(crate) began: bool,
    /// Why it must be told of a gap before the next event.
    owed: Option<String>,
    /// The response is without history.
    bare: Option<u64>,
    /// It was sent the clean end of all that it asked for.
    ended: bool,
    gaps: u64,
    /// Where it was when it got the last event ID.
    mark: Mark,
}

/// What a client comes back with.
#[derive(Clone, Default)]
struct Mark {
    at: Option<Position>,
    number: Option<u64>,
    ended: bool,
}

impl Model {
    pub(crate) fn new(world: &Arc<World>, who: usize, topic: usize) -> Self {
        Self {
            world: Arc::clone(world),
            who,
            topic,
            at: None,
            number: None,
            began: false,
            owed: None,
            bare: None,
            ended: false,
            gaps: 0,
            mark: Mark::default(),
        }
    }

    fn mark(&mut self) {
        self.mark = Mark { at: self.at.clone(), number: self.number, ended: self.ended };
    }

    fn has_ids(&self) -> bool {
        self.world.plan.topics[self.topic].has_ids
    }

    pub(crate) fn violated(&self, what: impl AsRef<str>) {
        let (who, at, number) = (self.who, &self.at, self.number);
        self.world
            .violated(format!("client {who} at {at:?}, number {number:?}: {}", what.as_ref()));
    }

    /// A response begins. `from` is the position that it begins after; `is_first` that the client comes back with that.
    pub(crate) fn begins(
        &mut self,
        request: u64,
        answer: &str,
        from: Option<&str>,
        is_first: bool,
    ) {
        let Mark { at, number, ended } = self.mark.clone();
        (self.at, self.number, self.ended) = (at, number, ended);
        (self.bare, self.owed) = (None, None);
        let Some(from) = from.and_then(Position::parse) else {
            self.bare = Some(request);
            self.begins_new(request, "without history");
            return;
        };
        let known = self.world.knows(&from.token);
        if let Some(at) = self.at.clone().filter(|at| at.token == from.token) {
            if from.offset < at.offset {
                self.owed = Some(format!("it was put back to {from:?}"));
            } else if from.offset > at.offset {
                self.violated(format!("it was put ahead to {from:?} ({answer})"));
            }
            return;
        }
        if known {
            self.violated(format!("it was put into another stream, {from:?}"));
        }
        self.world.began_stream(&from.token, request);
        self.begins_new(request, answer);
        self.at = Some(from);
        self.ended = false;
        if is_first {
            self.mark();
        }
    }

    /// The inner service was called anew, for this client.
    fn begins_new(&mut self, request: u64, answer: &str) {
        let Some(call) = self.world.calls_of(request) else {
            return self.violated(format!("a new stream ({answer}) without a call"));
        };
        let had_end = std::mem::take(&mut self.ended);
        // The end itself is told once, to whoever comes first.
        let had_all = had_end || self.at.as_ref().is_some_and(|at| self.is_end(at));
        if !self.began || had_all && !self.has_ids() || self.at.is_none() && self.number.is_none() {
            return;
        }
        if !self.has_ids() {
            self.owed = Some(format!("a new call ({answer})"));
        } else if call.given.unwrap_or(0) != self.number.unwrap_or(0) || self.number.is_none() {
            self.owed =
                Some(format!("the inner service was called with {:?} ({answer})", call.given));
        }
    }

    pub(crate) fn takes(&mut self, event: &Event) {
        if event.event == "resume-gap" {
            return self.takes_gap(event);
        }
        self.began = true;
        if let Some(request) = self.bare {
            return self.takes_bare(event, request);
        }
        let Some(id) = Position::parse(&event.id) else {
            return self.violated(format!("an event without an ID of ours: {event:?}"));
        };
        let Some(at) = self.at.clone() else { return self.violated("an event before a head") };
        if id.token != at.token {
            return self.violated(format!("an event of another stream: {event:?}"));
        }
        if let Some(owed) = &self.owed {
            self.violated(format!("no gap was told, but {owed}: {event:?}"));
        }
        if id.offset != at.offset + 1 || id.generation < at.generation {
            return self.violated(format!("not the next event: {event:?}"));
        }
        let generations = self.world.generations(&id.token);
        let begun = generations.range(..=id.generation);
        for (number, generation) in begun.filter(|(number, _)| **number > at.generation) {
            let call = generation.call.map(|call| self.world.call_of(call));
            // Without an answer nothing was said in it.
            let is_exact = call.is_none_or(|call| self.has_ids() && call.given.is_some());
            if !is_exact {
                self.violated(format!(
                    "generation {number} began with a gap that was not told: {event:?}"
                ));
            }
        }
        let Some(generation) = generations.get(&id.generation) else {
            return self.violated(format!("of a generation that there is not: {event:?}"));
        };
        let Some(call) = generation.call else {
            return self.violated(format!("of a generation that nobody produced: {event:?}"));
        };
        let number = if self.has_ids() {
            let base = generations.get(&1).and_then(|one| one.call);
            let base = base.map_or(0, |one| self.world.call_of(one).start - 1);
            base + id.offset
        } else {
            id.offset - generation.first + 1
        };
        let expected = inner::event(self.topic, self.has_ids(), call, number);
        if (event.event.as_str(), &event.data) != (expected.0, &expected.1) {
            self.violated(format!("{event:?} is not {number} of call {call}: {expected:?}"));
        }
        let after_gap = self.number.is_none();
        if self.has_ids()
            && !after_gap
            && self.number.is_some_and(|last| number <= last)
            && self.gaps == 0
        {
            let resent = generations.get(&1).and_then(|one| one.call);
            let resent = resent.map(|one| self.world.call_of(one));
            let is_own = resent.is_some_and(|call| call.given.is_some_and(|given| number <= given));
            if !is_own {
                self.violated(format!("once more: {event:?}"));
            }
        }
        (self.number, self.at) = (Some(number), Some(id));
        self.mark();
    }

    /// The number of the event at a position, where all calls count on.
    fn number_at(&self, at: &Position) -> Option<u64> {
        let generations = self.world.generations(&at.token);
        let first = generations.get(&1)?.call.map(|call| self.world.call_of(call))?;
        self.has_ids().then(|| first.start - 1 + at.offset)
    }

    fn takes_bare(&mut self, event: &Event, request: u64) {
        if let Some(owed) = &self.owed {
            self.violated(format!("no gap was told, but {owed}: {event:?}"));
        }
        let Some(call) = self.world.calls_of(request) else { return };
        if !event.data.starts_with(&format!("{}/", call.topic)) {
            self.violated(format!("somebody else's: {event:?}"));
        }
        if let Ok(number) = event.id.parse() {
            (self.number, self.at) = (Some(number), None);
            self.mark();
        }
    }

    fn takes_gap(&mut self, event: &Event) {
        self.gaps += 1;
        let Some(gap) = Gap::parse(&event.data) else {
            return self.violated(format!("a gap that cannot be read: {event:?}"));
        };
        let is_without_history = self.bare.is_some() && gap.resumed == 0;
        if is_without_history && Position::parse(&event.id).is_none() {
            self.owed = None;
            return;
        }
        let Some(to) = Position::parse(&event.id) else {
            return self.violated(format!("a gap without a position: {event:?}"));
        };
        let Some(at) = self.at.clone() else { return self.violated("a gap before a head") };
        if to.token != at.token || to.offset != gap.resumed {
            self.violated(format!("a gap to somewhere else: {event:?}"));
        }
        if let Some(missed) = gap.missed {
            let is_right =
                missed > 0 && to.offset == at.offset + missed && gap.requested == Some(at.offset);
            if !is_right {
                self.violated(format!("a wrong number: {event:?}"));
            }
        } else if gap.reason == "diverged" {
            self.violated(format!("the inner service did not diverge: {event:?}"));
        } else if gap.reason == "producer-lost" {
            let generations = self.world.generations(&to.token);
            let first = generations.get(&to.generation).map_or(1, |generation| generation.first);
            if to.offset > at.offset || to.offset >= first {
                self.violated(format!("what comes from {first} on is not lost: {event:?}"));
            }
        }
        let is_whole = self.world.plan.is_whole() && self.has_ids();
        if is_whole && self.began && self.number.is_some() && at.offset > 0 {
            self.violated(format!("nothing was lost: {event:?}"));
        }
        self.owed = None;
        if to.offset != at.offset {
            self.number = self.number_at(&to);
        }
        self.at = Some(to);
        self.mark();
    }

    /// The response has ended cleanly.
    pub(crate) fn ends(&mut self) {
        if let Some(owed) = &self.owed {
            self.violated(format!("a clean end, no gap was told, but {owed}"));
        }
        self.ended = true;
        if self.mark.at == self.at {
            self.mark();
        }
        let Some(at) = &self.at else { return };
        if self.bare.is_none() && !self.is_end(at) {
            let generations = self.world.generations(&at.token);
            self.violated(format!("a clean end of a part: {generations:?}"));
        }
    }

    /// Whether a stream has ended cleanly at a position.
    fn is_end(&self, at: &Position) -> bool {
        let generations = self.world.generations(&at.token);
        let base = generations.get(&1).and_then(|one| one.call);
        let base = base.map_or(0, |one| self.world.call_of(one).start - 1);
        generations.values().any(|generation| {
            let Some(call) = generation.call.map(|call| self.world.call_of(call)) else {
                return false;
            };
            let last = if self.has_ids() {
                (call.start + call.said).saturating_sub(1 + base)
            } else {
                generation.first - 1 + call.said
            };
            // Where an answer has nothing new, it adds nothing.
            let last = last.max(generation.first - 1);
            call.ended && last == at.offset
        })
    }

    /// Whether it has all that there is.
    pub(crate) fn is_done(&self) -> bool {
        let all = self.world.plan.topics[self.topic].events;
        self.ended && (!self.has_ids() || self.at.is_none() || self.is_at(all))
    }

    fn is_at(&self, number: u64) -> bool {
        let Some(at) = &self.at else { return true };
        let generations = self.world.generations(&at.token);
        let base = generations.get(&1).and_then(|one| one.call);
        base.is_none_or(|one| self.world.call_of(one).start - 1 + at.offset >= number)
    }
}
