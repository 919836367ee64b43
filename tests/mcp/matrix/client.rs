//! The clients: each tells what it gets as lines of JSON.
//!
//! `{"connected": VERSION}`, then `{"progress": TEXT}` and `{"result": TEXT}` of a call, or `{"updated": URI}` of the
//! standalone stream, then `{"pong": true}`; `{"error": TEXT}` where the SDK gave up.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::program::{self, Program};
use super::{raw_client, rmcp_client};
use support::process::Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rmcp,
    TypeScriptV1,
    TypeScriptV2,
    Python,
    Raw,
}

/// What a client is to do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) url: String,
    pub(crate) tool: Tool,
    pub(crate) run: String,
    /// Up to which number.
    pub(crate) to: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Shows its progress.
    Count,
    /// Has the client listen to the standalone stream until `run://RUN/end`.
    Subscribe,
}

/// A running client.
pub(crate) struct Client {
    got: Vec<Value>,
    lines: UnboundedReceiver<Value>,
    _running: Arc<Running>,
}

struct Running(AbortHandle);

/// Where a client tells what it gets.
#[derive(Clone)]
pub(crate) struct Out(UnboundedSender<Value>);

impl Out {
    pub(crate) fn nowhere() -> Self {
        Self(unbounded_channel().0)
    }

    pub(crate) fn say(&self, line: Value) {
        _ = self.0.send(line); // a test that fails does not listen to the end
    }
}

impl Client {
    /// A client for each task. Those of another language are one program.
    pub(crate) fn start(kind: Kind, tasks: Vec<Task>) -> Vec<Self> {
        match kind {
            Kind::Rmcp => here(tasks, rmcp_client::run),
            Kind::Raw => here(tasks, raw_client::run),
            Kind::TypeScriptV1 => of_program("clients/mcp-typescript-v1.cjs", &tasks),
            Kind::TypeScriptV2 => of_program("clients/mcp-typescript-v2.cjs", &tasks),
            Kind::Python => of_program("clients/mcp-python.py", &tasks),
        }
    }

    fn new(lines: UnboundedReceiver<Value>, running: Arc<Running>) -> Self {
        Self { got: Vec::new(), lines, _running: running }
    }

    /// Reads up to and with this line. Nothing where the client ends before it.
    pub(crate) async fn until(&mut self, expected: &Value) -> Option<()> {
        while self.got.last() != Some(expected) {
            self.got.push(self.lines.recv().await?);
        }
        Some(())
    }

    /// Reads until the client has ended.
    pub(crate) async fn finish(&mut self) {
        while let Some(line) = self.lines.recv().await {
            self.got.push(line);
        }
    }

    /// All that it has told.
    pub(crate) fn told(mut self) -> Vec<Value> {
        self.got.extend(std::iter::from_fn(|| self.lines.try_recv().ok()));
        self.got
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Subscribe => "subscribe",
        }
    }
}

fn here<F>(tasks: Vec<Task>, run: impl Fn(Task, Out) -> F) -> Vec<Client>
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = |task| {
        let (out, lines) = unbounded_channel();
        let running = tokio::spawn(run(task, Out(out))).abort_handle();
        Client::new(lines, Arc::new(Running(running)))
    };
    tasks.into_iter().map(start).collect()
}

/// The program says with each line whose it is, and `"over"` when that one has ended.
fn of_program(program: Program, tasks: &[Task]) -> Vec<Client> {
    let mut command = program::command(program);
    for Task { url, tool, run, to } in tasks {
        command.args([url, tool.name(), run, &to.to_string()]);
    }
    let mut process = Process::start(&mut command);
    let (mut outs, lines): (HashMap<_, _>, Vec<_>) = tasks
        .iter()
        .map(|task| {
            let (out, lines) = unbounded_channel();
            ((task.run.clone(), Out(out)), lines)
        })
        .unzip();
    let running = tokio::spawn(async move {
        while let Some(line) = process.line().await {
            let mut line: Value = serde_json::from_str(&line).expect("a line of JSON");
            let run = line.as_object_mut().and_then(|line| line.remove("run"));
            let run = run.as_ref().and_then(Value::as_str).expect("whose line it is").to_owned();
            if line.get("over").is_some() {
                outs.remove(&run);
            } else {
                outs[&run].say(line);
            }
        }
        assert!(process.exit().await.success(), "{program} failed");
    });
    let running = Arc::new(Running(running.abort_handle()));
    lines.into_iter().map(|lines| Client::new(lines, Arc::clone(&running))).collect()
}
