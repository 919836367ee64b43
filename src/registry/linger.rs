//! How many inner bodies are read on without a client.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Registry, lock};
use crate::config::Limits;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Lingering {
    all: usize,
    by_owner: HashMap<Option<u128>, usize>,
}

/// The right to read an inner body on without a client.
pub(crate) struct LingerPermit {
    registry: Arc<Registry>,
    owner: Option<u128>,
}

impl Registry {
    /// How many inner bodies are read on without a client.
    pub(crate) fn lingering(&self) -> usize {
        lock(&self.lingering).all
    }

    pub(crate) fn permit_linger(
        self: &Arc<Self>,
        owner: Option<u128>,
        limits: &Limits,
    ) -> Option<LingerPermit> {
        let mut lingering = lock(&self.lingering);
        let of_owner = lingering.by_owner.get(&owner).copied().unwrap_or_default();
        // Requests without an owner are not one owner: only the limit of all counts for them.
        let owner_is_full = owner.is_some() && of_owner >= limits.lingering_per_owner;
        if lingering.all >= limits.lingering || owner_is_full {
            return None;
        }
        lingering.all += 1;
        *lingering.by_owner.entry(owner).or_default() += 1;
        Some(LingerPermit { registry: Arc::clone(self), owner })
    }
}

impl Drop for LingerPermit {
    fn drop(&mut self) {
        let mut lingering = lock(&self.registry.lingering);
        lingering.all -= 1;
        if let Some(count) = lingering.by_owner.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                lingering.by_owner.remove(&self.owner);
            }
        }
    }
}
