//! Wakes who waits, by a blocking read on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use redis::Client;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::failed;
use super::reply::Reply;
use super::server::Server;
use crate::store::backoff::Backoff;
use crate::store::silence::silence;
use crate::store::wakeup::Wakeups;
use crate::store::{Error, ErrorKind};

/// A task that listens as long as this lives.
pub(super) struct Listener(JoinHandle<()>);

impl Listener {
    /// Returns when it listens.
    pub(super) async fn start(server: &Server, wakeups: Arc<Wakeups>) -> Result<Self, Error> {
        let (listens, listening) = oneshot::channel();
        let (client, base) = (server.client().clone(), server.base().to_owned());
        let silence = silence(server.patience());
        let listener = Self(tokio::spawn(listen(client, base, silence, wakeups, listens)));
        let late = |late| Error::new(ErrorKind::Unreachable, late);
        let listening = timeout(server.patience(), listening).await.map_err(late)?;
        listening.map_err(|gone| Error::new(ErrorKind::Failed, gone))?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens, and connects again whenever the connection is lost.
async fn listen(
    client: Client,
    base: String,
    silence: Duration,
    wakeups: Arc<Wakeups>,
    listens: oneshot::Sender<()>,
) {
    let (mut listens, mut backoff) = (Some(listens), Backoff::new());
    loop {
        if let Ok(mut connection) = Server::own_connection(&client, silence).await {
            if let Ok(seen) = told(&mut connection, &base).await {
                backoff = Backoff::new();
                // What was written while nobody listened may be news.
                wakeups.wake_all();
                listens.take().map(|listens| listens.send(()));
                // It ends only by an error, which the next connection answers.
                let _ = receive(&mut connection, &base, silence / 2, seen, &wakeups).await;
            }
        }
        backoff.wait().await;
    }
}

/// How often a stream changed, up to now.
async fn told(connection: &mut MultiplexedConnection, base: &str) -> Result<u64, Error> {
    let told: Option<u64> = redis::cmd("GET")
        .arg(format!("{base}:told"))
        .query_async(connection)
        .await
        .map_err(failed)?;
    Ok(told.unwrap_or(0))
}

/// Wakes those whose stream changed after the change `seen`, until the connection is lost. A read blocks for at most
/// `block`.
async fn receive(
    connection: &mut MultiplexedConnection,
    base: &str,
    block: Duration,
    mut seen: u64,
    wakeups: &Wakeups,
) -> Result<(), Error> {
    let news = format!("{base}:news");
    loop {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1000).arg("BLOCK").arg(block.as_millis() as u64);
        read.arg("STREAMS").arg(&news).arg(format!("{seen}-0"));
        let reply: Option<StreamReadReply> = read.query_async(connection).await.map_err(failed)?;
        let changes = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        for change in changes {
            let number = change.id.split('-').next().and_then(|digits| digits.parse().ok());
            let stream = change.map.into_iter().find(|(field, _)| field == "stream");
            let stream = stream.and_then(|(_, stream)| Reply(stream).key().ok());
            match (number, stream) {
                (Some(number), Some(stream)) if number == seen + 1 => wakeups.wake(&stream),
                // Some are gone already.
                _ => wakeups.wake_all(),
            }
            seen = number.unwrap_or(seen + 1);
        }
    }
}
