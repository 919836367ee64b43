//! DynamoDB: all in one table, a conditional write or a transaction for each change.
//!
//! | file | job |
//! |---|---|
//! | `access` | makes clients of what the options say |
//! | `server` | asks, again where that is safe |
//! | `item` | items, and changes of them |
//! | `clock` | what time it is there |
//! | `head`, `steps` | how a stream and its events lie in items |
//! | `streams`, `pages`, `sweep`, `sessions` | what is asked |
//! | `poll` | wakes who waits, by looking |
//! | `topic`, `inbox`, `queues` | the same, by SNS and a queue of SQS |
//!
//! The table has the string keys `pk` and `sk`. A name is in hexadecimal digits, and all partitions begin with the
//! prefix:
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `schema` | `schema` | the version of all this |
//! | `stream#NAME` | `head` | the stream; its state is 3 when it was purged, 4 while it is removed |
//! | | `LIFE#origin` | its origin |
//! | | `LIFE#step#LAST` | the events of an append, under the offset of the last one |
//! | | `LIFE#chunk#FIRST#ATTEMPT#N` | bytes of a larger append, which its step names |
//! | `streams`, `of-session#NAME`, `of-owner#NAME` | name of a stream | where streams are found |
//! | `leases` | name of an instance | until when |
//! | `sessions` | name of a session | the session |
//! | `values#NAME` | `LIFE#NAME` | a value of a session |
//! | `queues` | URL of a queue | until when it is kept |
//! | `counts` | `sessions` | how many there are |

mod access;
mod clock;
mod error;
mod head;
mod inbox;
mod item;
mod pages;
mod poll;
mod queues;
mod server;
mod sessions;
mod steps;
mod streams;
mod sweep;
mod topic;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use bytes::Bytes;

use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, ErrorKind, Extent, Key, NewSession, NewStream, Page, Purge, Record,
    Session, SessionStore, Store, Swept,
};
use access::Access;
use poll::Poll;
use server::Server;
use sessions::Sessions;
use streams::Streams;
use topic::Topic;

/// Where a DynamoDB store is, and how it is used.
///
/// ```no_run
/// # async fn connect() -> Result<(), tower_sse_resume::store::Error> {
/// use tower_sse_resume::store::DynamoDbOptions;
///
/// let store = DynamoDbOptions::new("sse-resume").region("eu-central-1").connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DynamoDbOptions {
    table: String,
    access: Access,
    client: Option<Client>,
    prefix: String,
    patience: Duration,
    poll: Duration,
    topic: Option<String>,
    topic_endpoint: Option<String>,
    topic_clients: Option<(aws_sdk_sns::Client, aws_sdk_sqs::Client)>,
}

impl DynamoDbOptions {
    /// A store in this table, which [`connect`](Self::connect) makes if it is not there: billed on demand, with the
    /// string keys `pk` and `sk`, and with `ttl` as the attribute of its time to live.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            access: Access::default(),
            client: None,
            prefix: "sse-resume".into(),
            patience: Duration::from_secs(10),
            poll: Duration::from_millis(250),
            topic: None,
            topic_endpoint: None,
            topic_clients: None,
        }
    }

    /// The client to use, for example one that `aws-config` has configured, with all that it is configured with but its
    /// retries: the store makes its own, since it has to know which. Default: one made of what is said here.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// The URL of the service. Default: that of the region.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.access.endpoint = Some(url.into());
        self
    }

    /// The region. Default: what `AWS_REGION` says, or else `us-east-1`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.access.region = Some(region.into());
        self
    }

    /// An access key and its secret, which do not change. Default: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and
    /// `AWS_SESSION_TOKEN` if there is one. For roles, give a [`client`](Self::client).
    #[must_use]
    pub fn credentials(mut self, key: impl Into<String>, secret: impl Into<String>) -> Self {
        self.access.credentials = Some(Credentials::new(key, secret, None, None, "options"));
        self
    }

    /// What all partition keys begin with, before a `#`. Default: `sse-resume`.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long an operation takes at most before it fails with `Unreachable`. While the service is away or throttles,
    /// what it has not done, or what only reads, is tried again for so long. Default: 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How often it is looked at those streams that somebody waits for, each time up to a half later. One request has a
    /// hundred streams; each costs half a read. With a [`topic`](Self::topic) that works, ten times more rarely. Default: 250 ms.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// A standard topic of SNS, by its ARN, through which instances wake each other. Each one makes a queue in SQS for
    /// itself, subscribes it, and removes both when the store is dropped; of one that dies, [`sweep`](Store::sweep)
    /// removes them a day later. It may `sns:Publish`, `sns:Subscribe` and
    /// `sns:Unsubscribe`, and with queues whose names begin with `sse-resume-` it may do all but `sqs:SendMessage`. While
    /// one of the two services is away, it is [looked](Self::poll) as without them. Default: none.
    ///
    /// Of a stream that changed, its name is told, in hexadecimal digits; several at once while one is under way.
    #[must_use]
    pub fn topic(mut self, arn: impl Into<String>) -> Self {
        self.topic = Some(arn.into());
        self
    }

    /// The URL of both SNS and SQS. Default: those of the topic's region.
    #[must_use]
    pub fn topic_endpoint(mut self, url: impl Into<String>) -> Self {
        self.topic_endpoint = Some(url.into());
        self
    }

    /// The clients for the topic. Default: ones with the [`credentials`](Self::credentials) that were given here.
    #[must_use]
    pub fn topic_clients(mut self, sns: aws_sdk_sns::Client, sqs: aws_sdk_sqs::Client) -> Self {
        self.topic_clients = Some((sns, sqs));
        self
    }

    /// Connects to the store.
    ///
    /// # Errors
    /// `Unreachable`: there is no answer, for as long as [`patience`](Self::patience) says. `IncompatibleSchema`: the
    /// items were made by another version. `InvalidData`: there are no credentials, or the prefix is malformed.
    /// `Failed`: the service refuses, for example the credentials.
    pub async fn connect(self) -> Result<DynamoDbStore, Error> {
        DynamoDbStore::connect(self).await
    }
}

