//! A queue of SQS that has what a topic of SNS says, for one instance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::{Failure, failure};
use crate::store::backoff::Backoff;
use crate::store::hex::unique;
use crate::store::silence::silence;
use crate::store::{Error, ErrorKind};

/// How long a request waits for a message, in seconds, and how many it takes at most.
const WAIT: i32 = 20;
const MOST: i32 = 10;
/// How long a message stays that nobody takes, in seconds: by then its streams were looked at.
const KEPT: &str = "60";

/// A subscribed queue, which is received from as long as this lives, and removed then.
pub(super) struct Inbox {
    services: Arc<Services>,
    receiver: JoinHandle<()>,
    runtime: Handle,
}

struct Services {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    topic: String,
    patience: Duration,
    is_listening: AtomicBool,
    /// What is to be removed.
    queue: Mutex<Queue>,
}

/// A queue and its subscription, as far as they were made.
#[derive(Clone, Default)]
pub(super) struct Queue {
    pub(super) url: Option<String>,
    pub(super) subscription: Option<String>,
}

impl Inbox {
    /// Returns when messages are received, or these services cannot be reached now: then that is tried further. `told`
    /// gets each message, and nothing when some may have been missed.
    pub(super) async fn open(
        sns: aws_sdk_sns::Client,
        sqs: aws_sdk_sqs::Client,
        topic: String,
        patience: Duration,
        told: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (is_listening, queue) = (AtomicBool::new(false), Mutex::default());
        let services = Services { sns, sqs, topic, patience, is_listening, queue };
        let services = Arc::new(services);
        let subscribed = services.subscribe().await;
        let (receiving, runtime) = (Arc::clone(&services), Handle::current());
        let receiver = tokio::spawn(async move { receiving.receive(told).await });
        let inbox = Self { services, receiver, runtime };
        match subscribed {
            Err(error) if error.kind() != ErrorKind::Unreachable => Err(error),
            _ => Ok(inbox),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.services.is_listening.load(Ordering::Relaxed)
    }

    pub(super) fn queue(&self) -> Queue {
        self.services.queue()
    }

    pub(super) async fn remove_queue(&self, queue: &Queue) -> Result<(), Error> {
        self.services.remove_queue(queue).await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.receiver.abort();
        let services = Arc::clone(&self.services);
        self.runtime.spawn(async move { services.remove().await });
    }
}

impl Services {
    /// Makes a queue and subscribes it.
    async fn subscribe(&self) -> Result<String, Error> {
        let subscribing = async {
            let name = format!("sse-resume-{}", unique()?);
            let made = self.sqs.create_queue().queue_name(name);
            let made = made.attributes(QueueAttributeName::MessageRetentionPeriod, KEPT);
            let url = made.send().await.map_err(|error| failure(&error))?.queue_url;
            let url = url.ok_or_else(unexpected)?;
            self.change(|queue| queue.url = Some(url.clone()));
            let ask = self.sqs.get_queue_attributes().queue_url(&url);
            let ask = ask.attribute_names(QueueAttributeName::QueueArn);
            let told = ask.send().await.map_err(|error| failure(&error))?.attributes;
            let arn = told.and_then(|mut told| told.remove(&QueueAttributeName::QueueArn));
            let arn = arn.ok_or_else(unexpected)?;
            let policy = policy(&arn, &self.topic);
            let allow = self.sqs.set_queue_attributes().queue_url(&url);
            let allow = allow.attributes(QueueAttributeName::Policy, policy);
            allow.send().await.map_err(|error| failure(&error))?;
            let subscribe = self.sns.subscribe().topic_arn(&self.topic);
            let subscribe = subscribe.protocol("sqs").endpoint(arn);
            let subscribe = subscribe.attributes("RawMessageDelivery", "true");
            let made = subscribe.return_subscription_arn(true).send().await;
            let subscription = made.map_err(|error| failure(&error))?.subscription_arn;
            self.change(|queue| queue.subscription = subscription);
            self.is_listening.store(true, Ordering::Relaxed);
            Ok::<_, Error>(url)
        };
        let late = |late| Err(Error::new(ErrorKind::Unreachable, late));
        timeout(self.patience, subscribing).await.unwrap_or_else(late)
    }

