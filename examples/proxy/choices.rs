//! What the options that take a word can be set to.

use clap::ValueEnum;
use http::{Method, method::InvalidMethod};

/// `--preset`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Preset {
    Default,
    Mcp,
}

/// `--durability`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Durability {
    /// Events are sent at once and stored soon after; a crash can lose the last ones
    WriteBehind,
    /// Only events that the store has acknowledged are sent
    CommitFirst,
}

/// `--on-outage`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OnOutage {
    /// Its request goes to the upstream with the upstream's own last event ID, or else after an event `resume-gap`
    Serve,
    /// The answer 503, which stops an `EventSource` from coming back
    Refuse,
}

/// `--ids`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Ids {
    /// Every event gets an ID of the proxy, which carries the upstream's own
    Assign,
    /// The upstream's IDs stay; only events without one get an ID of the proxy
    Preserve,
}

/// `--on-missing`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OnMissing {
    /// An event `resume-gap` that says what is missing, then what is left
    Signal,
    /// The answer 410, always the same
    Reject,
}

/// `--on-finished`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OnFinished {
    /// Its request goes to the upstream
    Forward,
    /// The answer 204, which stops an `EventSource` from coming back
    NoContent,
}

/// `--share`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Share {
    /// Requests of one owner for the same host, path and query
    Path,
}

/// One of `--methods`. Method names tell upper from lower case, people on a command line do not.
pub(crate) fn method(name: &str) -> Result<Method, InvalidMethod> {
    name.to_ascii_uppercase().parse()
}
