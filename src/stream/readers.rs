//! Who reads a stream, and up to where.
//!
//! Where a stream has one reader, as most have, that is all there is. With a second one comes an index, so that what an
//! event or an arrival costs does not depend on how many readers there are, beyond a wake-up for each that waits.

mod crowd;

use std::task::Waker;

use crate::error::ResumeErrorKind;
use crate::log::{Cursor, Follower};
use crowd::Crowd;

/// The readers of one stream, each with a key that does not change.
#[derive(Default)]
pub(super) struct Readers {
    slots: Vec<Option<Reader>>,
    count: usize,
    /// Kept from the second reader on.
    crowd: Option<Box<Crowd>>,
    /// The reader that came last of those that superseded all before them.
    newest: Option<usize>,
}

/// One response body of a stream.
pub(super) struct Reader {
    waker: Option<Waker>,
    /// Set while it takes what is published; else it reads history.
    follower: Option<Follower>,
    cursor: Cursor,
    /// The generation up to which it knows of gaps.
    pub(super) told: u32,
    /// Whether it is to be told the last reconnection time before the next event.
    pub(super) retry_due: bool,
    /// Up to which change of the reconnection time it knows of them, as long as it reads history.
    pub(super) retry_told: u32,
    /// Whether it got part of a frame that is passed on as it comes.
    pub(super) within_frame: bool,
    /// Whether it got an event, so that a gap from now on is because it was slow.
    pub(super) begun: bool,
    /// The first of the events before its cursor that it never gets, and is to be told of; 0 if there are none.
    pub(super) skipped_from: u64,
    pub(super) close: Option<Box<Closing>>,
}

impl Reader {
    pub(super) fn new(cursor: Cursor, told: u32, retry_told: u32) -> Self {
        Self {
            waker: None,
            follower: None,
            cursor,
            told,
            retry_due: false,
            retry_told,
            within_frame: false,
            begun: false,
            skipped_from: 0,
            close: None,
        }
    }

    /// Where it stands.
    #[inline]
    pub(super) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Its place among those that take what is published; `None`: it reads history.
    #[inline]
    pub(super) fn follower(&self) -> Option<Follower> {
        self.follower
    }

    /// What it was to be woken with.
    pub(super) fn into_waker(self) -> Option<Waker> {
        self.waker
    }

    /// How the response ends now, if it does.
    #[inline]
    pub(super) fn due_close(&self) -> Option<Close> {
        let close = self.close.as_ref()?;
        (close.after <= self.cursor.next && !self.within_frame).then_some(close.how)
    }

    /// How far it is ahead of others. Of those before the same event, one that does not follow yet is ahead.
    #[inline]
    fn rank(&self) -> (u64, bool) {
        (self.cursor.next, self.follower.is_none())
    }
}

/// A response that is to end before its stream does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) how: Close,
    /// The event before which it ends.
    pub(super) after: u64,
}

/// How a response is ended before its stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// Cleanly, after a reconnection time in milliseconds.
    Clean(Option<u64>),
    /// With an error, after a reconnection time in milliseconds.
    Broken(ResumeErrorKind, Option<u64>),
}

impl Readers {
    pub(super) fn insert(&mut self, reader: Reader) -> usize {
        self.count += 1;
        let key = match self.crowd.as_mut().and_then(|crowd| crowd.take_free()) {
            Some(key) => key,
            None => self.free_slot(),
        };
        self.slots[key] = Some(reader);
        if self.crowd.is_none() && self.count > 1 {
            self.crowd = Some(Box::new(Crowd::of(&self.slots)));
        }
        self.moved(key);
        key
    }

