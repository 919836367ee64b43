//! The promise: each client sees every event exactly once, in order, byte for byte, or is told what is missing.
//!
//! Random scripts of an inner service, split at random bytes, read by clients that are cut at random bytes and come
//! back after random times, under a random configuration, held against a model that parses what the inner service said
//! by itself. `SSE_RESUME_CASES` sets how many cases are run; `SSE_RESUME_SEED` runs one, and tells what happens.

#![allow(clippy::cast_possible_wrap, reason = "offsets of a case are small")]

mod case;
mod client;
mod frames;
mod inner;
mod oracle;
mod random;
mod truth;

use support::seeds;

const CASES: u64 = 100_000;

#[test]
fn each_client_sees_every_event_exactly_once_or_is_told_what_is_missing() {
    seeds::run("SSE_RESUME_CASES", CASES, case::run);
}
