//! What an inner service says, and how each call of it says that.

use std::collections::VecDeque;

use support::random::Random;
use support::reference::Event;
use support::scripted::Feed;

use super::client::{Expect, Place};
use super::spoken::Spoken;
use super::{formless, spoken};

/// What the inner service says.
pub(crate) enum Script {
    /// The same for each call, and what that dispatches.
    Formless {
        said: Vec<u8>,
        events: Vec<Event>,
    },
    Spoken(Spoken),
}

/// What a call still has to say, and how it ends.
pub(crate) struct Speech {
    body: Feed,
    pieces: VecDeque<Vec<u8>>,
    breaks: bool,
    is_over: bool,
}

impl Speech {
    /// Says so many pieces more, and after the last one ends.
    pub(crate) fn say(&mut self, pieces: usize) {
        for _ in 0..pieces {
            let Some(piece) = self.pieces.pop_front() else {
                if !std::mem::replace(&mut self.is_over, true) {
                    if self.breaks { self.body.fail() } else { self.body.end() }
                }
                return;
            };
            self.body.send(piece);
        }
    }

    /// What it will say, and how it will end.
    pub(crate) fn in_short(&self) -> String {
        let said = self.pieces.iter().map(|piece| piece.escape_ascii().to_string());
        let end = if self.breaks { "breaks" } else { "ends" };
        format!("says {:?} and {end}", said.collect::<Vec<_>>())
    }
}

impl Script {
    /// What a call says that was asked to go on from this ID. Only a service that is well does not break off.
    pub(crate) fn speech(
        &self,
        random: &mut Random,
        last_event_id: Option<&[u8]>,
        is_well: bool,
        body: Feed,
    ) -> Speech {
        let (said, breaks) = match self {
            Self::Formless { said, .. } => (said.clone(), false),
            Self::Spoken(spoken) => {
                let start = spoken.start(random, last_event_id);
                (spoken.from(start), !is_well && !random.one_in(3))
            }
        };
        let mut pieces: VecDeque<_> = formless::pieces(random, &said).into();
        if breaks {
            pieces.truncate(random.within(0..pieces.len() as u64 + 1) as usize);
        }
        Speech { body, pieces, breaks, is_over: false }
    }

    /// Whether a stream that begins anew, from an ID, is no worse than the one before: it lacks what that would know again.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        matches!(self, Self::Spoken(spoken) if !spoken.resends())
    }

    /// Whether nothing comes after so many events.
    pub(crate) fn is_all(&self, next: usize) -> bool {
        match self {
            Self::Formless { events, .. } => next == events.len(),
            Self::Spoken(spoken) => next == spoken.len(),
        }
    }
}

impl Expect for Script {
    fn number(&self, event: &Event, place: Place) -> usize {
        match self {
            Self::Formless { events, .. } => {
                let next = place.next.expect("a place");
                let Some(expected) = events.get(next) else {
                    panic!("an event after the last one: {event:?}")
                };
                let same = (&event.name, &event.data) == (&expected.name, &expected.data);
                assert!(same, "{event:?} instead of event {next}: {expected:?}");
                next
            }
            Self::Spoken(_) => {
                let number = spoken::number(&event.data);
                let had = place.next.is_some_and(|next| next <= number && number <= place.had);
                let follows = place.next.is_none_or(|next| next == number) || place.is_told || had;
                assert!(follows, "event {number} where {place:?}");
                number
            }
        }
    }
}
