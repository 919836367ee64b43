//! What happened, for metrics, traces and tests.

use std::fmt;
use std::sync::Arc;

use crate::config::LimitKind;
use crate::resume::GapReason;

/// Something that happened in the layer; see [`SseResumeLayer::observe`](crate::SseResumeLayer::observe). Has no data of
/// users: no IDs, names or addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observation {
    /// A response became a resumable stream.
    Opened,
    /// A client came back to a stream that is known.
    Resumed {
        /// How many events were there for it when it came.
        events: u64,
    },
    /// A client came back with an ID that is unknown, somebody else's, or malformed.
    Missed,
    /// A client was told that events are missing.
    Gap {
        /// Why.
        reason: GapReason,
        /// How many, where that is known.
        missed: Option<u64>,
    },
    /// Events that the inner service sent again were skipped.
    DuplicatesSkipped {
        /// How many.
        events: u64,
    },
    /// Streams were evicted to stay within the limits.
    Evicted {
        /// How many.
        streams: u64,
    },
    /// A limit was reached: streams had to make room, a new stream found none, or an inner body was dropped with its
    /// client rather than read on.
    LimitReached {
        /// Which one.
        limit: LimitKind,
    },
    /// A stream's last client left; its inner body is read on.
    LingerBegan,
    /// A client came back to such a stream, or its inner body ended or was dropped.
    LingerEnded {
        /// Whether a client came back in time.
        resumed: bool,
    },
    /// The inner body of a stream that nobody reads is held back, because what nobody has read yet takes as many bytes as
    /// it may. A source that cannot wait, such as a broadcast channel, loses events then that nobody is told of; see
    /// [`read_on`](crate::SseResumeLayer::read_on).
    HeldBack,
    /// The inner service was called again to go on with an aborted stream.
    TakenOver,
    /// A reader fell behind the history.
    SlowReader,
    /// A frame was too large to be recorded.
    OversizeFrame,
    /// A response passed as without the layer, because there was no room for a stream, or the store was to have it
    /// first and is away.
    Refused,
    /// Events that the store was too slow for, or away for too long for: whoever reads from there has a gap.
    NotStored {
        /// How many.
        events: u64,
    },
    /// The store does not answer.
    StoreAway,
    /// It answers again.
    StoreBack,
    /// Another instance has gone on with a stream of this one, which it could not reach for too long.
    Superseded,
}

/// Where observations go.
#[derive(Clone, Default)]
pub(crate) struct Observer(Vec<Callback>);

type Callback = Arc<dyn Fn(&Observation) + Send + Sync>;

impl Observer {
    pub(crate) fn add(&mut self, callback: impl Fn(&Observation) + Send + Sync + 'static) {
        self.0.push(Arc::new(callback));
    }

    /// Tells what happened. Never called under a lock of the layer.
    #[inline]
    pub(crate) fn tell(&self, observation: Observation) {
        for callback in &self.0 {
            callback(&observation);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.len()).finish()
    }
}
