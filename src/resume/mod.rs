//! What a reconnect means: event IDs, positions, and the decisions about them. Pure: no I/O, no clock.

#[allow(dead_code, unused_imports)]
pub(crate) mod event_id;
pub(crate) mod gap;
#[allow(dead_code)]
pub(crate) mod keys;
#[allow(dead_code)]
pub(crate) mod position;
#[allow(dead_code)]
pub(crate) mod seam;