    /// A slot without a reader, where no index knows of one.
    fn free_slot(&mut self) -> usize {
        if self.count == 1 && !self.slots.is_empty() {
            return 0;
        }
        self.slots.reserve_exact(usize::from(self.slots.is_empty()));
        self.slots.push(None);
        self.slots.len() - 1
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Reader> {
        let reader = self.slots.get_mut(key)?.take()?;
        self.count -= 1;
        self.newest.take_if(|newest| *newest == key);
        if self.count == 0 {
            // Whoever was here leaves nothing behind that the next ones are to pay for.
            self.crowd = None;
            self.slots.truncate(1);
            self.slots.shrink_to_fit();
        } else if let Some(crowd) = &mut self.crowd {
            crowd.free(key);
        }
        self.moved(key);
        Some(reader)
    }

    #[inline]
    pub(super) fn get(&mut self, key: usize) -> Option<&mut Reader> {
        self.slots.get_mut(key)?.as_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let crowd = self.crowd.as_ref().map_or(0, |crowd| crowd.heap_bytes());
        self.slots.capacity() * size_of::<Option<Reader>>() + crowd
    }

    /// The keys of all of them, for what seldom happens.
    pub(super) fn keys(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.slots.len()
    }

    /// All of them, likewise.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.slots.iter_mut().flatten().inspect(|_| crowd::visit())
    }

    /// The foremost reader; of several, one that does not follow yet, if there is one.
    #[inline]
    pub(super) fn foremost(&self) -> Option<&Reader> {
        let key = self.crowd.as_ref().map_or(Some(0), |crowd| crowd.foremost())?;
        self.slots.get(key)?.as_ref()
    }

    /// A reader stands at `cursor` now.
    #[inline]
    pub(super) fn move_to(&mut self, key: usize, cursor: Cursor) {
        if let Some(reader) = self.get(key) {
            reader.cursor = cursor;
            self.moved(key);
        }
    }

    /// A reader follows from now on, or reads history.
    #[inline]
    pub(super) fn set_follower(&mut self, key: usize, follower: Option<Follower>) {
        if let Some(reader) = self.get(key) {
            reader.follower = follower;
            self.moved(key);
        }
    }

    /// A reader that follows has taken a piece.
    #[inline]
    pub(super) fn advance(&mut self, key: usize, follower: Follower, cursor: Cursor) {
        if let Some(reader) = self.get(key) {
            reader.follower = Some(follower);
            reader.cursor = cursor;
            self.moved(key);
        }
    }

    #[inline]
    fn moved(&mut self, key: usize) {
        if let Some(crowd) = &mut self.crowd {
            crowd.moved(&self.slots, key);
        }
    }

    /// Has a reader woken when it is worth asking again. Returns whether it would be already: then nothing has happened.
    #[inline]
    pub(super) fn wait_as_before(&mut self, key: usize, waker: &Waker) -> bool {
        let Some(reader) = self.get(key) else { return true };
        if let Some(old) = &reader.waker {
            return old.will_wake(waker);
        }
        reader.waker = Some(waker.clone());
        if let Some(crowd) = &mut self.crowd {
            crowd.waits(key);
        }
        true
    }

    /// The same in all cases. Returns a waker that is not needed any more.
    pub(super) fn wait(&mut self, key: usize, waker: &Waker) -> Option<Waker> {
        if self.wait_as_before(key, waker) {
            return None;
        }
        self.get(key)?.waker.replace(waker.clone())
    }

    /// Hands over the wakers of all readers that wait.
    #[inline]
    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        match &mut self.crowd {
            None => wakers.extend(self.slots.first_mut().and_then(take_waker)),
            Some(crowd) => {
                wakers.extend(
                    crowd.take_waiting().filter_map(|key| take_waker(self.slots.get_mut(key)?)),
                );
            }
        }
    }

    /// A reader supersedes all that came before it. Returns the key of the one of those that was not superseded yet.
    pub(super) fn supersede(&mut self, key: usize) -> Option<usize> {
        self.newest.replace(key).filter(|newest| *newest != key)
    }

    /// Hands over the waker of a reader, if it waits.
    pub(super) fn take_waker(&mut self, key: usize) -> Option<Waker> {
        take_waker(self.slots.get_mut(key)?)
    }
}

#[inline]
fn take_waker(slot: &mut Option<Reader>) -> Option<Waker> {
    slot.as_mut()?.waker.take()
}

#[cfg(test)]
mod tests;
