//! Child processes that end with the test, by their own id.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// No step of a program takes long; a test that waits for more has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An example of this crate. `cargo test` builds them; `cargo test --test NAME` takes what was built before.
pub fn example(name: &str) -> Command {
    // Cargo puts examples beside the folder of the test executables.
    let test = env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("a folder of the profile");
    let program = PathBuf::from(profile).join("examples").join(name);
    let program = program.with_extension(env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is missing: run `cargo build --examples`", program.display());
    Command::new(program)
}

/// A running program. What it wrote to standard error is shown where the test fails.
pub struct Process {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{:?}", command.as_std());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let stderr = Arc::default();
        tokio::spawn(collect(child.stderr.take().expect("piped"), Arc::clone(&stderr)));
        Self { name, child, lines, stderr }
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// The next line of standard output, or nothing at its end.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.expect("lines of UTF-8")
    }

    /// The first line, with which a server says that it is ready.
    pub async fn ready(&mut self) -> String {
        let line = timeout(PATIENCE, self.line()).await.ok().flatten();
        line.unwrap_or_else(|| panic!("{} ended before it was ready", self.name))
    }

    /// Waits for the end.
    pub async fn exit(&mut self) -> ExitStatus {
        let exit = timeout(PATIENCE, self.child.wait()).await;
        exit.unwrap_or_else(|_| panic!("{} does not end", self.name)).expect("a child")
    }

    /// Sends a signal, such as `TERM`.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill").args(["-s", signal, &id]).status().await.expect("`kill`");
        assert!(kill.success(), "cannot signal {}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} wrote:\n{}", self.name, self.stderr.lock().expect("not poisoned"));
        }
    }
}

async fn collect(stderr: impl AsyncRead + Unpin, into: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut text = into.lock().expect("not poisoned");
        text.push_str(&line);
        text.push('\n');
    }
}

/// A process that says `listening on http://ADDRESS` when it is ready.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub async fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let line = process.ready().await;
        let address = line.strip_prefix("listening on http://").map(str::parse);
        let Some(Ok(address)) = address else { panic!("{}: said {line:?}", process.name) };
        Self { process, address }
    }

    /// The proxy example in front of a server, on a free port.
    pub async fn proxy(upstream: SocketAddr, options: &[&str]) -> Self {
        let mut command = example("proxy");
        command.args(["--listen", "127.0.0.1:0", "--upstream", &format!("http://{upstream}")]);
        Self::start(command.args(options)).await
    }
}
