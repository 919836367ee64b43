//! Messages into the server and out of it, again where that is safe.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Context;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, DeleteMessageErrorKind, DirectGetErrorKind, LastRawMessageErrorKind, PurgeErrorKind,
    Stream,
};
use async_nats::{Client, ConnectOptions, HeaderMap, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout};

use super::bytes::malformed;
use super::error::{Unstored, answered, of_stream, unreachable};
use super::link::Link;
use crate::jitter::jitter;
use crate::store::backoff::Backoff;
use crate::store::silence::silence;
use crate::store::{Error, ErrorKind};

/// For how long a look at the server's clock is good.
const CLOCK: Duration = Duration::from_secs(10);

/// How many messages are asked for at once.
const MOST_AT_ONCE: usize = 256;

/// A message that was stored.
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// When, in milliseconds by the server's clock.
    pub(super) time: u64,
    pub(super) payload: Bytes,
}

impl From<StreamMessage> for Stored {
    fn from(message: StreamMessage) -> Self {
        let since = SystemTime::from(message.time).duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = since.as_millis() as u64;
        Self { sequence: message.sequence, time, payload: message.payload }
    }
}

/// A message to be stored.
#[derive(Clone, Default)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) payload: Bytes,
    headers: HeaderMap,
}

impl Message {
    pub(super) fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { subject: subject.into(), payload: payload.into(), headers: HeaderMap::new() }
    }

    fn with(mut self, header: &str, value: &impl ToString) -> Self {
        self.headers.insert(header, value.to_string());
        self
    }

    /// Only if the last one on its subject has this sequence; 0 if there is none.
    pub(super) fn after(self, sequence: u64) -> Self {
        self.with("Nats-Expected-Last-Subject-Sequence", &sequence)
    }

    /// Removes all others on its subject.
    pub(super) fn alone(self) -> Self {
        self.with("Nats-Rollup", &"sub")
    }
}

/// A client of a server, or of a cluster.
pub(super) struct Server {
    client: Client,
    context: Context,
    link: Arc<Link>,
    patience: Duration,
}

impl Server {
    pub(super) async fn connect(
        url: &str,
        options: ConnectOptions,
        patience: Duration,
    ) -> Result<Self, Error> {
        let link = Arc::new(Link::new());
        let noting = Arc::clone(&link);
        let options = options
            .event_callback(move |event| {
                noting.note(&event);
                std::future::ready(())
            })
            .reconnect_delay_callback(|attempts| {
                let wait = Duration::from_millis(10 << attempts.min(6));
                jitter(wait, 0.5)
            })
            .request_timeout(Some(patience))
            // Two without an answer, and the connection is made again.
            .ping_interval(silence(patience) / 4)
            .max_reconnects(None)
            .retry_on_initial_connect();
        // The error's source may have the URL.
        let malformed = |_| Error::new(ErrorKind::InvalidData, "a URL is malformed");
        let urls: Result<Vec<ServerAddr>, _> = url.split(',').map(str::parse).collect();
        let client = options.connect(urls.map_err(malformed)?).await.map_err(unreachable)?;
        let mut context = async_nats::jetstream::new(client.clone());
        context.set_timeout(patience);
        Ok(Self { client, context, link, patience })
    }

