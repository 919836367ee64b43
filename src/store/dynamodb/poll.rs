//! Looks for news of those streams that somebody in this process waits for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::item::{Item, Place};
use super::streams::Streams;
use crate::jitter::jitter;
use crate::store::{Error, ErrorKind, Key};

/// A task that looks as long as this lives.
pub(super) struct Poll {
    task: JoinHandle<()>,
    somebody: Arc<Notify>,
}

/// What changes when a stream has news.
#[derive(PartialEq, Eq)]
struct Seen {
    life: String,
    state: i64,
    generation: u32,
    next: u64,
}

/// How many times more rarely it is looked while news comes by itself.
const TOLD: u32 = 10;
const ATTRIBUTES: [&str; 4] = ["life", "state", "generation", "next"];

impl Poll {
    pub(super) fn start(streams: &Arc<Streams>, interval: Duration) -> Self {
        let somebody = Arc::new(Notify::new());
        let polling = poll(Arc::downgrade(streams), Arc::clone(&somebody), interval);
        Self { task: tokio::spawn(polling), somebody }
    }

    /// Somebody waits.
    pub(super) fn begin(&self) {
        self.somebody.notify_one();
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(streams: Weak<Streams>, somebody: Arc<Notify>, interval: Duration) {
    let mut seen = HashMap::new();
    loop {
        let Some(streams) = streams.upgrade() else { return };
        let waited_for = streams.wakeups.waited_for();
        if waited_for.is_empty() {
            seen.clear();
            drop(streams);
            somebody.notified().await;
            continue;
        }
        // While nothing is reached, they wait on. Of all else they are told when they look by themselves.
        if let Err(error) = look(&streams, waited_for, &mut seen).await {
            if error.kind() != ErrorKind::Unreachable {
                streams.wakeups.wake_all();
            }
        }
        let every = if streams.is_told() { interval.saturating_mul(TOLD) } else { interval };
        drop(streams);
        sleep(jitter(every, 0.5)).await;
    }
}

/// Looks at these streams, and wakes those who wait for one that is not as it was seen before.
async fn look(
    streams: &Streams,
    waited_for: Vec<Key>,
    seen: &mut HashMap<Key, Option<Seen>>,
) -> Result<(), Error> {
    let places: Vec<Place> = waited_for.iter().map(|stream| streams.place(stream)).collect();
    let mut heads = streams.server.glance(&places, &ATTRIBUTES).await?;
    let mut now = HashMap::new();
    for (stream, place) in waited_for.into_iter().zip(&places) {
        let head = heads.remove(place).map(|item| Seen::of(&item)).transpose()?;
        if seen.get(&stream) != Some(&head) {
            streams.wakeups.wake(&stream);
        }
        now.insert(stream, head);
    }
    *seen = now;
    Ok(())
}

impl Seen {
    fn of(item: &Item) -> Result<Self, Error> {
        Ok(Self {
            life: item.text("life")?.to_owned(),
            state: item.number("state")?,
            generation: item.number("generation")?,
            next: item.number("next")?,
        })
    }
}
