//! What a reconnect means: event IDs, positions, and the decisions about them. Pure: no I/O, no clock.

pub(crate) mod event_id;
pub(crate) mod gap;
pub(crate) mod keys;
pub(crate) mod plan;
pub(crate) mod position;
mod retention;
pub(crate) mod seam;

pub use event_id::{InvalidMarker, Marker};
pub use gap::{Gap, GapReason};
pub use retention::Retention;
