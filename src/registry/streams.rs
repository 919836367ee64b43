//! The streams themselves, and where each is in the order of eviction. Nothing here looks through all of them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::account::{Account, Among, Ranking};
use super::session::{Session, SessionKey};
use crate::binding::Binding;
use crate::config::{LimitKind, Limits};
use crate::resume::event_id::Token;
use crate::stream::{EvictionClass, Stream};

/// How many streams of one binding are looked through for an ID of the inner service. Where there are more, none is.
const MOST_LOOKED_THROUGH: usize = 256;

/// A key of [`Streams::all`]: several may be of one token, if they are mirrors. The later one has the higher number.
pub(super) type Key = (Token, u64);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Streams {
    pub(super) all: BTreeMap<Key, Entry>,
    /// Each stream behind those of its owner that are evicted before it.
    pub(super) by_account: BTreeMap<Place, Arc<Stream>>,
    pub(super) accounts: HashMap<Option<u128>, Owner>,
    pub(super) ranking: Ranking,
    /// The same by session, as far as streams have one.
    pub(super) by_session: BTreeMap<Place, Arc<Stream>>,
    pub(super) sessions: BTreeMap<SessionKey, Session>,
    /// How many names these have.
    pub(super) session_names: usize,
    /// By the account, and since when nobody reads in them.
    pub(super) idle_sessions: BTreeMap<(u64, u64), SessionKey>,
    /// Only of streams that are looked up so.
    by_binding: BTreeMap<(Binding, EvictionClass, u64), Arc<Stream>>,
    /// How many have a reader.
    pub(super) read: usize,
    pub(super) sweeper: Option<AbortHandle>,
    last: u64,
}

/// A stream, and where it is in the other maps.
pub(super) struct Entry {
    pub(super) stream: Arc<Stream>,
    class: EvictionClass,
    /// When it came to that class.
    since: u64,
}

/// A place in the order in which the streams of a group are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: u64,
    pub(super) class: EvictionClass,
    pub(super) since: u64,
}

/// An owner that has streams.
pub(super) struct Owner {
    pub(super) account: Arc<Account>,
    pub(super) streams: usize,
    /// Of these, how many are in each class.
    pub(super) by_class: [usize; 4],
    pub(super) idle_sessions: usize,
    /// Which of the streams that keep their place was last asked to give something up.
    pub(super) asked: Option<Place>,
}

/// What a stream takes in these maps beside itself. A map is about three quarters full.
pub(super) fn bytes_of(stream: &Stream) -> usize {
    let mut bytes = size_of::<(Key, Entry)>() + size_of::<(Place, Arc<Stream>)>();
    if stream.origin.binding.session.is_some() {
        bytes += size_of::<(Place, Arc<Stream>)>();
    }
    if stream.is_found_by_binding() {
        bytes += size_of::<((Binding, EvictionClass, u64), Arc<Stream>)>();
    }
    let called_with = stream.origin.inner_id.as_ref().map_or(0, |id| id.len());
    bytes / 3 * 4 + size_of::<Stream>() + 2 * size_of::<usize>() + called_with
}

/// What an owner and a session take.
pub(super) const OWNER_BYTES: usize = 256;
pub(super) const SESSION_BYTES: usize = 192;

impl Place {
    /// Before all of a group that are in this class or later ones.
    pub(super) const fn first(group: u64, class: EvictionClass) -> Self {
        Self { group, class, since: 0 }
    }
}

impl Owner {
    fn unread(&self) -> usize {
        self.by_class[..EvictionClass::Read as usize].iter().sum()
    }
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    // Look-up

    fn of_token(&self, token: Token) -> impl DoubleEndedIterator<Item = (&Key, &Entry)> {
        self.all.range((token, 0)..=(token, u64::MAX))
    }

    pub(super) fn get(&self, token: Token) -> Option<Arc<Stream>> {
        self.copies(token).next().cloned()
    }

    /// All of this token, the newest first.
    pub(super) fn copies(&self, token: Token) -> impl Iterator<Item = &Arc<Stream>> {
        self.of_token(token).rev().map(|(_, entry)| &entry.stream)
    }

    /// The last one of this token that is no mirror.
    pub(super) fn produced(&self, token: Token) -> Option<Arc<Stream>> {
        self.copies(token).find(|stream| !stream.is_mirror).cloned()
    }

    fn key_of(&self, stream: &Stream) -> Option<Key> {
        let is_it = |entry: &Entry| std::ptr::eq(Arc::as_ptr(&entry.stream), stream);
        self.of_token(stream.token).find(|(_, entry)| is_it(entry)).map(|(key, _)| *key)
    }

    pub(super) fn has(&self, stream: &Stream) -> bool {
        self.key_of(stream).is_some()
    }

    /// The streams of this binding that are found so, from `class` on; none if they are too many to look through.
    pub(super) fn bound_to(&self, binding: &Binding, class: EvictionClass) -> Vec<Arc<Stream>> {
        let range = (*binding, class, 0)..=(*binding, EvictionClass::Read, u64::MAX);
        let streams = self.by_binding.range(range).map(|(_, stream)| Arc::clone(stream));
        let found: Vec<_> = streams.take(MOST_LOOKED_THROUGH + 1).collect();
        if found.len() > MOST_LOOKED_THROUGH { Vec::new() } else { found }
    }

