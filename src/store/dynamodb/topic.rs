//! Tells other instances, through a topic of SNS, which streams changed, and is told by them.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sns::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::inbox::{Inbox, Queue};
use crate::store::backoff::Backoff;
use crate::store::hex::{hex, named, unique};
use crate::store::wakeup::Wakeups;
use crate::store::{Error, Key};

/// How many names a message has at most: it has 256 KiB, and the longest name 256 digits.
const MOST_NAMES: usize = 900;
/// Stands for all streams, when more changed than are remembered.
const ALL: &str = "*";

/// A topic that is published to, and whose messages are received, as long as this lives.
pub(super) struct Topic {
    telling: Arc<Telling>,
    publisher: JoinHandle<()>,
    inbox: Inbox,
}

struct Telling {
    /// Of this instance, which need not be told what it has told.
    sender: String,
    changed: Mutex<Changed>,
    bell: Notify,
}

/// What is to be told.
#[derive(Default)]
struct Changed {
    streams: HashSet<Key>,
    /// So many that they are not known one by one.
    all: bool,
}

impl Topic {
    /// Returns when messages are received, or these services cannot be reached now.
    pub(super) async fn open(
        sns: Client,
        sqs: aws_sdk_sqs::Client,
        arn: &str,
        patience: Duration,
        wakeups: &Arc<Wakeups>,
    ) -> Result<Self, Error> {
        let (changed, bell) = (Mutex::default(), Notify::new());
        let telling = Arc::new(Telling { sender: unique()?, changed, bell });
        let (sender, waking) = (telling.sender.clone(), Arc::clone(wakeups));
        let told = move |message: Option<&str>| match message {
            Some(message) => wake(message, &sender, &waking),
            // Some may have been missed.
            None => waking.wake_all(),
        };
        let inbox = Inbox::open(sns.clone(), sqs, arn.to_owned(), patience, told).await?;
        let publishing = publish(sns, arn.to_owned(), patience, Arc::clone(&telling));
        Ok(Self { telling, publisher: tokio::spawn(publishing), inbox })
    }

    pub(super) fn is_listening(&self) -> bool {
        self.inbox.is_listening()
    }

    pub(super) fn queue(&self) -> Queue {
        self.inbox.queue()
    }

    pub(super) async fn remove_queue(&self, queue: &Queue) -> Result<(), Error> {
        self.inbox.remove_queue(queue).await
    }

    /// Tells others that a stream changed, soon.
    pub(super) fn tell(&self, stream: &Key) {
        self.telling.changed().add(stream);
        self.telling.bell.notify_one();
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

impl Telling {
    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn add(&mut self, stream: &Key) {
        if self.streams.len() < MOST_NAMES {
            self.streams.insert(stream.clone());
        } else {
            self.all |= !self.streams.contains(stream);
        }
    }

    /// What to tell, after the name of who tells it: a name a line.
    fn message(&self, sender: &str) -> Option<String> {
        if self.all {
            return Some(format!("{sender}\n{ALL}"));
        }
        let add = |message: String, stream: &Key| message + "\n" + &hex(stream);
        let message = self.streams.iter().fold(sender.to_owned(), add);
        Some(message).filter(|_| !self.streams.is_empty())
    }
}

/// Publishes what changed, all that came together while the message before was under way.
async fn publish(sns: Client, arn: String, patience: Duration, telling: Arc<Telling>) {
    let mut backoff = Backoff::new();
    loop {
        let changed = mem::take(&mut *telling.changed());
        let Some(message) = changed.message(&telling.sender) else {
            telling.bell.notified().await;
            continue;
        };
        let publishing = sns.publish().topic_arn(&arn).message(message).send();
        if let Ok(Ok(_)) = timeout(patience, publishing).await {
            backoff = Backoff::new();
        } else {
            // Who is not told finds out by looking.
            backoff.wait().await;
        }
    }
}

/// Wakes those whom a message concerns. What it says wrongly wakes all, which harms nobody.
fn wake(message: &str, receiver: &str, wakeups: &Wakeups) {
    let mut lines = message.lines();
    if lines.next() == Some(receiver) {
        return;
    }
    for name in lines {
        match named(name) {
            Ok(stream) => wakeups.wake(&stream),
            Err(_) => wakeups.wake_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::new(n.to_string()).unwrap()
    }

    #[test]
    fn a_message_names_who_tells_and_what_changed() {
        let mut changed = Changed::default();
        assert_eq!(changed.message("me"), None);
        changed.add(&key(1));
        changed.add(&key(1));
        assert_eq!(changed.message("me").unwrap(), "me\n31");
    }

    #[test]
    fn more_than_fit_are_all() {
        let mut changed = Changed::default();
        (0..MOST_NAMES).for_each(|n| changed.add(&key(n)));
        changed.add(&key(0));
        assert!(!changed.all);
        assert_eq!(changed.message("me").unwrap().lines().count(), MOST_NAMES + 1);
        changed.add(&key(MOST_NAMES));
        assert_eq!(changed.message("me").unwrap(), "me\n*");
        assert!(named(ALL).is_err(), "it is taken for no name");
    }
}
