//! Whether there is a connection, as the client library tells.

use async_nats::Event;
use tokio::sync::watch;

use crate::store::{Error, ErrorKind};

/// Follows one client's connection.
pub(super) struct Link(watch::Sender<Seen>);

#[derive(Clone, Copy, Default)]
struct Seen {
    up: bool,
    /// How many connections there were, and after how many of these some messages may not have come.
    connections: u64,
    missed: u64,
}

impl Link {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Seen::default()))
    }

    pub(super) fn note(&self, event: &Event) {
        self.0.send_modify(|seen| match event {
            Event::Connected => {
                seen.up = true;
                seen.connections += 1;
                seen.missed += 1;
            }
            Event::Disconnected | Event::Closed => seen.up = false,
            // What is published faster than it is taken is dropped.
            Event::SlowConsumer(_) => seen.missed += 1,
            _ => {}
        });
    }

    /// Which connection it is by now.
    pub(super) fn number(&self) -> u64 {
        self.0.borrow().connections
    }

    /// Does something on a connection, as soon as there is one, until that is lost: then no answer comes any more.
    pub(super) async fn on<T>(
        &self,
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut seen = self.0.subscribe();
        let closed = || Error::new(ErrorKind::Unreachable, "the client is closed");
        let number = seen.wait_for(|seen| seen.up).await.map_err(|_| closed())?.connections;
        tokio::select! {
            answer = asking => answer,
            _ = seen.wait_for(|seen| !seen.up || seen.connections != number) => {
                Err(Error::new(ErrorKind::Unreachable, "the connection was lost"))
            }
        }
    }

    /// Waits until messages may have been missed, after the last time.
    pub(super) fn misses(&self) -> Misses {
        Misses { seen: self.0.subscribe(), last: 0 }
    }
}

/// Waits, again and again.
pub(super) struct Misses {
    seen: watch::Receiver<Seen>,
    last: u64,
}

impl Misses {
    pub(super) async fn next(&mut self) {
        let last = self.last;
        let missed = self.seen.wait_for(|seen| seen.missed != last).await.map(|seen| seen.missed);
        match missed {
            Ok(missed) => self.last = missed,
            Err(_) => std::future::pending().await,
        }
    }
}