    /// The next `most` streams after `key`, in the order of their keys.
    pub(super) fn page(&self, key: Option<Key>, most: usize) -> Vec<(Key, Arc<Stream>)> {
        let after = key.map_or(Unbounded, Excluded);
        let page = self.all.range((after, Unbounded)).take(most);
        page.map(|(key, entry)| (*key, Arc::clone(&entry.stream))).collect()
    }

    // Change

    /// The limit that leaves no room for a stream.
    pub(super) fn full(&self, stream: &Stream, limits: &Limits) -> Option<LimitKind> {
        if let Some(key) = SessionKey::of(stream) {
            match self.sessions.get(&key) {
                Some(session) if session.streams >= limits.streams_per_session => {
                    return Some(LimitKind::StreamsPerSession);
                }
                None if limits.streams_per_session == 0 => {
                    return Some(LimitKind::StreamsPerSession);
                }
                None if self.sessions.len() >= limits.sessions => return Some(LimitKind::Sessions),
                _ => {}
            }
        }
        (self.len() >= limits.streams).then_some(LimitKind::Streams)
    }

    /// Adds a stream. Returns what it takes beside what it says itself.
    pub(super) fn insert(&mut self, stream: &Arc<Stream>) -> usize {
        let (number, owner) = (self.number(), stream.origin.binding.owner);
        let mut bytes = bytes_of(stream);
        if !self.accounts.contains_key(&owner) {
            bytes += OWNER_BYTES;
            self.begin_account(owner, number);
        }
        let Some(of_owner) = self.accounts.get_mut(&owner) else { return 0 };
        of_owner.streams += 1;
        let account = Arc::clone(&of_owner.account);
        let (class, held) = stream.enter(&account);
        if account.add((held + bytes_of(stream)) as isize) {
            self.ranking.update(&account);
        }
        if let Some(key) = SessionKey::of(stream) {
            bytes += self.begin_session(key, account.number);
        }
        let entry = Entry { stream: Arc::clone(stream), class, since: number };
        self.all.insert((stream.token, number), entry);
        self.link(stream, class, number);
        bytes
    }

    fn begin_account(&mut self, owner: Option<u128>, number: u64) {
        let account = Arc::new(Account::new(number, owner));
        self.ranking.add(Among::All, &account);
        let (streams, by_class, idle_sessions) = (0, [0; 4], 0);
        let owner_of = Owner { account, streams, by_class, idle_sessions, asked: None };
        self.accounts.insert(owner, owner_of);
    }

    /// Takes a stream out. Returns what it took, if it was there.
    pub(super) fn remove(&mut self, stream: &Stream) -> Option<usize> {
        let entry = self.all.remove(&self.key_of(stream)?)?;
        let mut bytes = bytes_of(stream);
        self.unlink(stream, entry.class, entry.since);
        if let Some(key) = SessionKey::of(stream) {
            bytes += self.end_session(key);
        }
        let owner = stream.origin.binding.owner;
        if let Some(of_owner) = self.accounts.get_mut(&owner) {
            of_owner.streams -= 1;
            let (account, is_last) = (Arc::clone(&of_owner.account), of_owner.streams == 0);
            if account.add(-((stream.leave() + bytes_of(stream)) as isize)) {
                self.ranking.update(&account);
            }
            if is_last {
                self.ranking.remove(Among::All, &account);
                self.accounts.remove(&owner);
                bytes += OWNER_BYTES;
            }
        }
        Some(bytes)
    }

    /// Gives a stream the place that it has now, if it has another one.
    pub(super) fn refresh(&mut self, stream: &Arc<Stream>) {
        let Some(key) = self.key_of(stream) else { return };
        let (class, since) = (stream.eviction_class(), self.number());
        let Some(entry) = self.all.get_mut(&key) else { return };
        let (old, old_since) = (entry.class, entry.since);
        if old != class {
            (entry.class, entry.since) = (class, since);
            // The new place first: a session in which nobody reads for the moment is not idle.
            self.link(stream, class, since);
            self.unlink(stream, old, old_since);
        }
    }

    fn link(&mut self, stream: &Arc<Stream>, class: EvictionClass, since: u64) {
        let binding = stream.origin.binding;
        if let Some(owner) = self.accounts.get_mut(&binding.owner) {
            let place = Place { group: owner.account.number, class, since };
            self.by_account.insert(place, Arc::clone(stream));
            owner.by_class[class as usize] += 1;
            if class == EvictionClass::Read {
                self.read += 1;
            } else if owner.unread() == 1 {
                self.ranking.add(Among::Unread, &owner.account);
            }
        }
        if let Some(key) = SessionKey::of(stream) {
            self.link_session(key, stream, class, since);
        }
        if stream.is_found_by_binding() {
            self.by_binding.insert((binding, class, since), Arc::clone(stream));
        }
    }

    fn unlink(&mut self, stream: &Stream, class: EvictionClass, since: u64) {
        let binding = stream.origin.binding;
        if let Some(owner) = self.accounts.get_mut(&binding.owner) {
            let place = Place { group: owner.account.number, class, since };
            self.by_account.remove(&place);
            owner.by_class[class as usize] -= 1;
            if class == EvictionClass::Read {
                self.read -= 1;
            } else if owner.unread() == 0 {
                self.ranking.remove(Among::Unread, &owner.account);
            }
        }
        if let Some(key) = SessionKey::of(stream) {
            self.unlink_session(key, class, since);
        }
        if stream.is_found_by_binding() {
            self.by_binding.remove(&(binding, class, since));
        }
    }
}
