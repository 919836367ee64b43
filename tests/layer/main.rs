//! `SseResumeLayer` in process, around services that the tests write by hand.

mod bounds;
mod caches;
mod compression;
mod cors;
mod drain;
mod eviction_races;
mod flush_before_error;
mod forged_ids;
mod hosts;
mod ids_only;
mod instances;
mod lifecycle;
#[cfg(feature = "metrics")]
mod metrics_feature;
mod observer;
mod operator_pages;
mod oversize;
mod passing;
mod plain_path;
mod preserve;
mod preset_options;
mod reconnect;
mod reconnection_time;
mod reentrancy;
mod retention;
mod session_cookies;
mod sessions;
mod shared_headers;
mod sharing;
mod slow_readers;
mod takeover;
mod takeover_races;
mod two_runtimes;
mod unresumed_methods;
mod wire;
mod without_runtime;
