//! Wakes who waits, by the server's notifications, on a connection of its own.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use super::PostgresOptions;
use super::tls::{Connector, Driver};
use crate::store::backoff::Backoff;
use crate::store::silence::silence;
use crate::store::wakeup::Wakeups;
use crate::store::{Error, ErrorKind, Key};

/// A task that listens as long as this lives.
pub(super) struct Listener(JoinHandle<()>);

impl Listener {
    /// Returns when it listens.
    pub(super) async fn start(
        options: &PostgresOptions,
        wakeups: Arc<Wakeups>,
    ) -> Result<Self, Error> {
        let connector = Connector::new(options)?;
        let channel = channel(&options.prefix);
        let (listens, listening) = oneshot::channel();
        let silence = silence(options.patience);
        let listener = Self(tokio::spawn(listen(connector, channel, silence, wakeups, listens)));
        let late = |late| Error::new(ErrorKind::Unreachable, late);
        let listening = timeout(options.patience, listening).await.map_err(late)?;
        listening.map_err(|gone| Error::new(ErrorKind::Failed, gone))?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The channel of the tables with this prefix.
pub(super) fn channel(prefix: &str) -> String {
    format!("{prefix}news")
}

/// Listens, and connects again whenever the connection is lost.
async fn listen(
    connector: Connector,
    channel: String,
    silence: Duration,
    wakeups: Arc<Wakeups>,
    listens: oneshot::Sender<()>,
) {
    let (mut listens, mut backoff) = (Some(listens), Backoff::new());
    loop {
        if let Ok(Ok((client, driver))) = timeout(silence, connector.connect()).await {
            let command = format!("LISTEN {channel}");
            let is_answered = async |command: &str| {
                let answer = timeout(silence, client.batch_execute(command)).await;
                answer.is_ok_and(|result| result.is_ok())
            };
            let listening = async {
                if is_answered(&command).await {
                    backoff = Backoff::new();
                    // What was written while nobody listened may be news.
                    wakeups.wake_all();
                    listens.take().map(|listens| listens.send(()));
                    while is_answered("").await {
                        sleep(silence / 2).await;
                    }
                }
            };
            receive(driver, listening, &wakeups).await;
        }
        backoff.wait().await;
    }
}

/// Drives the connection until it is lost, or `listening` ends, which it does only if it fails. Awaiting the connection
/// as a future would drop the notifications.
async fn receive(mut driver: Driver, listening: impl Future<Output = ()>, wakeups: &Wakeups) {
    let mut listening = pin!(listening);
    std::future::poll_fn(|cx| {
        loop {
            if listening.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match driver.poll_message(cx) {
                Poll::Ready(Some(Ok(message))) => tell(&message, wakeups),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

fn tell(message: &AsyncMessage, wakeups: &Wakeups) {
    if let AsyncMessage::Notification(notification) = message {
        match stream(notification.payload()) {
            Some(stream) => wakeups.wake(&stream),
            None => wakeups.wake_all(),
        }
    }
}

/// The stream that a notification names, in hexadecimal digits. None: all.
fn stream(payload: &str) -> Option<Key> {
    let digit = |index: usize| payload.get(index..index + 2);
    let bytes =
        (0..payload.len()).step_by(2).map(|index| u8::from_str_radix(digit(index)?, 16).ok());
    Key::new(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_a_stream_or_all() {
        assert_eq!(stream("00ff61"), Some(Key::new(&b"\x00\xffa"[..]).unwrap()));
        for all in ["", "0", "zz", "ä"] {
            assert_eq!(stream(all), None, "{all}");
        }
    }
}
