//! Programs in other languages.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

use tokio::process::Command;

/// A path in `tests`.
pub(crate) type Program = &'static str;

pub(crate) fn command(program: Program) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(program);
    let python = path.extension().and_then(OsStr::to_str) == Some("py");
    let mut command =
        Command::new(setting(if python { "SSE_RESUME_PYTHON" } else { "SSE_RESUME_NODE" }));
    command.arg(path).env("NODE_PATH", setting("SSE_RESUME_NODE_MODULES"));
    command
}

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run these tests with tests/run"))
}
