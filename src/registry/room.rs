//! Makes room: for bytes, and for new streams.
//!
//! What makes room is always of the owner who holds most: its finished streams, then its aborted ones, then those that
//! are live and unread, those that have been so longest first. Only bytes are taken from streams with a reader, too.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::account::{Among, Rank};
use super::session::SessionKey;
use super::streams::{Place, Streams};
use super::{Registry, lock};
use crate::config::{Config, LimitKind, Limits};
use crate::observer::Observation;
use crate::stream::{EvictionClass, Stream};

/// Where a limit leaves no room, this part of what it allows is let go of at once, so that it is seldom.
const SHARE: usize = 64;
/// How many streams that have nothing to give up are asked at once.
const MOST_ASKED_IN_VAIN: usize = 256;

/// Who was asked already for bytes, and had none to give up.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The accounts from here on have been asked.
    below: Option<Rank>,
    /// The account that is being asked, and how many of its streams had nothing.
    asked: Option<(u64, usize)>,
}

/// What gives up bytes next.
enum Next {
    /// This stream, which was taken out.
    Evicted(Arc<Stream>, usize),
    /// This one, which keeps its place.
    Asked(Arc<Stream>),
}

impl Registry {
    /// Makes room until the streams hold a sixteenth less than they may, so that this is seldom.
    #[cold]
    pub(super) fn relieve(&self, bytes: isize, config: &Config) {
        let limit = config.limits.bytes;
        let Some(turn) = self.relief.turn(bytes, limit) else { return };
        let goal = limit - limit / 16;
        let (mut evicted, mut in_vain, mut is_whole) = (0, 0, false);
        while self.bytes() > goal && in_vain < MOST_ASKED_IN_VAIN {
            let next = {
                let (mut streams, mut round) = (lock(&self.streams), lock(&self.round));
                streams.next_for_bytes(&mut round, config.rules.keeps_last)
            };
            match next {
                Some(Next::Evicted(stream, bytes)) => {
                    self.removed(&stream, bytes);
                    stream.purge();
                    evicted += 1;
                }
                Some(Next::Asked(stream)) => {
                    let gave = stream.give_up_oldest();
                    lock(&self.round).answered(gave);
                    in_vain += usize::from(!gave);
                }
                None => {
                    is_whole = true;
                    break;
                }
            }
        }
        let left = self.bytes();
        if is_whole || left <= goal {
            *lock(&self.round) = Round::default();
        }
        turn.end(left as isize, is_whole);
        tell(config, LimitKind::Bytes, evicted);
    }

    /// Whether there are bytes for a new stream, or can be made.
    pub(super) fn has_bytes(&self, config: &Config) -> bool {
        if self.is_at_cap(&config.limits) {
            self.relief.retry_now_and_then();
            self.relieve(self.bytes() as isize, config);
        }
        !self.is_at_cap(&config.limits)
    }

    /// Makes room for a new stream where a limit on their number leaves none. Returns whether there may be some now.
    pub(super) fn make_room(&self, stream: &Stream) -> bool {
        let limits = &stream.config.limits;
        let (full, victims) = {
            // Who comes at the same time finds what is left of the room that was made for the one before.
            let _one_after_the_other = lock(&self.eviction);
            let mut streams = lock(&self.streams);
            let Some(full) = streams.full(stream, limits) else { return true };
            (full, streams.evict_for(full, stream, limits))
        };
        for (victim, bytes) in &victims {
            self.removed(victim, *bytes);
        }
        for (victim, _) in &victims {
            victim.purge();
        }
        tell(&stream.config, full, victims.len() as u64);
        !victims.is_empty()
    }
}

impl Round {
    fn answered(&mut self, gave: bool) {
        if let Some((_, in_vain)) = &mut self.asked {
            *in_vain = if gave { 0 } else { *in_vain + 1 };
        }
    }
}

