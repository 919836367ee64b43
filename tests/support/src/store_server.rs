//! A private server of a store, which ends with the test process.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs, process};

/// A server with data of its own, on a port of its own. It may not be ready yet: who connects tries again.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    control: Mutex<Control>,
}

/// The script that keeps the server: it ends when the input does.
struct Control {
    script: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub fn start(kind: &str) -> Self {
        Self::start_with(kind, None)
    }

    /// One that has TLS.
    pub fn start_with_tls(kind: &str) -> Self {
        Self::start_with(kind, Some("tls"))
    }

    fn start_with(kind: &str, more: Option<&str>) -> Self {
        let port = free_port();
        let folder = env::temp_dir().join(format!("sse-resume-{kind}-{}-{port}", process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("store_server.sh");
        let mut script = Command::new("sh")
            .arg(script)
            .args([kind.as_ref(), folder.as_os_str()])
            .arg(port.to_string())
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = script.stdin.take();
        let output = BufReader::new(script.stdout.take().expect("piped"));
        let mut control = Control { script, input, output };
        control.expect("started");
        Self { port, folder, control: Mutex::new(control) }
    }

    /// The certificate, in PEM, of the authority of a server that has TLS, or (`wrong`) of another one.
    pub fn authority(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name).with_extension("pem")).expect("it was made")
    }

    /// Ends the server by SIGKILL. Its data and its port stay.
    pub fn kill(&self) {
        self.say("kill", "killed");
    }

    /// Starts it again.
    pub fn restart(&self) {
        self.say("start", "started");
    }

    /// Makes it hang: it keeps its connections, and answers nothing.
    pub fn pause(&self) {
        self.say("pause", "paused");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.say("resume", "resumed");
    }

    fn say(&self, command: &str, expected: &str) {
        let mut control = self.control.lock().expect("not poisoned");
        let input = control.input.as_mut().expect("it is not dropped");
        writeln!(input, "{command}").expect("the script runs");
        control.expect(expected);
    }
}

impl Control {
    fn expect(&mut self, expected: &str) {
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("an answer");
        assert_eq!(answer.trim_end(), expected);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let control = self.control.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(control.input.take());
        let _ = control.script.wait();
    }
}

/// Below the ports that the system gives to clients, so that none of them gets it meanwhile.
fn free_port() -> u16 {
    static LAST: Mutex<Option<u16>> = Mutex::new(None);
    let mut last = LAST.lock().expect("not poisoned");
    let first = 20_000 + (process::id() % 12_000) as u16;
    let mut port = last.map_or(first, |last| last + 1);
    while TcpListener::bind(("127.0.0.1", port)).is_err() {
        port += 1;
    }
    *last = Some(port);
    port
}
