//! Looks after the sessions from time to time: one task, for as long as the layer lives.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Keeper;
use super::keeper::within;
use super::purge::purge_owned;
use super::seen::Whose;
use crate::persistence::key_of_fingerprint;
use crate::registry::{Registry, Shared};
use crate::store::{Error, ErrorKind, SessionStore};
use crate::time;

const SHORTEST_TICK: Duration = Duration::from_millis(10);
const LONGEST_TICK: Duration = Duration::from_secs(300);

/// The owners of the streams of a session that are being read.
type Readers = Vec<Option<u128>>;

impl Keeper {
    /// Starts the sweeper, if there is none: the last one may have gone with its runtime.
    pub(super) fn ensure_sweeper(self: &Arc<Self>, layer: &Arc<Shared>) {
        let mut sweeper = self.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
        if sweeper.as_ref().is_some_and(|sweeper| !sweeper.is_finished()) {
            return;
        }
        if let Some(runtime) = time::runtime() {
            let tick = self.part().clamp(SHORTEST_TICK, LONGEST_TICK);
            let task = sweep(Arc::downgrade(self), Arc::downgrade(layer), tick);
            *sweeper = Some(runtime.spawn(task).abort_handle());
        }
    }

    pub(super) fn stop_sweeper(&mut self) {
        let sweeper = self.sweeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(sweeper) = sweeper.take() {
            sweeper.abort();
        }
    }

    /// Notes that sessions are used whose streams are being read, and lets go of those that are gone.
    async fn look_after(&self, registry: &Arc<Registry>) {
        let mut sessions: HashMap<u128, Readers> = HashMap::new();
        for stream in registry.all() {
            let binding = stream.origin.binding;
            let Some(session) = binding.session else { continue };
            let readers = sessions.entry(session).or_default();
            if stream.readers() > 0 && !readers.contains(&binding.owner) {
                readers.push(binding.owner);
            }
        }
        for (session, readers) in &sessions {
            // A store that cannot be reached is left alone until the next time.
            if within(self.look_at(*session, readers, registry)).await.is_err() {
                return;
            }
        }
        // After the uses were noted, lest one expires that is used.
        let _ = within(self.expire(registry)).await;
        self.seen.prune(self.part(), |session| sessions.contains_key(&session));
    }

    async fn look_at(
        &self,
        session: u128,
        readers: &Readers,
        registry: &Arc<Registry>,
    ) -> Result<(), Error> {
        let key = key_of_fingerprint(session);
        match self.store.session(&key).await {
            Ok(stored) => {
                let whose = Whose::of(&stored);
                let is_due = readers.iter().any(|owner| {
                    whose.is_for(*owner) && self.seen.is_due(session, *owner, self.part())
                });
                self.seen.know(session, whose);
                if is_due { self.store.touch(&key).await } else { Ok(()) }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.is_gone(session, registry);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Purges the streams of a session that was in the store and is not any more: another instance has ended it, or the
    /// store has removed it by itself.
    fn is_gone(&self, session: u128, registry: &Arc<Registry>) {
        let Some(whose) = self.seen.forget(session) else { return };
        purge_owned(registry, session, |owner| whose.is_for(owner));
    }
}

async fn sweep(keeper: Weak<Keeper>, layer: Weak<Shared>, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // While it is at it, it does not keep the layer alive, nor its streams.
        let registry = layer.upgrade().map(|layer| Arc::clone(&layer.registry));
        match (keeper.upgrade(), registry) {
            (Some(keeper), Some(registry)) => keeper.look_after(&registry).await,
            _ => return,
        }
    }
}