impl Streams {
    /// What gives up bytes next; `None` if all have been asked.
    fn next_for_bytes(&mut self, round: &mut Round, keeps_last: bool) -> Option<Next> {
        // Where the last event of a live stream is kept, so is its place.
        let kept = if keeps_last { EvictionClass::Unread } else { EvictionClass::Read };
        loop {
            let account = self.ranking.most(Among::All, round.below)?;
            if let Some(stream) = self.first_before(account.number, kept) {
                let bytes = self.remove(&stream).unwrap_or_default();
                return Some(Next::Evicted(stream, bytes));
            }
            let in_vain = match round.asked {
                Some((number, in_vain)) if number == account.number => in_vain,
                _ => 0,
            };
            round.asked = Some((account.number, in_vain));
            let owner = self.accounts.get_mut(&account.owner)?;
            let keep_place: usize = owner.by_class[kept as usize..].iter().sum();
            if in_vain < keep_place {
                let first = Place::first(account.number, kept);
                let end = Place::first(account.number + 1, EvictionClass::Finished);
                let after = owner.asked.filter(|asked| *asked >= first).map_or(Unbounded, Excluded);
                let mut rest = match after {
                    Unbounded => self.by_account.range(first..end),
                    after => self.by_account.range((after, Excluded(end))),
                };
                let next = rest.next().or_else(|| self.by_account.range(first..end).next());
                if let Some((place, stream)) = next {
                    owner.asked = Some(*place);
                    return Some(Next::Asked(Arc::clone(stream)));
                }
            }
            round.below = Some(Rank::of(&account));
        }
    }

    /// The first stream of an account in a class before `kept`.
    fn first_before(&mut self, account: u64, kept: EvictionClass) -> Option<Arc<Stream>> {
        self.first_between(false, account, kept)
    }

    fn first_between(
        &mut self,
        of_session: bool,
        group: u64,
        kept: EvictionClass,
    ) -> Option<Arc<Stream>> {
        loop {
            let map = if of_session { &self.by_session } else { &self.by_account };
            let range = Place::first(group, EvictionClass::Finished)..Place::first(group, kept);
            let (place, stream) = map.range(range).next()?;
            let stream = Arc::clone(stream);
            if stream.eviction_class() == place.class {
                return Some(stream);
            }
            // Whoever has changed it comes too late to say so.
            self.refresh(&stream);
        }
    }

    /// Takes out streams that make room for `stream`; none of them has a reader. With each, what it took.
    fn evict_for(
        &mut self,
        full: LimitKind,
        stream: &Stream,
        limits: &Limits,
    ) -> Vec<(Arc<Stream>, usize)> {
        let mut evicted = Vec::new();
        match full {
            LimitKind::StreamsPerSession => {
                let key = SessionKey::of(stream);
                let session = key.and_then(|key| self.sessions.get(&key));
                let Some(number) = session.map(|session| session.number) else { return evicted };
                let most = share_of(limits.streams_per_session);
                self.evict(&mut evicted, most, |streams| {
                    streams.first_between(true, number, EvictionClass::Read)
                });
            }
            LimitKind::Sessions => {
                // However many streams they have, no more are let go of at once than for the other limit.
                let most = share_of(limits.streams);
                for _ in 0..share_of(limits.sessions) {
                    if evicted.len() >= most || !self.evict_idle_session(&mut evicted) {
                        break;
                    }
                }
            }
            _ => self.evict(&mut evicted, share_of(limits.streams), |streams| {
                let account = streams.ranking.most(Among::Unread, None)?;
                streams.first_before(account.number, EvictionClass::Read)
            }),
        }
        evicted
    }

    fn evict(
        &mut self,
        evicted: &mut Vec<(Arc<Stream>, usize)>,
        most: usize,
        mut next: impl FnMut(&mut Self) -> Option<Arc<Stream>>,
    ) {
        for _ in 0..most {
            let Some(stream) = next(self) else { return };
            let bytes = self.remove(&stream).unwrap_or_default();
            evicted.push((stream, bytes));
        }
    }

    /// Takes out all streams of the session in which nobody has read for longest, of the owner who holds most.
    fn evict_idle_session(&mut self, evicted: &mut Vec<(Arc<Stream>, usize)>) -> bool {
        let streams = loop {
            let Some(account) = self.ranking.most(Among::Idle, None) else { return false };
            let mut idle = self.idle_sessions.range((account.number, 0)..(account.number + 1, 0));
            let session = idle.next().and_then(|(_, key)| self.sessions.get(key));
            let Some(session) = session else { return false };
            let streams: Vec<_> = self.of_session(session).cloned().collect();
            let is_read = |stream: &&Arc<Stream>| stream.eviction_class() == EvictionClass::Read;
            match streams.iter().find(is_read) {
                None => break streams,
                // Its reader comes too late to say so.
                Some(read) => self.refresh(read),
            }
        };
        for stream in streams {
            let bytes = self.remove(&stream).unwrap_or_default();
            evicted.push((stream, bytes));
        }
        true
    }
}

fn share_of(limit: usize) -> usize {
    (limit / SHARE).max(1)
}

fn tell(config: &Config, limit: LimitKind, evicted: u64) {
    config.observer.tell(Observation::LimitReached { limit });
    if evicted > 0 {
        config.observer.tell(Observation::Evicted { streams: evicted });
    }
}
