//! `--preset mcp` in a build that does not have it.

use crate::{BoxError, args::Args};

/// Says what is missing.
#[expect(clippy::unused_async, reason = "as where it is there")]
pub(crate) async fn run(_: &Args) -> Result<(), BoxError> {
    Err("--preset mcp needs the feature `mcp`: cargo run --features mcp --example proxy".into())
}
