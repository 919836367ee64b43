//! Makes room: for bytes, and for new streams.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Full, Registry, lock};
use crate::config::Config;
use crate::observer::Observation;
use crate::stream::{EvictionClass, Stream};

type Ordered = Vec<(EvictionClass, Arc<Stream>)>;

impl Registry {
    /// Makes room until the streams hold a sixteenth less than they may, so that this is seldom.
    #[cold]
    pub(super) fn relieve(&self, bytes: isize, config: &Config) {
        let limit = config.limits.bytes;
        let Some(turn) = self.relief.turn(bytes, limit) else { return };
        let goal = limit - limit / 16;
        let mut evicted = 0;
        for (class, stream) in self.in_order_of_eviction() {
            if self.bytes() <= goal {
                break;
            }
            // Where the last event of a live stream is kept, so is its place.
            let keeps_place = match class {
                EvictionClass::Read => true,
                EvictionClass::Unread => config.rules.keeps_last,
                EvictionClass::Aborted | EvictionClass::Finished => false,
            };
            if keeps_place {
                while self.bytes() > goal && stream.give_up_oldest() {}
            } else {
                self.remove(&stream);
                stream.purge();
                evicted += 1;
            }
        }
        let left = self.bytes();
        turn.end(left as isize, left > goal);
        tell(config, evicted);
    }

    /// Makes room for a new stream where a limit on their number leaves none. Returns whether there may be some now.
    pub(super) fn make_room(&self, stream: &Stream) -> bool {
        let victims = {
            // Who comes at the same time finds what is left of the room that was made for the one before.
            let _one_after_the_other = lock(&self.eviction);
            let Err(full) = lock(&self.streams).check(stream) else { return true };
            let victims = self.victims(full, &stream.config);
            for victim in &victims {
                self.remove(victim);
            }
            victims
        };
        victims.iter().for_each(Stream::purge);
        tell(&stream.config, victims.len() as u64);
        !victims.is_empty()
    }

    /// Which streams make room; none of them has a reader.
    fn victims(&self, full: Full, config: &Config) -> Vec<Arc<Stream>> {
        let limits = &config.limits;
        let order = self.in_order_of_eviction();
        match full {
            Full::Streams => first(order, limits.streams / 64, |_| true),
            Full::Session(session) => {
                let is_of_it = |stream: &Stream| stream.origin.binding.session == Some(session);
                first(order, limits.streams_per_session / 64, is_of_it)
            }
            Full::Sessions => of_an_idle_session(order),
        }
    }

    /// Finished, aborted, unread, read; among equals those of the owner with most bytes first.
    fn in_order_of_eviction(&self) -> Ordered {
        let mut owners: HashMap<Option<u128>, usize> = HashMap::new();
        let mut order: Vec<_> =
            self.all().into_iter().map(|stream| (stream.weight(), stream)).collect();
        for ((_, bytes), stream) in &order {
            *owners.entry(stream.origin.binding.owner).or_default() += bytes;
        }
        order.sort_by_key(|((class, bytes), stream)| {
            let of_owner = owners.get(&stream.origin.binding.owner).copied().unwrap_or_default();
            (*class, std::cmp::Reverse(of_owner), std::cmp::Reverse(*bytes))
        });
        order.into_iter().map(|((class, _), stream)| (class, stream)).collect()
    }
}

/// The first `count` of `which` streams, but at least one.
fn first(order: Ordered, count: usize, which: impl Fn(&Stream) -> bool) -> Vec<Arc<Stream>> {
    let unread = order.into_iter().filter(|(class, _)| *class != EvictionClass::Read);
    let streams = unread.map(|(_, stream)| stream).filter(|stream| which(stream));
    streams.take(count.max(1)).collect()
}

/// All streams of the first session in which nobody reads.
fn of_an_idle_session(order: Ordered) -> Vec<Arc<Stream>> {
    let session = |stream: &Stream| stream.origin.binding.session;
    let is_read = |(class, _): &&(EvictionClass, _)| *class == EvictionClass::Read;
    let read: HashSet<_> =
        order.iter().filter(is_read).filter_map(|(_, stream)| session(stream)).collect();
    let mut sessions = order.iter().filter_map(|(_, stream)| session(stream));
    let Some(idle) = sessions.find(|session| !read.contains(session)) else { return Vec::new() };
    let streams = order.into_iter().map(|(_, stream)| stream);
    streams.filter(|stream| session(stream) == Some(idle)).collect()
}

fn tell(config: &Config, evicted: u64) {
    if evicted > 0 {
        config.observer.tell(Observation::Evicted { streams: evicted });
    }
}
