//! Runs the tests that sit beside the pure modules of the proxy: Cargo builds examples, but does not run their tests.

#[path = "../../examples/proxy/forward.rs"]
mod forward;
#[path = "../../examples/proxy/redact.rs"]
mod redact;
#[allow(dead_code, reason = "the proxy reads the key")]
#[path = "../../examples/proxy/secret.rs"]
mod secret;
#[path = "../../examples/proxy/target.rs"]
mod target;
#[path = "../../examples/proxy/units.rs"]
mod units;
