//! Child processes that end with the test, by their own id.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A running program. What it wrote to standard error is shown where the test fails.
pub struct Process {
    name: String,
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
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

    /// The next line of standard output, or nothing at its end.
    pub async fn line(&mut self) -> Option<String> {
        self.lines.next_line().await.expect("lines of UTF-8")
    }

    /// Waits for the end.
    pub async fn exit(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child")
    }

    /// Asks it to end, as `kill PID` does, and waits for that.
    pub async fn terminate(&mut self) -> ExitStatus {
        if let Some(id) = self.child.id() {
            let kill = Command::new("kill").arg(id.to_string()).status().await.expect("`kill`");
            assert!(kill.success(), "cannot end {}", self.name);
        }
        self.exit().await
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
        let line = timeout(Duration::from_secs(30), process.line()).await.ok().flatten();
        let address = line.as_deref().and_then(|line| line.strip_prefix("listening on http://"));
        let address = address.and_then(|address| address.parse().ok());
        let address =
            address.unwrap_or_else(|| panic!("{}: not ready, said {line:?}", process.name));
        Self { process, address }
    }
}
