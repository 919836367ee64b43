//! What the options that take a word can be set to.

use std::str::FromStr;

use clap::ValueEnum;
use http::{Method, method::InvalidMethod};

/// `--preset`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Preset {
    Default,
    Mcp,
}

/// `--store`.
#[derive(Clone)]
pub(crate) enum Store {
    Memory,
}

impl FromStr for Store {
    type Err = String;

    fn from_str(place: &str) -> Result<Self, String> {
        let engine = place.split(':').next().unwrap_or_default();
        match engine {
            "memory" if place == "memory" => Ok(Self::Memory),
            "sqlite" | "postgres" | "redis" | "nats" | "dynamodb" => {
                Err(format!("needs the feature `{engine}`, which this build does not have"))
            }
            _ => Err("expected `memory`, `sqlite:FILE`, or a URL that begins with `postgres://`, `redis://`, \
                      `nats://` or `dynamodb://`"
                .into()),
        }
    }
}

/// `--durability`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Durability {
    /// Events are sent at once and stored soon after; a crash can lose the last ones
    WriteBehind,
    /// Only events that the store has acknowledged are sent
    CommitFirst,
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
