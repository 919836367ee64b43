//! What a simulation is made of, by its seed: the layer's configuration, the inner service's habits, and what goes wrong.

use std::time::Duration;

use tower_sse_resume::Durability;

use support::random::Random;

/// Milliseconds.
pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) commits_first: bool,
    pub(crate) refuses_in_outages: bool,
    pub(crate) lease: Duration,
    pub(crate) outage_timeout: Duration,
    pub(crate) batch_bytes: usize,
    pub(crate) linger: Option<Duration>,
    pub(crate) small_retention: bool,
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) instances: usize,
    pub(crate) topics: Vec<Topic>,
    pub(crate) chaos: Chaos,
    /// When the last disturbance ends.
    pub(crate) calm_at: Duration,
}

/// What the inner service says on one path, to whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) has_ids: bool,
    /// How many events there are in all, or where there are no IDs, in each answer.
    pub(crate) events: u64,
    /// The longest time between two of them.
    pub(crate) pause: Duration,
    /// Whether some come at once.
    pub(crate) bursts: bool,
    /// After how many events there is a place that a call can go on from.
    pub(crate) checkpoints: u64,
    /// How often answers end early, in 1,000 events, until it is calm.
    pub(crate) fails: u64,
    pub(crate) ends: u64,
    /// How often calls are answered with an error, in 1,000, until it is calm.
    pub(crate) refuses: u64,
}

/// What goes wrong.
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Chaos {
    /// The longest time between two disturbances.
    pub(crate) pause: Duration,
    pub(crate) crashes: bool,
    pub(crate) pauses: bool,
    pub(crate) partitions: bool,
    pub(crate) outages: bool,
    pub(crate) lost: bool,
    pub(crate) late: bool,
    pub(crate) delay: u64,
    pub(crate) drains: bool,
    pub(crate) purges: bool,
    /// Clients that go on from where another one was.
    pub(crate) forks: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x51D0_5EED);
        let small_retention = random.one_in(3);
        let mut chaos = Chaos {
            pause: ms(random.pick(&[200, 800, 2500])),
            crashes: random.one_in(2),
            pauses: random.one_in(3),
            partitions: random.one_in(3),
            outages: random.one_in(5),
            lost: random.one_in(3),
            late: random.one_in(4),
            delay: random.pick(&[0, 0, 3, 40, 300]),
            drains: random.one_in(4),
            purges: random.one_in(8),
            forks: random.one_in(2),
        };
        if seed < 200 {
            // The first ones are simple.
            chaos =
                Chaos { crashes: true, forks: seed % 2 == 0, pause: ms(2000), ..Chaos::default() };
        }
        let commits_first = random.one_in(2);
        let topics = (0..random.within(1..4))
            .map(|_| Topic {
                has_ids: !random.one_in(3),
                events: random.pick(&[3, 12, 40]),
                pause: ms(random.pick(&[5, 60, 500])),
                bursts: random.one_in(3),
                // What a store has dropped cannot be known again elsewhere.
                checkpoints: if small_retention { 1 } else { random.pick(&[1, 1, 4]) },
                fails: random.pick(&[0, 0, 30]),
                ends: random.pick(&[0, 0, 30]),
                refuses: random.pick(&[0, 0, 200]),
            })
            .collect();
        Self {
            seed,
            commits_first,
            refuses_in_outages: random.one_in(5),
            lease: ms(random.pick(&[300, 1000, 6000])),
            outage_timeout: ms(random.pick(&[500, 3000])),
            batch_bytes: random.pick(&[1_usize, 300, 1 << 20]),
            linger: random.pick(&[None, Some(300), Some(3000), Some(20_000)]).map(ms),
            small_retention,
            events: if small_retention { random.within(1..12) } else { 10_000 },
            bytes: if small_retention { random.pick(&[200, 1 << 20]) } else { 1 << 20 },
            age: ms(if small_retention { random.pick(&[2000, 10_000, 60_000]) } else { 150_000 }),
            instances: random.within(1..4) as usize,
            topics,
            chaos,
            calm_at: ms(random.pick(&[3000, 10_000, 25_000])),
        }
    }

    pub(crate) fn durability(&self) -> Durability {
        if self.commits_first { Durability::CommitFirst } else { Durability::WriteBehind }
    }

    /// Whether no client with an ID of the inner service has any reason to miss anything.
    pub(crate) fn is_whole(&self) -> bool {
        let Chaos { pauses, partitions, outages, lost, late, purges, .. } = self.chaos;
        !(self.small_retention || pauses || partitions || outages || lost || late || purges)
    }
}
