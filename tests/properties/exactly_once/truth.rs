//! What must hold of a stream: an independent parse of what the inner service said, and where clients saw it.

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::inner::{Call, Finish, lock};
use support::reference::{self, Effect};

/// A position, as event IDs of the layer say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) token: String,
    pub(crate) generation: usize,
    pub(crate) offset: u64,
    /// The inner service's ID, decoded.
    pub(crate) inner: Vec<u8>,
}

impl At {
    pub(crate) fn parse(id: &str) -> Self {
        let mut parts = id.splitn(5, '.');
        assert_eq!(parts.next(), Some("r1"), "no ID of the layer: {id}");
        Self {
            token: parts.next().unwrap().to_owned(),
            generation: parts.next().unwrap().parse().unwrap(),
            offset: parts.next().unwrap().parse().unwrap(),
            inner: parts.next().map(percent_decoded).unwrap_or_default(),
        }
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next().unwrap()).to_digit(16).unwrap() as u8;
        decoded.push(if byte == b'%' { digit() * 16 + digit() } else { byte });
    }
    decoded
}

/// An event as the inner service said it.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) inner_id: Vec<u8>,
    /// The reconnection time that this call had set before.
    pub(crate) retry: Option<u64>,
}

/// Which event it is, as its data says: the universe and the number.
pub(crate) type Tag = (usize, usize);

pub(crate) fn tag(data: &[u8]) -> Tag {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split(':').map(|part| part.parse().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(universe), Some(number)) => (universe, number),
        _ => panic!("not an event of the inner service: {text:?}"),
    }
}

/// One call of the inner service that a stream goes on with.
struct Generation {
    call: Arc<Mutex<Call>>,
    parsed: (usize, Rc<Vec<Spoken>>),
    /// The offset of its first event, less one; known once one was seen.
    shift: Option<i64>,
    /// The first and the last offset that a client saw.
    seen: Option<(u64, u64)>,
}

/// One stream of the layer.
pub(crate) struct Stream {
    generations: Vec<Generation>,
    /// Whether the inner service is never called again for it.
    pub(crate) post: bool,
    pub(crate) purged: bool,
    /// The largest offset that was sent to any client.
    pub(crate) sent: u64,
}

impl Stream {
    pub(crate) fn new(call: Arc<Mutex<Call>>, post: bool) -> Self {
        let mut stream = Self { generations: Vec::new(), post, purged: false, sent: 0 };
        stream.go_on(call);
        stream.generations[0].shift = Some(0);
        stream
    }

    pub(crate) fn go_on(&mut self, call: Arc<Mutex<Call>>) {
        self.generations.push(Generation {
            call,
            parsed: (usize::MAX, Rc::default()),
            shift: None,
            seen: None,
        });
    }

    /// A call that was let go of before it was answered began no generation.
    pub(crate) fn forget_unanswered(&mut self) {
        self.generations.retain(|generation| {
            let call = lock(&generation.call);
            call.answered_at.is_some() || !call.is_dropped
        });
    }

    pub(crate) fn generation(&self) -> usize {
        self.generations.len()
    }

    pub(crate) fn call(&self, generation: usize) -> &Arc<Mutex<Call>> {
        &self.generations[generation - 1].call
    }

    pub(crate) fn last_call(&self) -> &Arc<Mutex<Call>> {
        self.call(self.generation())
    }

    /// Whether clients with this method join it: a `GET` may resume what a `POST` began.
    pub(crate) fn is_for(&self, post: bool) -> bool {
        self.post || !post
    }

    /// Whether a client with this method is told that the rest is lost, rather than the inner service called.
    pub(crate) fn ends_with_loss(&self, post: bool) -> bool {
        post || self.post
    }

    pub(crate) fn finished(&self) -> bool {
        lock(self.last_call()).ended == Some(Finish::Clean)
    }

    /// Since when nobody drives it.
    pub(crate) fn ended_at(&self) -> Option<Instant> {
        lock(self.last_call()).ended_at
    }

    /// Whether the layer may have forgotten it.
    pub(crate) fn may_be_gone(&self, age: Duration) -> bool {
        self.purged || self.ended_at().is_some_and(|ended| ended.elapsed() >= age)
    }

