//! How long an event takes that comes alone: to a client of the instance that produces it, and of another one.

use std::time::{Duration, Instant};

use tower_sse_resume::Durability;

use super::engines::Engine;
use super::instance::{Instance, persistence};
use super::{EVENT, event};
use ::support::random::Random;

/// From when the inner body says an event on one instance until a client of another one has it.
pub async fn wakeups(engine: &Engine, delay: Duration, rounds: usize) -> Vec<Duration> {
    let mut producer =
        Instance::start(Some(persistence(engine.connect().await).batch_delay(delay)));
    let mut other = Instance::start(Some(persistence(engine.connect().await)));
    let (speaker, mut here) = producer.open().await;
    speaker.say(event(EVENT));
    here.read_events(1).await;
    let mut there = other.resume(&here.from).await;
    there.read_events(1).await;
    here.read_on();
    let (mut pauses, mut times) = (Pauses::new(), Vec::new());
    for _ in 0..rounds {
        pauses.pause().await;
        let begun = Instant::now();
        speaker.say(event(EVENT));
        there.read_events(1).await;
        times.push(begun.elapsed());
    }
    times
}

/// From when the inner body says an event until a client of the same instance has it.
pub async fn latencies(engine: &Engine, durability: Durability, rounds: usize) -> Vec<Duration> {
    let persistence = persistence(engine.connect().await).durability(durability);
    let mut producer = Instance::start(Some(persistence));
    let (speaker, mut client) = producer.open().await;
    speaker.say(event(EVENT));
    client.read_events(1).await;
    let (mut pauses, mut times) = (Pauses::new(), Vec::new());
    for _ in 0..rounds {
        pauses.pause().await;
        let begun = Instant::now();
        speaker.say(event(EVENT));
        client.read_events(1).await;
        times.push(begun.elapsed());
    }
    times
}

/// Pauses after which all is calm, and that keep step with no timer.
struct Pauses(Random);

impl Pauses {
    fn new() -> Self {
        Self(Random::new(1))
    }

    async fn pause(&mut self) {
        let pause = Duration::from_micros(self.0.within(4_000..9_000));
        tokio::task::spawn_blocking(move || std::thread::sleep(pause)).await.unwrap();
    }
}
