//! Finds readers among many without looking at all of them.

use super::Reader;

/// An index over the readers' slots.
#[derive(Default)]
pub(super) struct Crowd {
    /// Slots without a reader.
    free: Vec<u32>,
    /// Readers that may wait: some may have been woken, or have left, and one may be here twice.
    waiting: Vec<u32>,
    /// A tournament among the slots: each node holds the foremost of the two below it, the one at 1 of all. The slots
    /// themselves come after the nodes.
    nodes: Vec<u32>,
}

/// A node below which there is no reader.
const NOBODY: u32 = u32::MAX;

impl Crowd {
    /// The index of these slots.
    pub(super) fn of(slots: &[Option<Reader>]) -> Self {
        let mut crowd = Self::default();
        let keys = |is_one: fn(&Option<Reader>) -> bool| -> Vec<u32> {
            let which = slots.iter().enumerate().filter(|(_, slot)| is_one(slot));
            which.map(|(key, _)| key as u32).collect()
        };
        crowd.free = keys(Option::is_none);
        crowd.waiting = keys(|slot| slot.as_ref().is_some_and(|reader| reader.waker.is_some()));
        crowd.build(slots);
        crowd
    }

    /// A slot for a new reader.
    pub(super) fn take_free(&mut self) -> Option<usize> {
        self.free.pop().map(|key| key as usize)
    }

    /// The reader of a slot has left.
    pub(super) fn free(&mut self, key: usize) {
        self.free.push(key as u32);
    }

    /// The reader has begun to wait.
    #[inline]
    pub(super) fn waits(&mut self, key: usize) {
        if self.waiting.len() >= 2 * self.nodes.len() {
            // Most of these come and go without being woken.
            self.waiting.sort_unstable();
            self.waiting.dedup();
        }
        self.waiting.push(key as u32);
    }

    /// The keys of all readers that wait, and perhaps of others. From now on none does.
    #[inline]
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = usize> {
        self.waiting.drain(..).inspect(|_| visit()).map(|key| key as usize)
    }

    /// The reader that is ahead of all others.
    #[inline]
    pub(super) fn foremost(&self) -> Option<usize> {
        visit();
        self.nodes.get(1).filter(|key| **key != NOBODY).map(|key| *key as usize)
    }

    /// The reader of a slot has come, has left, or stands elsewhere.
    #[inline]
    pub(super) fn moved(&mut self, slots: &[Option<Reader>], key: usize) {
        if slots.len() > self.nodes.len() {
            return self.build(slots);
        }
        let mut node = self.nodes.len() / 2 + key / 2;
        while node > 0 {
            visit();
            let foremost = self.better_below(slots, node);
            let was = std::mem::replace(&mut self.nodes[node], foremost);
            if was == foremost && foremost as usize != key {
                // It makes no difference here, and so none above.
                return;
            }
            node /= 2;
        }
    }

    /// Who is ahead of the two below `node`: of equals the one that was.
    #[inline]
    fn better_below(&self, slots: &[Option<Reader>], node: usize) -> u32 {
        let (left, right) = (self.at(2 * node), self.at(2 * node + 1));
        let (left_rank, right_rank) = (rank(slots, left), rank(slots, right));
        let stays = self.nodes[node];
        match left_rank.cmp(&right_rank) {
            _ if left_rank.is_none() && right_rank.is_none() => NOBODY,
            std::cmp::Ordering::Greater => left,
            std::cmp::Ordering::Less => right,
            std::cmp::Ordering::Equal if stays == right => right,
            std::cmp::Ordering::Equal => left,
        }
    }

    #[inline]
    fn at(&self, node: usize) -> u32 {
        match node.checked_sub(self.nodes.len()) {
            Some(key) => key as u32,
            None => self.nodes[node],
        }
    }

    /// Builds the tournament anew, for twice as many slots.
    #[cold]
    fn build(&mut self, slots: &[Option<Reader>]) {
        self.nodes.clear();
        self.nodes.resize(slots.len().next_power_of_two().max(2), NOBODY);
        for node in (1..self.nodes.len()).rev() {
            visit();
            self.nodes[node] = self.better_below(slots, node);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let entries = self.free.capacity() + self.waiting.capacity() + self.nodes.capacity();
        size_of::<Self>() + entries * size_of::<u32>()
    }
}

#[inline]
fn rank(slots: &[Option<Reader>], key: u32) -> Option<(u64, bool)> {
    slots.get(key as usize)?.as_ref().map(Reader::rank)
}

/// Counts a step over readers, for tests of how many there are.
#[inline]
pub(super) fn visit() {
    #[cfg(test)]
    VISITS.with(|visits| visits.set(visits.get() + 1));
}

#[cfg(test)]
thread_local! {
    /// Steps over readers on this thread.
    pub(in crate::stream) static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