    /// What is published on this subject, on the running connection and on all later ones.
    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        let malformed = |error| Error::new(ErrorKind::Failed, error);
        self.client.subscribe(subject).await.map_err(malformed)
    }

    /// Asks the server for something, no matter what: so it has got all that was sent before.
    pub(super) async fn round_trip(&self) -> Result<(), Error> {
        let ask = || async {
            let asked = self.client.request("$JS.API.INFO", Bytes::new());
            asked.await.map(drop).map_err(unreachable)
        };
        self.ask(ask).await
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Does what can be repeated, until it is answered.
    pub(super) async fn ask<T, F, Fut>(&self, ask: F) -> Result<T, Error>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let asking = async {
            let mut backoff = Backoff::new();
            loop {
                match self.link.on(Box::pin(ask())).await {
                    Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                    result => return result,
                }
            }
        };
        self.in_time(asking).await
    }

    pub(super) async fn in_time<T, E: From<Error>>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let late = |late| Err(unreachable(late).into());
        timeout(self.patience, operation).await.unwrap_or_else(late)
    }

    /// Opens a stream of the server, and makes it if it is not there.
    pub(super) async fn open(self: &Arc<Self>, config: Config) -> Result<Log, Error> {
        let open = || async { self.context.get_or_create_stream(&config).await.map_err(of_stream) };
        let stream = self.ask(open).await?;
        let found = &stream.cached_info().config;
        if found.description != config.description {
            return Err(ErrorKind::IncompatibleSchema.into());
        }
        // A replica may be behind.
        let direct = found.allow_direct && found.num_replicas == 1;
        let features =
            Features { batches: found.allow_atomic_publish, ages: found.allow_message_ttl, direct };
        let many = direct && self.client.is_server_compatible(2, 11, 0);
        Ok(Log {
            server: Arc::clone(self),
            name: config.name,
            many,
            stream,
            features,
            clock: Mutex::default(),
        })
    }
}

/// What a stream of the server can do, by the server's version and the stream's configuration.
#[derive(Clone, Copy)]
pub(super) struct Features {
    /// Several messages are stored at once, or none.
    pub(super) batches: bool,
    /// A message can say when it is to be removed.
    pub(super) ages: bool,
    /// Messages can be had without a detour.
    direct: bool,
}

/// A stream of the server.
pub(super) struct Log {
    server: Arc<Server>,
    name: String,
    /// Many messages can be had at once.
    many: bool,
    stream: Stream,
    features: Features,
    clock: Mutex<Option<Clock>>,
}

/// What the server's clock said on this connection, and when.
#[derive(Clone, Copy)]
struct Clock {
    connection: u64,
    said: u64,
    at: Instant,
}

impl Log {
    pub(super) fn features(&self) -> Features {
        self.features
    }

    /// How large a message may be.
    pub(super) fn most_bytes(&self) -> usize {
        self.server.client.server_info().max_payload
    }

    /// The header that has a message removed after so long, where the server knows it: seconds, rounded up.
    pub(super) fn aged(&self, message: Message, age: Duration) -> Message {
        let seconds = age.as_secs() + u64::from(age.subsec_nanos() > 0);
        // Longer is as good as for ever, and might not be understood.
        let is_useful = self.features.ages && seconds < 100 * 365 * 86_400;
        if is_useful { message.with("Nats-TTL", &format!("{}s", seconds.max(1))) } else { message }
    }

    /// Stores a message; again only if it was not stored for sure.
    pub(super) async fn store(&self, message: Message) -> Result<u64, Unstored> {
        self.store_all(vec![message]).await
    }

    /// Stores messages at once, or none of them; gives the last one's sequence. More than one need [`Features::batches`].
    pub(super) async fn store_all(&self, messages: Vec<Message>) -> Result<u64, Unstored> {
        let storing = async {
            let mut backoff = Backoff::new();
            loop {
                let mut unstored = None;
                let stored = self.server.link.on(Box::pin(async {
                    match self.try_to_store(messages.clone()).await {
                        Ok(sequence) => Ok(Some(sequence)),
                        Err(why) => {
                            unstored = Some(why);
                            Ok(None)
                        }
                    }
                }));
                match (stored.await.map_err(Unstored::Other)?, unstored) {
                    (Some(sequence), _) => return Ok(sequence),
                    (None, Some(Unstored::NotNow(_))) => backoff.wait().await,
                    (None, Some(why)) => return Err(why),
                    (None, None) => unreachable!("it was stored or not"),
                }
            }
        };
        self.server.in_time(storing).await
    }