    /// Receives, and makes another queue if there is none any more.
    async fn receive(&self, told: impl Fn(Option<&str>)) {
        let mut backoff = Backoff::new();
        loop {
            let Queue { url, subscription } = self.queue();
            let url = if let (Some(url), Some(_)) = (url, subscription) {
                Ok(url)
            } else {
                // What was begun may have been made in part.
                self.remove().await;
                self.subscribe().await.inspect(|_| told(None))
            };
            if let Ok(url) = url {
                let ended = self.receive_from(&url, &told, &mut backoff).await;
                self.is_listening.store(false, Ordering::Relaxed);
                if Error::from(ended).kind() != ErrorKind::Unreachable {
                    self.remove().await;
                }
            }
            backoff.wait().await;
        }
    }

    async fn receive_from(
        &self,
        url: &str,
        told: &impl Fn(Option<&str>),
        backoff: &mut Backoff,
    ) -> Failure {
        loop {
            let ask = self.sqs.receive_message().queue_url(url);
            let ask = ask.wait_time_seconds(WAIT).max_number_of_messages(MOST);
            let patience = silence(self.patience) + Duration::from_secs(WAIT.unsigned_abs().into());
            let late = |late| Failure::Other(Error::new(ErrorKind::Unreachable, late));
            let messages = match timeout(patience, ask.send()).await.map_err(late) {
                Ok(Ok(answer)) => answer.messages.unwrap_or_default(),
                Ok(Err(error)) => return failure(&error),
                Err(late) => return late,
            };
            self.is_listening.store(true, Ordering::Relaxed);
            *backoff = Backoff::new();
            for message in &messages {
                told(message.body());
            }
            self.forget(url, &messages).await;
        }
    }

    /// Removes messages from the queue. One that stays comes again, which harms nobody.
    async fn forget(&self, url: &str, messages: &[Message]) {
        let handles = messages.iter().filter_map(Message::receipt_handle).enumerate();
        let entries: Vec<_> = handles
            .filter_map(|(n, handle)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
                entry.receipt_handle(handle).build().ok()
            })
            .collect();
        if !entries.is_empty() {
            let delete = self.sqs.delete_message_batch().queue_url(url);
            let delete = delete.set_entries(Some(entries)).send();
            let _ = timeout(self.patience, delete).await;
        }
    }

    /// Removes the queue and its subscription, as far as the services can be reached.
    async fn remove(&self) {
        let _ = self.remove_queue(&self.queue()).await;
        self.change(|queue| *queue = Queue::default());
    }

    async fn remove_queue(&self, queue: &Queue) -> Result<(), Error> {
        let removing = async {
            if let Some(subscription) = &queue.subscription {
                let unsubscribe = self.sns.unsubscribe().subscription_arn(subscription);
                // Where that is refused, the queue can go all the same.
                if_unreachable(
                    unsubscribe.send().await.map_err(|error| failure(&error)).map(drop),
                )?;
            }
            if let Some(url) = &queue.url {
                let delete = self.sqs.delete_queue().queue_url(url);
                if_unreachable(delete.send().await.map_err(|error| failure(&error)).map(drop))?;
            }
            Ok(())
        };
        let late = |late| Err(Error::new(ErrorKind::Unreachable, late));
        timeout(self.patience, removing).await.unwrap_or_else(late)
    }

    fn queue(&self) -> Queue {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Lets a topic send to a queue.
fn policy(queue: &str, topic: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"sns.amazonaws.com"}},"Action":"sqs:SendMessage","Resource":"{queue}","Condition":{{"ArnEquals":{{"aws:SourceArn":"{topic}"}}}}}}]}}"#
    )
}

fn unexpected() -> Error {
    Error::new(ErrorKind::InvalidData, "SQS answered something that was not expected")
}

/// An error after which the same is worth another attempt; all others are none.
fn if_unreachable(result: Result<(), Failure>) -> Result<(), Error> {
    match result.map_err(Error::from) {
        Err(error) if error.kind() == ErrorKind::Unreachable => Err(error),
        _ => Ok(()),
    }
}
