//! The inner bodies that are read on without a client: how many there may be, and which has been there longest.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::{Registry, lock};
use crate::config::{LimitKind, Limits};
use crate::stream::Stream;

/// Of all places, one in so many is for streams that have an owner.
const KEPT_FOR_OWNERS: usize = 4;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Lingering {
    /// By number: the oldest first.
    streams: BTreeMap<u64, Weak<Stream>>,
    by_owner: HashMap<Option<u128>, usize>,
    next: u64,
}

/// The right to read an inner body on without a client.
pub(crate) struct LingerPermit {
    registry: Arc<Registry>,
    owner: Option<u128>,
    number: u64,
}

impl Lingering {
    /// The limit that leaves no place for one more body of this owner.
    fn full(&self, owner: Option<u128>, limits: &Limits) -> Option<LimitKind> {
        let of_owner = self.by_owner.get(&owner).copied().unwrap_or_default();
        if self.streams.len() >= limits.lingering {
            return Some(LimitKind::Lingering);
        }
        match owner {
            // Requests without an owner are not one owner, and must not crowd out those that have one.
            None => {
                let most = limits.lingering - limits.lingering / KEPT_FOR_OWNERS;
                (of_owner >= most).then_some(LimitKind::Lingering)
            }
            Some(_) => {
                (of_owner >= limits.lingering_per_owner).then_some(LimitKind::LingeringPerOwner)
            }
        }
    }
}

impl Registry {
    /// How many inner bodies are read on without a client.
    pub(crate) fn lingering(&self) -> usize {
        lock(&self.lingering).streams.len()
    }

    /// A place for the inner body of `stream`, which may not be there yet, or the limit that leaves none. There is none
    /// either once nobody can come back any more.
    pub(crate) fn permit_linger(
        self: &Arc<Self>,
        owner: Option<u128>,
        limits: &Limits,
        stream: Weak<Stream>,
    ) -> Result<LingerPermit, Option<LimitKind>> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(None);
        }
        let mut lingering = lock(&self.lingering);
        if let Some(full) = lingering.full(owner, limits) {
            return Err(Some(full));
        }
        let number = lingering.next;
        lingering.next += 1;
        lingering.streams.insert(number, stream);
        *lingering.by_owner.entry(owner).or_default() += 1;
        Ok(LingerPermit { registry: Arc::clone(self), owner, number })
    }

    /// The streams whose inner bodies have been read on longest without a client, at most so many.
    pub(crate) fn longest_lingering(&self, most: usize) -> Vec<Arc<Stream>> {
        let lingering = lock(&self.lingering);
        lingering.streams.values().filter_map(Weak::upgrade).take(most).collect()
    }
}

impl Drop for LingerPermit {
    fn drop(&mut self) {
        let mut lingering = lock(&self.registry.lingering);
        lingering.streams.remove(&self.number);
        if let Some(count) = lingering.by_owner.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                lingering.by_owner.remove(&self.owner);
            }
        }
    }
}
