//! What it costs that a live event goes into a store, too.

use std::time::Duration;

use tower::Layer;
use tower_sse_resume::SseResumeLayer;
use tower_sse_resume::store::MemoryStore;

use super::EVENT;
use super::instance::persistence;
use super::support::source::{Sources, answer, event, read};
use super::thread::{Alone, Cost};

/// After so many events a stream's history is full.
const WARM: usize = 1_100;
/// The writer has written all by then.
const PAUSE: Duration = Duration::from_millis(4);

/// Streams that all say some events, then nothing for a while.
#[derive(Clone, Copy)]
pub struct Shape {
    pub streams: usize,
    pub events: usize,
    pub rounds: usize,
}

impl Shape {
    pub fn all_events(self) -> usize {
        self.streams * self.events * self.rounds
    }
}

/// What all events take.
pub fn live(shape: Shape, with_store: bool) -> Cost {
    let alone = Alone::new();
    let layer = SseResumeLayer::new();
    let layer = if with_store { layer.store(persistence(MemoryStore::new())) } else { layer };
    let mut service = layer.layer(Sources { piece: event(EVENT), burst: 1 });
    let mut bodies = alone.run(async {
        let open = |_| Box::pin(answer(&mut service, None).into_body());
        (0..shape.streams).map(open).collect::<Vec<_>>()
    });
    let mut say = async |events: usize, rounds: usize| {
        for _ in 0..rounds {
            for body in &mut bodies {
                // Each event is followed by a poll that finds nothing.
                (0..events).for_each(|_| _ = read(body.as_mut(), 1));
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    alone.run(say(WARM / 10, 10));
    let cost = alone.cost(say(shape.events, shape.rounds));
    let stats = layer.handle().stats();
    assert_eq!(stats.not_stored, 0);
    assert!(!with_store || stats.stored >= shape.all_events() as u64, "it was stored meanwhile");
    cost
}
