//! One cell of the matrix: a client, a server, and a way to be cut off.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::client::{self, Client, Task};
use super::cuts::Cut;
use super::request::Kind;
use super::server::Server;
use super::wire::{Cutting, Exchange, How, Wire};

/// Nothing takes a client that long, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Cell<'a> {
    pub(crate) run: String,
    pub(crate) to: usize,
    pub(crate) server: &'a Server,
    pub(crate) client: Client,
    pub(crate) kind: client::Kind,
    pub(crate) wire: Wire,
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// All that the client told.
    pub(crate) got: Vec<Value>,
    pub(crate) tally: Value,
    pub(crate) exchanges: Vec<Exchange>,
    /// What was awaited did not happen.
    pub(crate) stuck: bool,
    cut: Cut,
    run: String,
    to: usize,
}

/// Plays a client and a server with each of these cuts, at once.
pub(crate) async fn play(
    client: client::Kind,
    server: &Server,
    cutting: Cutting,
    cuts: &[Cut],
    patience: Duration,
) -> Vec<Outcome> {
    let wires = join_all(cuts.iter().map(|_| Wire::to(server.address, cutting))).await;
    let tasks: Vec<_> = cuts.iter().zip(&wires).map(|(cut, wire)| cut.task(client, wire)).collect();
    let clients = Client::start(client, tasks.clone());
    let cells = tasks.into_iter().zip(clients).zip(wires).zip(cuts);
    let cells = cells.map(|(((Task { run, to, .. }, started), wire), cut)| {
        Cell { run, to, server, client: started, kind: client, wire }.play(*cut, patience)
    });
    join_all(cells).await
}

impl Cell<'_> {
    /// `patience` begins with the first cut.
    async fn play(mut self, cut: Cut, patience: Duration) -> Outcome {
        let first_cut = self.wire.first_cut();
        let stuck = tokio::select! {
            () = self.play_to_the_end(cut) => false,
            () = async { _ = timeout(PATIENCE, first_cut).await; sleep(patience).await } => true,
        };
        let Self { run, to, server, client, wire, .. } = self;
        let tally = server.tally(&run).await;
        Outcome { cut, run, to, got: client.told(), tally, exchanges: wire.exchanges(), stuck }
    }

    async fn play_to_the_end(&mut self, cut: Cut) {
        if cut.play(self).await.is_some() {
            self.client.finish().await;
        }
    }

    /// Lets the tool take one step more.
    pub(crate) async fn step(&self) {
        self.steps(1).await;
    }

    pub(crate) async fn steps(&self, times: usize) {
        self.server.step(&self.run, times).await;
    }

    /// Waits until the client has this progress.
    pub(crate) async fn progress(&mut self, i: usize) -> Option<()> {
        let line = progress(&self.run, i);
        self.client.until(&line).await
    }

    pub(crate) async fn announce(&self, text: &str) {
        self.server.announce(&self.run, text).await;
    }

    pub(crate) async fn announce_all(&self) {
        for i in 1..=self.to {
            self.announce(&i.to_string()).await;
        }
    }

    /// Waits until the client has this news.
    pub(crate) async fn updated(&mut self, text: &str) -> Option<()> {
        let line = updated(&self.run, text);
        self.client.until(&line).await
    }

    /// Waits until the client has come back so often and hears the server. Nothing where it ends before that.
    pub(crate) async fn resumed(&mut self, times: usize) -> Option<()> {
        tokio::select! {
            () = self.wire.resumed(times) => Some(()),
            () = self.client.finish() => None,
        }
    }

    /// Cuts what the client reads now.
    pub(crate) async fn cut(&self, kind: Kind, how: How) {
        self.wire.cut(kind, how).await;
    }
}

impl Outcome {
    /// Each notification came once and in order, the result once, and the tool ran once and to its end.
    pub(crate) fn is_right(&self) -> bool {
        let ran = usize::from(!self.cut.listens());
        !self.stuck
            && self.told() == self.expected()
            && self.tally == json!({"started": ran, "finished": ran, "cancelled": 0})
    }

    pub(crate) fn cuts(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.cut).count()
    }

    pub(crate) fn cut(&self) -> Cut {
        self.cut
    }

    /// How many of the expected lines did not come.
    pub(crate) fn lost(&self) -> usize {
        let told = self.told();
        self.expected().iter().filter(|line| !told.contains(line)).count()
    }

    /// How many notifications the tool sends.
    pub(crate) fn to(&self) -> usize {
        self.to
    }

    /// What every client tells.
    pub(crate) fn told(&self) -> Vec<Value> {
        let of_all = |line: &&Value| line.get("head").is_none() && line.get("frame").is_none();
        self.got.iter().filter(of_all).cloned().collect()
    }

    pub(crate) fn expected(&self) -> Vec<Value> {
        let run = &self.run;
        let mut lines = vec![json!({"connected": "2025-11-25"})];
        if self.cut.listens() {
            lines.push(json!({"result": "subscribed"}));
            lines.extend((1..=self.to).map(|i| updated(run, &i.to_string())));
            lines.push(updated(run, "end"));
        } else {
            lines.extend((1..=self.to).map(|i| progress(run, i)));
            lines.push(json!({"result": format!("{run} counted to {}", self.to)}));
        }
        lines.push(json!({"pong": true}));
        lines
    }
}

fn progress(run: &str, i: usize) -> Value {
    json!({"progress": format!("{run} {i}")})
}

fn updated(run: &str, text: &str) -> Value {
    json!({"updated": format!("run://{run}/{text}")})
}
