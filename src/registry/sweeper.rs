//! Keeps time for all streams, idle ones too: one task, and only while there are streams.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Registry, Streams, lock};
use crate::config::Config;
use crate::time;

/// The sweeper comes no more often than this, however short the age is.
const SHORTEST_TICK: Duration = Duration::from_millis(5);

impl Registry {
    /// Starts the sweeper, if there is none: the last one may have gone with its runtime.
    pub(super) fn ensure_sweeper(self: &Arc<Self>, streams: &mut Streams, config: &Config) {
        if streams.sweeper.as_ref().is_some_and(|sweeper| !sweeper.is_finished()) {
            return;
        }
        if let Some(runtime) = time::runtime() {
            let tick = config.rules.retention.seal_age().max(SHORTEST_TICK);
            let sweeper = runtime.spawn(sweep(Arc::downgrade(self), tick));
            streams.sweeper = Some(sweeper.abort_handle());
        }
    }

    /// Does what time brings. Returns whether there is nothing left to sweep; then the sweeper must stop.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        for stream in self.all() {
            if stream.sweep(now) {
                self.remove(&stream);
            }
        }
        let mut streams = lock(&self.streams);
        let is_done = streams.len() == 0;
        if is_done {
            streams.sweeper = None;
        }
        is_done
    }
}

async fn sweep(registry: Weak<Registry>, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match registry.upgrade() {
            Some(registry) if !registry.sweep() => {}
            _ => return,
        }
    }
}
