//! What holds of arbitrary streams, cuts, configurations and schedules.

#[cfg(feature = "mcp")]
mod differential;
mod event_stream_format;
mod exactly_once;
mod line_endings;
mod reconnect_cuts;
mod simulation;
mod stress;