    /// What the call of a generation has said by now.
    pub(crate) fn spoken(&mut self, generation: usize) -> Rc<Vec<Spoken>> {
        let generation = &mut self.generations[generation - 1];
        let call = lock(&generation.call);
        if generation.parsed.0 != call.said.len() {
            generation.parsed = (call.said.len(), Rc::new(parse(&call)));
        }
        Rc::clone(&generation.parsed.1)
    }

    /// The newest event that the last call has said. What an earlier one said may never have been taken up: then it was
    /// held back until nobody drove the stream any more.
    pub(crate) fn newest(&mut self) -> Option<Tag> {
        self.spoken(self.generation()).iter().map(|event| tag(&event.data)).max()
    }

    /// The largest offset that any client saw.
    pub(crate) fn last_seen(&self) -> u64 {
        let seen = self.generations.iter().filter_map(|generation| generation.seen);
        seen.map(|(_, last)| last).max().unwrap_or_default()
    }

    /// At most so many events can have offsets by now.
    pub(crate) fn last_offset_at_most(&mut self, oversize: bool) -> u64 {
        // A frame over the limit has an offset though it is unfinished.
        let more = u64::from(oversize);
        (1..=self.generation()).map(|number| self.spoken(number).len() as u64 + more).sum()
    }

    pub(crate) fn bytes_said(&self) -> usize {
        self.generations.iter().map(|generation| lock(&generation.call).said.len()).sum()
    }

    /// What the inner service said, one generation after the other.
    pub(crate) fn in_short(&self) -> String {
        let said = |generation: &Generation| lock(&generation.call).said.escape_ascii().to_string();
        self.generations.iter().map(said).collect::<Vec<_>>().join("\n  || ")
    }

    pub(crate) fn born(&self) -> Instant {
        lock(self.call(1)).called_at
    }

    /// An event was seen under this position: checks it, and returns what the inner service said there.
    pub(crate) fn check(&mut self, at: &At, name: &[u8], data: &[u8]) -> (Rc<Vec<Spoken>>, usize) {
        let spoken = self.spoken(at.generation);
        let index = spoken.iter().position(|event| event.data == data && event.name == name);
        let index = index.unwrap_or_else(|| {
            let data = String::from_utf8_lossy(data);
            panic!("the inner service did not say {data:?} in the generation of {at:?}")
        });
        self.shift(at.generation, at.offset as i64 - 1 - index as i64);
        let generation = &mut self.generations[at.generation - 1];
        let (first, last) = generation.seen.unwrap_or((at.offset, at.offset));
        generation.seen = Some((first.min(at.offset), last.max(at.offset)));
        let seen: Vec<_> =
            self.generations.iter().filter_map(|generation| generation.seen).collect();
        let ordered = seen.windows(2).all(|pair| pair[0].1 < pair[1].0);
        assert!(ordered, "offsets do not go on from one generation to the next: {seen:?}");
        (spoken, index)
    }

    /// The first event of a generation has this offset, less one.
    pub(crate) fn shift(&mut self, generation: usize, shift: i64) {
        let known = *self.generations[generation - 1].shift.get_or_insert(shift);
        assert_eq!(known, shift, "generation {generation} is not numbered without holes");
    }

    /// Whether clients must be told that the generation does not go on exactly.
    pub(crate) fn must_be_told(&mut self, generation: usize, holes: bool) -> bool {
        let call = lock(self.call(generation));
        let (restarted, sent) = (call.restarted, call.last_event_id.clone());
        drop(call);
        if sent.is_empty() {
            return true;
        }
        let first = self.spoken(generation).first().map(|event| event.inner_id.clone());
        // An empty ID names nothing, and what was a hole is not known again.
        let names = |id: &Vec<u8>| restarted && !id.is_empty() && *id != sent && !holes;
        let Some(id) = first.filter(names) else { return false };
        (1..generation).any(|earlier| self.spoken(earlier).iter().any(|event| event.inner_id == id))
    }
}

fn parse(call: &Call) -> Vec<Spoken> {
    let said = call.said.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&call.said);
    // The ID that it was called with is in force until it gives one.
    let stream = [b"id: ", &call.last_event_id[..], b"\n\n", said].concat();
    let mut retry = None;
    let mut events = Vec::new();
    for effect in reference::effects(&stream) {
        match effect {
            Effect::Retry(value) => retry = Some(value),
            Effect::Dispatch(event) => events.push(Spoken {
                name: event.name,
                data: event.data,
                inner_id: event.last_event_id,
                retry,
            }),
        }
    }
    events
}
