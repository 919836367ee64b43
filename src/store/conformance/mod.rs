//! One suite for all stores: what [`Store`](super::Store) and [`SessionStore`](super::SessionStore) promise, as tests.
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each case, and so does
//! [`session_store_conformance!`](crate::session_store_conformance). Both take a name for the module of the tests, and an
//! expression that each test evaluates once: it gives an async closure that opens the store. The data behind it has to
//! be empty when a test begins. All that one closure opens share it, each call with a connection of its own, if the
//! store has such:
//!
//! ```
//! use tower_sse_resume::store::MemoryStore;
//!
//! /// A store for one test.
//! fn fresh() -> impl AsyncFn() -> MemoryStore {
//!     let store = MemoryStore::new();
//!     async move || store.clone()
//! }
//!
//! tower_sse_resume::store_conformance!(memory, fresh());
//! tower_sse_resume::session_store_conformance!(memory_sessions, fresh());
//! ```
//!
//! The cases run in real time, since the store's clock counts; none takes long. A case that waits for something waits
//! for at most a minute. What a suite cannot do for all stores is to kill the store's server: please do that yourself.

// A case fails by a panic.
#![allow(clippy::missing_panics_doc)]

pub mod concurrency;
pub mod ends;
pub mod events;
pub mod fencing;
mod given;
pub mod leases;
pub mod retention;
pub mod retries;
pub mod sessions;
pub mod wakeups;

use std::future::Future;

use given::PATIENCE;

/// Runs a case, in a runtime with threads.
#[doc(hidden)]
pub fn run(case: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let case = async { tokio::time::timeout(PATIENCE * 2, case).await };
    runtime.block_on(case).expect("the case ends in time");
}

/// Makes a module of tests that check a [`Store`](crate::store::Store); see [`store::conformance`](crate::store::conformance).
#[macro_export]
macro_rules! store_conformance {
    ($name:ident, $fresh:expr) => {
        $crate::conformance_cases! { $name, $fresh,
            events: events_come_back_in_order_byte_for_byte,
            events: pieces_come_back_as_they_were_cut,
            events: a_page_is_bounded_in_bytes_and_has_one_piece_at_least,
            events: a_page_begins_with_the_piece_that_holds_the_next_event,
            events: pages_one_after_the_other_give_all_events_once,
            events: a_hole_takes_offsets_and_says_why,
            events: streams_are_apart_from_each_other,
            events: progress_is_replaced_with_the_events_that_it_belongs_to,
            events: keys_may_have_any_bytes_and_the_full_length,
            events: an_event_of_one_mebibyte_is_kept,
            events: a_hundred_thousand_events_are_kept,
            events: the_largest_origin_and_progress_are_kept,
            fencing: an_append_never_creates_a_stream,
            fencing: a_stream_is_created_once,
            fencing: of_eight_who_create_one_does,
            fencing: a_stale_generation_is_refused,
            fencing: a_generation_that_was_not_claimed_is_refused,
            fencing: a_wrong_offset_is_refused,
            fencing: a_refused_entry_leaves_nothing_and_the_others_of_its_batch_are_stored,
            fencing: of_eight_writers_one_gets_each_offset,
            fencing: a_malformed_batch_is_not_written,
            ends: an_end_comes_with_the_last_events_and_nothing_follows,
            ends: an_end_may_come_alone,
            ends: a_purged_stream_stays_purged,
            ends: a_session_an_owner_or_all_are_purged,
            leases: a_stream_whose_producer_holds_its_lease_is_not_claimed,
            leases: a_stream_whose_producer_lapsed_is_claimed,
            leases: a_lease_lapses_by_the_clock_of_the_store,
            leases: an_aborted_stream_is_claimed_and_a_finished_one_is_not,
            leases: of_eight_who_claim_one_gets_it,
            leases: generations_say_where_they_begin_and_what_is_missing,
            leases: a_gap_may_turn_out_later,
            wakeups: an_append_on_another_connection_wakes_who_waits,
            wakeups: an_end_a_claim_and_a_purge_wake_who_waits,
            wakeups: who_waits_for_what_is_there_does_not_wait,
            wakeups: only_who_waits_for_the_stream_is_woken,
            wakeups: two_hundred_who_wait_are_all_woken,
            wakeups: who_gives_up_waiting_disturbs_nobody,
            retention: only_so_many_events_are_kept,
            retention: only_so_many_bytes_are_kept,
            retention: events_are_kept_for_their_age,
            retention: an_ended_stream_expires,
            retention: a_stream_of_a_dead_instance_expires_and_one_of_a_living_does_not,
            retention: a_tombstone_expires,
            retries: an_append_that_is_repeated_is_refused_and_found,
            retries: what_is_repeated_without_events_does_the_same_again,
            retries: a_create_and_a_claim_that_are_repeated_are_refused_and_found,
            retries: a_purge_that_is_repeated_finds_nothing,
            retries: appends_that_are_given_up_in_the_middle_are_stored_whole_or_not,
            concurrency: many_streams_are_written_and_read_at_the_same_time,
            concurrency: a_reader_sees_no_part_of_an_append,
        }
    };
}

/// Makes a module of tests that check a [`SessionStore`](crate::store::SessionStore); see
/// [`store::conformance`](crate::store::conformance).
#[macro_export]
macro_rules! session_store_conformance {
    ($name:ident, $fresh:expr) => {
        $crate::conformance_cases! { $name, $fresh,
            sessions: a_session_comes_back_as_it_was_created,
            sessions: a_session_is_created_once,
            sessions: a_session_that_is_not_there_is_not_found,
            sessions: there_are_no_more_sessions_than_may_be,
            sessions: values_are_set_replaced_and_removed,
            sessions: a_value_is_set_only_if_it_is_the_expected_one,
            sessions: of_eight_who_compare_and_set_one_succeeds,
            sessions: names_and_values_may_have_any_bytes_and_the_full_length,
            sessions: sessions_are_listed_in_pages_in_the_order_of_their_names,
            sessions: an_idle_session_expires_with_its_state,
            sessions: a_touched_session_does_not_expire,
            sessions: a_deleted_session_is_gone_with_its_state,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($name:ident, $fresh:expr, $($group:ident: $case:ident,)*) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[test]
            fn $case() {
                $crate::store::conformance::run(async {
                    $crate::store::conformance::$group::$case($fresh).await;
                });
            })*
        }
    };
}
