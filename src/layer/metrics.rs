//! The feature `metrics`: what happens in the layer as counters of that crate.

use ::metrics::counter;

use crate::layer::SseResumeLayer;
use crate::observer::Observation;

impl SseResumeLayer {
    /// Counts what happens with the crate `metrics`, in whatever recorder is installed. Default: nothing is counted.
    ///
    /// | counter | labels | counts |
    /// |---|---|---|
    /// | `sse_resume_streams_opened_total` | | responses that became resumable streams |
    /// | `sse_resume_resumes_total` | `result`: `hit`, `miss` | clients that came back |
    /// | `sse_resume_replayed_events_total` | | events that were there for them when they came |
    /// | `sse_resume_gaps_total` | `reason`: as in [`GapReason`](crate::GapReason) | gaps that clients were told |
    /// | `sse_resume_missed_events_total` | `reason`: the same | events in them, where that is known |
    /// | `sse_resume_duplicates_skipped_total` | | events that the inner service sent again |
    /// | `sse_resume_streams_evicted_total` | | streams that made room for others |
    /// | `sse_resume_limits_reached_total` | `limit`: as in [`LimitKind`](crate::LimitKind) | limits that were reached |
    /// | `sse_resume_lingers_begun_total` | | streams whose last client left |
    /// | `sse_resume_lingers_ended_total` | `resumed`: `true`, `false` | those that a client came back to, or not |
    /// | `sse_resume_held_back_total` | | lingers in which the inner body was held back |
    /// | `sse_resume_takeovers_total` | | aborted streams that a new call went on with |
    /// | `sse_resume_slow_readers_total` | | readers that fell behind the history |
    /// | `sse_resume_oversize_frames_total` | | frames that were too large to be recorded |
    /// | `sse_resume_refused_total` | | responses that passed because there was no room |
    /// | `sse_resume_not_stored_events_total` | | events that the store came too late for |
    /// | `sse_resume_store_outages_total` | `state`: `began`, `ended` | outages of the store |
    /// | `sse_resume_superseded_total` | | streams that another instance has taken over from this one |
    ///
    /// Labels have no other values than these, so their number is bounded, and none holds data of users. For gauges,
    /// read [`LayerHandle::stats`](crate::LayerHandle::stats) as often as you like.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().metrics();
    /// ```
    #[must_use]
    pub fn metrics(self) -> Self {
        self.observe(count)
    }
}

fn count(observation: &Observation) {
    match *observation {
        Observation::Opened => counter!("sse_resume_streams_opened_total").increment(1),
        Observation::Resumed { events } => {
            counter!("sse_resume_resumes_total", "result" => "hit").increment(1);
            counter!("sse_resume_replayed_events_total").increment(events);
        }
        Observation::Missed => {
            counter!("sse_resume_resumes_total", "result" => "miss").increment(1);
        }
        Observation::Gap { reason, missed } => {
            let reason = reason.as_str();
            counter!("sse_resume_gaps_total", "reason" => reason).increment(1);
            let missed = missed.unwrap_or_default();
            counter!("sse_resume_missed_events_total", "reason" => reason).increment(missed);
        }
        Observation::DuplicatesSkipped { events } => {
            counter!("sse_resume_duplicates_skipped_total").increment(events);
        }
        Observation::Evicted { streams } => {
            counter!("sse_resume_streams_evicted_total").increment(streams);
        }
        Observation::LimitReached { limit } => {
            counter!("sse_resume_limits_reached_total", "limit" => limit.as_str()).increment(1);
        }
        Observation::LingerBegan => counter!("sse_resume_lingers_begun_total").increment(1),
        Observation::LingerEnded { resumed } => {
            let resumed = if resumed { "true" } else { "false" };
            counter!("sse_resume_lingers_ended_total", "resumed" => resumed).increment(1);
        }
        Observation::HeldBack => counter!("sse_resume_held_back_total").increment(1),
        Observation::TakenOver => counter!("sse_resume_takeovers_total").increment(1),
        Observation::SlowReader => counter!("sse_resume_slow_readers_total").increment(1),
        Observation::OversizeFrame => counter!("sse_resume_oversize_frames_total").increment(1),
        Observation::Refused => counter!("sse_resume_refused_total").increment(1),
        Observation::NotStored { events } => {
            counter!("sse_resume_not_stored_events_total").increment(events);
        }
        Observation::StoreAway => {
            counter!("sse_resume_store_outages_total", "state" => "began").increment(1);
        }
        Observation::StoreBack => {
            counter!("sse_resume_store_outages_total", "state" => "ended").increment(1);
        }
        Observation::Superseded => counter!("sse_resume_superseded_total").increment(1),
    }
}
