//! How long this instance was in contact with the store, and what that lets it do.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::storage::Storage;
use crate::jitter::jitter;
use crate::registry::Registry;
use crate::store::Store;

/// The store is swept no more often than this.
const SHORTEST_SWEEP: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Contact {
    /// Since when every renewal has succeeded.
    since: Option<Instant>,
    /// Until when the last one holds, seen from here: the store's clock began later.
    until: Option<Instant>,
}

impl Contact {
    /// A renewal that began at `begun` was answered.
    pub(super) fn renewed(&mut self, begun: Instant, lease: Duration) {
        if !self.holds(begun) {
            self.since = Some(begun);
        }
        self.until = Some(begun + lease);
    }

    /// A renewal has failed.
    pub(super) fn failed(&mut self) {
        self.since = None;
    }

    /// Whether the lease holds at `now`.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.since.is_some() && self.until.is_some_and(|until| now < until)
    }

    /// Whether this instance may go on with what another one's lapsed lease has left: once it has had contact for a
    /// whole lease. After an outage of the store the others get so long to renew theirs.
    pub(super) fn may_claim(&self, now: Instant, lease: Duration) -> bool {
        let long = self.since.is_some_and(|since| now.saturating_duration_since(since) >= lease);
        long && self.holds(now)
    }
}

/// Renews the lease and sweeps the store, as long as the layer or one of its streams is there.
pub(super) async fn keep(storage: Arc<Storage>, registry: Weak<Registry>, age: Duration) {
    let lease = storage.options.lease;
    let sweep_each = (age / 4).max(SHORTEST_SWEEP);
    let mut sweep_at = Instant::now() + jitter(sweep_each, 1.0);
    loop {
        let is_renewed = storage.renew().await;
        let now = Instant::now();
        if is_renewed && now >= sweep_at {
            // What one sweep leaves, the next one takes.
            let _ = storage.call(storage.store.sweep()).await;
            sweep_at = now + jitter(sweep_each, 0.25);
        }
        let pause = if is_renewed { lease / 3 } else { lease / 15 };
        sleep(jitter(pause, 0.1)).await;
        if registry.strong_count() == 0 {
            // Nothing here is produced any more.
            storage.give_up_lease().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    #[test]
    fn nothing_is_claimed_before_a_whole_lease_of_contact() {
        let begun = Instant::now();
        let mut contact = Contact::default();
        assert!(!contact.may_claim(begun, LEASE));
        for second in [0, 5, 10] {
            contact.renewed(begun + Duration::from_secs(second), LEASE);
        }
        assert!(!contact.may_claim(begun + Duration::from_secs(14), LEASE));
        assert!(contact.may_claim(begun + LEASE, LEASE));
    }

    #[test]
    fn a_failure_or_a_pause_begins_it_anew() {
        let begun = Instant::now();
        let later = |seconds| begun + Duration::from_secs(seconds);
        let mut contact = Contact::default();
        contact.renewed(begun, LEASE);
        contact.renewed(later(12), LEASE);
        contact.failed();
        contact.renewed(later(16), LEASE);
        assert!(contact.holds(later(17)) && !contact.may_claim(later(17), LEASE));
        assert!(!contact.holds(later(31)), "it was not renewed");
        contact.renewed(later(40), LEASE);
        assert!(!contact.may_claim(later(41), LEASE), "it was paused");
        contact.renewed(later(50), LEASE);
        assert!(contact.may_claim(later(55), LEASE));
    }
}