impl fmt::Debug for DynamoDbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DynamoDbOptions");
        shown.field("table", &self.table).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A store in a table of DynamoDB; made by [`DynamoDbOptions`]. Clones share its connections and the task that looks for
/// news, which ends when the last clone is dropped. Needs a Tokio runtime with I/O and time.
///
/// - **Fencing:** each change of a stream is a conditional write of one item, its head, in one transaction with the
///   events. More than 256 KiB of events are stored first, and the transaction names them: a crash between the two
///   leaves bytes that nobody reads, until the stream is trimmed or removed.
/// - **Clock:** that of the service, as its answers say it. They say the second; what all of them say together is known
///   to about the time that a question takes, and until then less. Nothing lapses too soon by what is not known: a
///   lease, an age or an idle time lasts up to a second longer. Clocks of instances do not count;
///   but requests are signed with their time, and the service refuses one that is five minutes off.
/// - **Who waits** is woken at once by writes through the same store or a clone; by others through a
///   [topic](DynamoDbOptions::topic) where there is one, or when it is next [looked](DynamoDbOptions::poll).
/// - **Outages** are survived: whoever waits goes on, and looks again. Of a write that had no answer it is not known
///   whether it happened: `Unreachable`. What was throttled, or got in the way of another transaction, is tried again.
/// - **Durability** is the service's: what it has acknowledged stays.
/// - **Costs:** an append is a transaction of two items, of which each costs twice its size; without events, it is one
///   write. A look at a stream is two reads, and a page as many more as its size says. A sweep looks at each stream, and
///   an expiry of sessions reads all of them: choose their periods by that. A session is written with its metadata each
///   time that it is touched.
/// - **Expiry:** events and tombstones that no instance sweeps any more, DynamoDB removes by itself, a day late or more.
///   Streams and sessions stay until they are swept.
///
/// It is tested against substitutes for the services: [dynoxide](https://crates.io/crates/dynoxide-rs) for DynamoDB, and
/// [moto](https://pypi.org/project/moto/) for SNS and SQS.
#[derive(Clone)]
pub struct DynamoDbStore(Arc<Shared>);

struct Shared {
    streams: Arc<Streams>,
    sessions: Sessions,
    poll: Poll,
}

impl DynamoDbStore {
    async fn connect(options: DynamoDbOptions) -> Result<Self, Error> {
        if options.prefix.is_empty() || options.prefix.len() > 255 || options.prefix.contains('#') {
            let rule = "a key prefix has 1 to 255 bytes, and no #";
            return Err(Error::new(ErrorKind::InvalidData, rule));
        }
        let patience = options.patience;
        let wakeups = Arc::new(Wakeups::default());
        let topic = match &options.topic {
            Some(arn) => {
                let (sns, sqs) = match options.topic_clients {
                    Some(clients) => clients,
                    None => options.access.topic(arn, options.topic_endpoint.as_deref())?,
                };
                Some(Topic::open(sns, sqs, arn, patience, &wakeups).await?)
            }
            None => None,
        };
        let client = match options.client {
            Some(client) => client,
            None => options.access.table()?,
        };
        let server = Server::new(&client, options.table, options.prefix, patience);
        server.open().await?;
        let streams = Arc::new(Streams::new(server, wakeups, topic));
        streams.note_queue().await?;
        let poll = Poll::start(&streams, options.poll);
        let sessions = Sessions(Arc::clone(&streams));
        Ok(Self(Arc::new(Shared { streams, sessions, poll })))
    }
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore").finish_non_exhaustive()
    }
}

impl Store for DynamoDbStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.0.streams.create(stream, new).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        self.0.streams.append(batch).await
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        self.0.streams.record(stream).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        self.0.streams.read(stream, after, bytes).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let look = || {
            // By now it is known who waits for what.
            self.0.poll.begin();
            self.0.streams.extent(stream)
        };
        self.0.streams.wakeups.until_news(stream, seen, look).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        self.0.streams.claim(stream, claim).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.0.streams.renew(instance, lease).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        self.0.streams.sweep().await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        self.0.streams.purge(what).await
    }
}

impl SessionStore for DynamoDbStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        self.0.sessions.create(id, new, most).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        self.0.sessions.get(id).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        self.0.sessions.touch(id).await
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        self.0.sessions.value(id, name).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        self.0.sessions.set(id, name, value).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        self.0.sessions.compare_and_set(id, name, expected, value).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        self.0.sessions.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, Error> {
        self.0.sessions.count().await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        self.0.sessions.expire().await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        self.0.sessions.delete(id).await
    }
}
