//! The whole layer against the reference parser: whatever an inner service says, in whatever pieces, in each mode of
//! the layer, its clients dispatch what they would have dispatched without the layer, though they are cut at any byte.
//!
//! `SSE_RESUME_DIFFERENTIAL` sets how many cases are run; `SSE_RESUME_SEED` runs one, and tells what happens.

mod case;
mod client;
mod formless;
mod inner;
mod mode;
mod script;
mod spoken;

use support::seeds;

/// Of each of the two kinds.
const CASES: u64 = 10_000;

#[test]
fn clients_dispatch_what_an_inner_service_says_whatever_bytes_that_is() {
    seeds::run("SSE_RESUME_DIFFERENTIAL", CASES, case::formless);
}

#[test]
fn clients_dispatch_each_event_of_a_service_that_goes_on_from_its_ids_once_and_in_order() {
    seeds::run("SSE_RESUME_DIFFERENTIAL", CASES, case::spoken);
}