    async fn try_to_store(&self, mut messages: Vec<Message>) -> Result<u64, Unstored> {
        let Some(mut last) = messages.pop() else { return Ok(0) };
        if !messages.is_empty() {
            let batch = self.server.client.new_inbox().replace('.', "");
            let count = messages.len() + 1;
            for (n, message) in (1..).zip(messages) {
                let Message { subject, payload, headers } =
                    message.with("Nats-Batch-Id", &batch).with("Nats-Batch-Sequence", &n);
                let sent = self.server.client.publish_with_headers(subject, headers, payload);
                sent.await.map_err(unreachable)?;
            }
            last = last
                .with("Nats-Batch-Id", &batch)
                .with("Nats-Batch-Sequence", &count)
                .with("Nats-Batch-Commit", &1);
        }
        let publish = PublishMessage::build().headers(last.headers).payload(last.payload);
        let acknowledged = self.server.context.send_publish(last.subject, publish).await?.await?;
        Ok(acknowledged.sequence)
    }

    /// The last message on a subject.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Stored>, Error> {
        let get = || async {
            if self.features.direct {
                found(self.stream.direct_get_builder().last_by_subject(subject).send().await)
            } else {
                found_raw(self.stream.raw_message_builder().last_by_subject(subject).send().await)
            }
        };
        self.server.ask(get).await
    }

    /// The first message on a subject that has this sequence or a later one.
    pub(super) async fn next(&self, subject: &str, from: u64) -> Result<Option<Stored>, Error> {
        let get = || async {
            if self.features.direct {
                let get = self.stream.direct_get_builder().next_by_subject(subject);
                found(get.sequence(from).send().await)
            } else {
                let get = self.stream.raw_message_builder().next_by_subject(subject);
                found_raw(get.sequence(from).send().await)
            }
        };
        self.server.ask(get).await
    }

    /// The messages on a subject from this sequence on: one, if there is any, or more of so many bytes.
    pub(super) async fn following(
        &self,
        subject: &str,
        from: u64,
        bytes: u64,
    ) -> Result<Vec<Stored>, Error> {
        if self.many {
            let got = self.server.ask(|| self.get_many(subject, from, bytes)).await?;
            if !got.is_empty() {
                return Ok(got);
            }
        }
        Ok(self.next(subject, from).await?.into_iter().collect())
    }

    /// The client library has no call for this.
    async fn get_many(&self, subject: &str, from: u64, bytes: u64) -> Result<Vec<Stored>, Error> {
        let client = &self.server.client;
        let (get, inbox) = (format!("$JS.API.DIRECT.GET.{}", self.name), client.new_inbox());
        let mut answers = client.subscribe(inbox.clone()).await.map_err(unreachable)?;
        // Nothing in a subject of this store has to be escaped.
        let request = format!(
            r#"{{"seq":{from},"next_by_subj":"{subject}","batch":{MOST_AT_ONCE},"max_bytes":{bytes}}}"#
        );
        client.publish_with_reply(get, inbox, request.into()).await.map_err(unreachable)?;
        let mut got = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.status.map(|status| status.as_u16()) {
                None => got.push(StreamMessage::try_from(answer).map_err(|_| malformed())?.into()),
                // That was all, or there is none.
                Some(204 | 404) => return Ok(got),
                Some(503) => return Err(ErrorKind::Unreachable.into()),
                Some(_) => return Err(ErrorKind::Failed.into()),
            }
        }
        Err(ErrorKind::Unreachable.into())
    }

    /// The message that has this sequence.
    pub(super) async fn at(&self, sequence: u64) -> Result<Option<Stored>, Error> {
        let get = || async {
            if self.features.direct {
                found(self.stream.direct_get_builder().sequence(sequence).send().await)
            } else {
                found_raw(self.stream.raw_message_builder().sequence(sequence).send().await)
            }
        };
        self.server.ask(get).await
    }

    /// Removes a message; says whether it was there. Not repeated: then it would not be known whether it was.
    pub(super) async fn remove(&self, sequence: u64) -> Result<bool, Error> {
        let removing = self.server.link.on(Box::pin(async {
            match self.stream.delete_message(sequence).await {
                Ok(removed) => Ok(removed),
                Err(error) => match error.kind() {
                    DeleteMessageErrorKind::JetStream(error) => match error.error_code().0 {
                        10037 | 10043 | 10057 => Ok(false),
                        _ => Err(answered(error)),
                    },
                    _ => Err(unreachable(error)),
                },
            }
        }));
        self.server.in_time(removing).await
    }

    /// Removes all messages on subjects like this one that are before a sequence.
    pub(super) async fn remove_before(&self, subject: &str, sequence: u64) -> Result<u64, Error> {
        let removing = || async {
            let purged = self.stream.purge().filter(subject).sequence(sequence).await;
            purged.map(|purged| purged.purged).map_err(|error| match error.kind() {
                PurgeErrorKind::JetStream(error) => answered(error),
                _ => unreachable(error),
            })
        };
        self.server.ask(removing).await
    }

    /// All subjects like this one, with how many messages there are on each.
    pub(super) async fn subjects(&self, like: &str) -> Result<HashMap<String, usize>, Error> {
        let listing = || async {
            let info = self.stream.info_with_subjects(like).await.map_err(unreachable)?;
            info.try_collect().await.map_err(unreachable)
        };
        self.server.ask(listing).await
    }

    /// How many messages there are, and the last one's sequence.
    pub(super) async fn count(&self) -> Result<(u64, u64), Error> {
        let counting = || async { self.stream.get_info().await.map_err(unreachable) };
        let state = self.server.ask(counting).await?.state;
        Ok((state.messages, state.last_sequence))
    }

    /// What the server's clock says, in milliseconds; never more. A message is stored now and then to know.
    pub(super) async fn now(&self, subject: &str) -> Result<u64, Error> {
        let connection = self.server.link.number();
        let known = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Clock { said, at, .. }) =
            known.filter(|clock| clock.connection == connection && clock.at.elapsed() < CLOCK)
        {
            return Ok(said + at.elapsed().as_millis() as u64);
        }
        let tick = || async {
            self.store(Message::new(subject, "").alone()).await.map_err(Error::from)?;
            let last = self.last(subject).await?.ok_or(ErrorKind::Unreachable)?;
            // What the clock says is from before this moment.
            Ok(Clock { connection, said: last.time, at: Instant::now() })
        };
        let clock = self.server.ask(tick).await?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock);
        Ok(clock.said)
    }
}

impl From<Unstored> for Error {
    fn from(why: Unstored) -> Self {
        match why {
            Unstored::Overtaken => ErrorKind::Refused.into(),
            Unstored::NotNow(error) | Unstored::Other(error) => error,
        }
    }
}

impl From<Error> for Unstored {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn found(
    got: Result<StreamMessage, async_nats::jetstream::stream::DirectGetError>,
) -> Result<Option<Stored>, Error> {
    match got {
        Ok(message) => Ok(Some(message.into())),
        Err(error) => match error.kind() {
            DirectGetErrorKind::NotFound => Ok(None),
            DirectGetErrorKind::ErrorResponse(..) | DirectGetErrorKind::InvalidSubject => {
                Err(Error::new(ErrorKind::Failed, error))
            }
            _ => Err(unreachable(error)),
        },
    }
}

fn found_raw(
    got: Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>,
) -> Result<Option<Stored>, Error> {
    match got {
        Ok(message) => Ok(Some(message.into())),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(error) => Err(answered(error)),
            LastRawMessageErrorKind::InvalidSubject => Err(Error::new(ErrorKind::Failed, error)),
            LastRawMessageErrorKind::Other => Err(unreachable(error)),
        },
    }
}
