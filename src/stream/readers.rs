//! Who reads a stream, and up to where.

use std::task::Waker;

use crate::error::ResumeErrorKind;
use crate::log::{Cursor, Follower};

/// The readers of one stream, each with a key that does not change.
#[derive(Default)]
pub(super) struct Readers {
    slots: Vec<Option<Reader>>,
    count: usize,
}

/// One response body of a stream.
pub(super) struct Reader {
    pub(super) waker: Option<Waker>,
    /// Set while it takes what is published; else it reads history.
    pub(super) follower: Option<Follower>,
    pub(super) cursor: Cursor,
    /// The generation up to which it knows of gaps.
    pub(super) told: u32,
    /// Whether it got part of a frame that is passed on as it comes.
    pub(super) within_frame: bool,
    /// Whether it got an event, so that a gap from now on is because it was slow.
    pub(super) begun: bool,
    /// Whether it is to be told the last reconnection time before the next event.
    pub(super) retry_due: bool,
    pub(super) close: Option<Box<Closing>>,
}

impl Reader {
    /// How the response ends now, if it does.
    #[inline]
    pub(super) fn due_close(&self) -> Option<Close> {
        let close = self.close.as_ref()?;
        (close.after <= self.cursor.next && !self.within_frame).then_some(close.how)
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
        if let Some(key) = self.slots.iter().position(Option::is_none) {
            self.slots[key] = Some(reader);
            return key;
        }
        self.slots.reserve_exact(usize::from(self.slots.is_empty()));
        self.slots.push(Some(reader));
        self.slots.len() - 1
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Reader> {
        let reader = self.slots.get_mut(key)?.take()?;
        self.count -= 1;
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
        self.slots.capacity() * size_of::<Option<Reader>>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reader> {
        self.slots.iter_mut().flatten()
    }

    pub(super) fn iter_with_keys(&mut self) -> impl Iterator<Item = (usize, &mut Reader)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(key, slot)| Some((key, slot.as_mut()?)))
    }

    /// Where the foremost reader stands.
    #[inline]
    pub(super) fn foremost(&self) -> Option<Cursor> {
        self.iter().map(|reader| reader.cursor).max_by_key(|cursor| cursor.next)
    }

    /// Hands over the wakers of all readers that wait.
    pub(super) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.iter_mut().filter_map(|reader| reader.waker.take()));
    }
}
