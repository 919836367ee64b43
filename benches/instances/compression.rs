//! What compression saves, and what it costs.

use std::time::Duration;

use tower_sse_resume::store::{AnyStore, MemoryStore};
use tower_sse_resume::{Durability, Persistence};

use super::instance::{Instance, persistence};
use super::payloads::Payloads;
use super::support::counting::{Appended, CountingStore};
use super::thread::{Alone, Cost};

/// What was stored of some payloads.
pub struct Stored {
    pub sent: u64,
    pub appended: Appended,
    pub cost: Cost,
}

/// Stores all payloads so often, `batch` events at a time: a batch is in the store before the next one comes.
pub fn store(payloads: &Payloads, level: Option<i32>, batch: usize, times: usize) -> Stored {
    let store = CountingStore::new(AnyStore::new(MemoryStore::new()));
    let persistence =
        persistence(store.clone()).durability(Durability::CommitFirst).batch_delay(Duration::ZERO);
    let alone = Alone::new();
    let (mut sent, payloads) = (0, &payloads.events);
    let (speaker, mut client, _instance) = alone.run(async {
        let persistence = level.into_iter().fold(persistence, Persistence::compression);
        let mut instance = Instance::start(Some(persistence));
        let (speaker, client) = instance.open().await;
        (speaker, client, instance)
    });
    let cost = alone.cost(async {
        for events in std::iter::repeat_n(payloads, times).flat_map(|all| all.chunks(batch)) {
            for event in events {
                speaker.say(event.clone());
            }
            sent += client.read_events(events.len()).await as u64;
        }
    });
    Stored { sent, appended: store.appended(), cost }
}
