//! The feature `tracing`: what happens in the layer as events of that crate.

use ::tracing::{debug, info, warn};

use crate::layer::SseResumeLayer;
use crate::observer::Observation;

const TARGET: &str = "tower_sse_resume";

impl SseResumeLayer {
    /// Tells what happens as events of the crate `tracing`, with the target `tower_sse_resume`. Default: nothing is
    /// told.
    ///
    /// | level | message | fields |
    /// |---|---|---|
    /// | `DEBUG` | `stream opened` | |
    /// | `DEBUG` | `stream resumed` | `events` |
    /// | `INFO` | `resume missed` | |
    /// | `INFO` | `gap` | `reason`, `missed` where it is known |
    /// | `DEBUG` | `duplicates skipped` | `events` |
    /// | `WARN` | `streams evicted` | `streams` |
    /// | `WARN` | `limit reached` | `limit` |
    /// | `DEBUG` | `linger began` | |
    /// | `DEBUG` | `linger ended` | `resumed` |
    /// | `WARN` | `held back` | |
    /// | `INFO` | `stream taken over` | |
    /// | `INFO` | `slow reader` | |
    /// | `WARN` | `oversize frame` | |
    /// | `WARN` | `no room for a stream` | |
    /// | `WARN` | `events not stored` | `events` |
    /// | `WARN` | `store away` | |
    /// | `INFO` | `store back` | |
    /// | `WARN` | `superseded` | |
    ///
    /// [`Observation`] says what each means. No field holds data of users.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().trace();
    /// ```
    #[must_use]
    pub fn trace(self) -> Self {
        self.observe(trace)
    }
}

fn trace(observation: &Observation) {
    match *observation {
        Observation::Opened => debug!(target: TARGET, "stream opened"),
        Observation::Resumed { events } => debug!(target: TARGET, events, "stream resumed"),
        Observation::Missed => info!(target: TARGET, "resume missed"),
        Observation::Gap { reason, missed } => {
            info!(target: TARGET, reason = reason.as_str(), missed, "gap");
        }
        Observation::DuplicatesSkipped { events } => {
            debug!(target: TARGET, events, "duplicates skipped");
        }
        Observation::Evicted { streams } => warn!(target: TARGET, streams, "streams evicted"),
        Observation::LimitReached { limit } => {
            warn!(target: TARGET, limit = limit.as_str(), "limit reached");
        }
        Observation::LingerBegan => debug!(target: TARGET, "linger began"),
        Observation::LingerEnded { resumed } => debug!(target: TARGET, resumed, "linger ended"),
        Observation::HeldBack => warn!(target: TARGET, "held back"),
        Observation::TakenOver => info!(target: TARGET, "stream taken over"),
        Observation::SlowReader => info!(target: TARGET, "slow reader"),
        Observation::OversizeFrame => warn!(target: TARGET, "oversize frame"),
        Observation::Refused => warn!(target: TARGET, "no room for a stream"),
        Observation::NotStored { events } => warn!(target: TARGET, events, "events not stored"),
        Observation::StoreAway => warn!(target: TARGET, "store away"),
        Observation::StoreBack => info!(target: TARGET, "store back"),
        Observation::Superseded => warn!(target: TARGET, "superseded"),
    }
}
