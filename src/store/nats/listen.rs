//! Wakes who waits, by a core subscription to what the server tells of each step.

use std::sync::Arc;

use async_nats::Subscriber;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::server::Server;
use super::subjects::{Subjects, part};
use crate::store::Error;
use crate::store::wakeup::Wakeups;

/// A task that listens as long as this lives.
pub(super) struct Listener(JoinHandle<()>);

impl Listener {
    /// Returns when it listens.
    pub(super) async fn start(
        server: &Arc<Server>,
        prefix: &str,
        wakeups: Arc<Wakeups>,
    ) -> Result<Self, Error> {
        let news = server.subscribe(Subjects(prefix.to_owned()).news()).await?;
        server.round_trip().await?;
        Ok(Self(tokio::spawn(listen(Arc::clone(server), news, wakeups))))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(server: Arc<Server>, mut news: Subscriber, wakeups: Arc<Wakeups>) {
    let mut misses = server.link().misses();
    loop {
        tokio::select! {
            told = news.next() => match told {
                Some(told) => match part(&told.subject, 2) {
                    Ok(stream) => wakeups.wake(&stream),
                    Err(_) => wakeups.wake_all(),
                },
                None => return,
            },
            () = misses.next() => {
                // Once the server has answered on a new connection, it tells on that, too. What it told before is missed.
                while server.round_trip().await.is_err() {}
                wakeups.wake_all();
            }
        }
    }
}
