//! What a replay costs that is read from the store, against one from memory.

use std::time::{Duration, Instant};

use tower_sse_resume::Durability;

use super::engines::Engine;
use super::instance::{Client, Instance, Speaker, persistence};
use super::{EVENT, event};

pub const EVENTS: usize = 1_000;

/// Times of replays.
pub struct Replays {
    pub from_store: Vec<Duration>,
    pub from_memory: Vec<Duration>,
}

/// How the events went into the store.
#[derive(Clone, Copy)]
pub enum Written {
    AtOnce,
    OneByOne,
}

pub async fn replays(engine: &Engine, written: Written, rounds: usize) -> Replays {
    let durability = match written {
        Written::AtOnce => Durability::WriteBehind,
        Written::OneByOne => Durability::CommitFirst,
    };
    let persistence = |store| persistence(store).durability(durability).batch_delay(Duration::ZERO);
    let mut producer = Instance::start(Some(persistence(engine.connect().await)));
    let mut other = Instance::start(Some(persistence(engine.connect().await)));
    let (speaker, mut client) = producer.open().await;
    let bytes = write(written, &speaker, &mut client).await;
    producer.has_stored(EVENTS as u64).await;
    let from = client.from.clone();
    client.read_on();
    let (mut from_store, mut from_memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        from_store.push(replay(&mut other, &from, bytes).await);
        // It has read the store for nobody else.
        while other.handle.stats().streams > 0 {
            tokio::task::yield_now().await;
        }
        from_memory.push(replay(&mut producer, &from, bytes).await);
    }
    Replays { from_store, from_memory }
}

/// Returns how many bytes a client gets.
async fn write(written: Written, speaker: &Speaker, client: &mut Client) -> usize {
    let mut bytes = 0;
    match written {
        Written::AtOnce => {
            (0..EVENTS).for_each(|_| speaker.say(event(EVENT)));
            bytes += client.read_events(EVENTS).await;
        }
        Written::OneByOne => {
            for _ in 0..EVENTS {
                speaker.say(event(EVENT));
                bytes += client.read_events(1).await;
            }
        }
    }
    bytes
}

/// From the request to the last byte.
async fn replay(instance: &mut Instance, from: &str, bytes: usize) -> Duration {
    let begun = Instant::now();
    let mut client = instance.resume(from).await;
    client.read_bytes(bytes).await;
    begun.elapsed()
}
