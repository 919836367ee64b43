//! The proxy example as a process of its own.
//!
//! `cargo test` builds it; `cargo test --test NAME` takes the one that was built before.

use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A running proxy. It is killed when this is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Starts one on a free port and waits until it is ready.
    pub(crate) async fn in_front_of(upstream: SocketAddr, options: &[&str]) -> Self {
        let mut child = command()
            .args(["--listen", "127.0.0.1:0", "--upstream", &format!("http://{upstream}")])
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the example is built by `cargo test`, or by `cargo build --example proxy`");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the proxy ended before it was ready");
        let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("the proxy runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    }

    pub(crate) async fn ended(mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }
}

/// The command, without options.
pub(crate) fn command() -> Command {
    Command::new(binary())
}

/// Cargo puts examples beside the folder of the test executables.
fn binary() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join("proxy").with_extension(env::consts::EXE_EXTENSION)
}
