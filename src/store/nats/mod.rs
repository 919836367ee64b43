//! NATS JetStream: one subject a stream, whose last message says all about it, and a core subscription for those who
//! wait.
//!
//! | file | job |
//! |---|---|
//! | `link`, `error` | whether there is a connection, and what went wrong |
//! | `server` | messages into the server and out of it |
//! | `bytes`, `step` | what a stream's messages say |
//! | `subjects` | what they are called |
//! | `streams`, `pages`, `sweep` | what a store does with them |
//! | `sessions` | sessions and their values, in buckets of their own |
//! | `listen` | wakes who waits |

mod bytes;
mod error;
mod link;
mod listen;
mod pages;
mod server;
mod sessions;
mod step;
mod streams;
mod subjects;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use async_nats::ConnectOptions;

use super::tls::{self, Authorities};
use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, ErrorKind, Extent, Key, NewSession, NewStream, Page, Purge, Record,
    Session, SessionStore, Store, Swept,
};
use listen::Listener;
use server::Server;
use sessions::Sessions;
use streams::Streams;

/// Where a NATS store is, and how it is used.
///
/// ```no_run
/// # async fn connect() -> Result<(), tower_sse_resume::store::Error> {
/// use tower_sse_resume::store::NatsOptions;
///
/// let store = NatsOptions::new("nats://nats.example").connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct NatsOptions {
    url: String,
    authorities: Option<Authorities>,
    prefix: String,
    replicas: usize,
    patience: Duration,
}

impl NatsOptions {
    /// A store in the server or cluster that this URL names: `nats://`, or `tls://`, with a user and a password or a
    /// token in it where that is needed. Several servers of a cluster are separated by commas.
    pub fn new(url: impl Into<String>) -> Self {
        let (url, prefix) = (url.into(), "sse-resume".into());
        Self { url, authorities: None, prefix, replicas: 1, patience: Duration::from_secs(10) }
    }

    /// What the store's three streams and all its subjects begin with: ASCII letters, digits, `-` and `_`. Default:
    /// `sse-resume`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// On how many servers of a cluster all is kept, when the streams are made. Default: 1.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Trusts servers whose certificate one of these authorities has signed, and no others: one or more certificates in
    /// PEM. Default: what the platform trusts.
    ///
    /// The connection has to have TLS then, whatever the URL says.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(Authorities::new(pem));
        self
    }

    /// How long an operation takes at most before it fails with `Unreachable`. While the server is away, an operation
    /// that it has not got, or that only reads, is tried again for so long. Default: 10 s.
    ///
    /// A sweep, an expiry, a list of sessions, and a purge of more than one stream have so long for each request. A
    /// connection on which the server is silent for so long, or for 10 s if that is shorter, is made again, in case
    /// another server has taken its place.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects to the store, and makes its streams if they are not there.
    ///
    /// # Errors
    /// `Unreachable`: there is no answer, for as long as [`patience`](Self::patience) says; that is also so when the
    /// server refuses the password, or its certificate is not trusted. `IncompatibleSchema`: the streams were made by another version, or by something
    /// else. `InvalidData`: the URL or the prefix is malformed. `Failed`: the server refuses to make the streams.
    pub async fn connect(self) -> Result<NatsStore, Error> {
        NatsStore::connect(self).await
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password.
        f.debug_struct("NatsOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A store in NATS JetStream, 2.9 or newer; made by [`NatsOptions`]. Clones share its connection, which is closed when
/// the last clone is dropped. Needs a Tokio runtime with I/O and time.
///
/// - **Fencing:** each change of a stream is one message on one subject, stored only if the last one there is the one
///   that the writer knows.
/// - **By the server's version:** from 2.12 on, what does not fit into that message (above 32 KiB of events) goes with
///   it as one atomic batch. Before, it is stored first, and the message names it: a crash between the two leaves bytes
///   that nobody reads, until the stream is trimmed or removed. From 2.11 on, such bytes and tombstones also go by
///   themselves (bytes after twice the age and a minute); before, only by [`sweep`](Store::sweep). It counts what the
///   server could do when the store's streams were made.
/// - **Restarts** of the server are survived: the connection is made again, with waits that grow to less than a second
///   and are never the same, and whoever waits looks again. What was under way fails with `Unreachable`, at once.
/// - **Clock:** the server's, as the times of its messages say; in a cluster that of the streams' leader, so that the
///   servers' clocks have to agree to well below a lease. An instance looks at it every ten seconds.
/// - **Durability** is the server's: a crash of it loses nothing that was acknowledged; a power failure takes what was
///   written since the last `sync_interval` (two minutes, where it is not set; `sync: always` is safe) unless
///   [replicas](NatsOptions::replicas) have it.
/// - **Costs:** an append is one message; a look at a stream two, and a page as many as the appends that it has events
///   of, or from 2.11 on and without replicas a few. A sweep looks at each stream, and pages of sessions begin with a list of all: choose its period by that. An
///   append carries the progress that was stored last.
/// - **Sessions** are in a bucket of their own, and their values in another one. The cap on sessions may be passed by as
///   many as are created at the same time.
#[derive(Clone)]
pub struct NatsStore(Arc<Shared>);

struct Shared {
    server: Arc<Server>,
    streams: Arc<Streams>,
    sessions: Sessions,
    wakeups: Arc<Wakeups>,
    _listener: Listener,
}

impl NatsStore {
    async fn connect(options: NatsOptions) -> Result<Self, Error> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if options.prefix.is_empty() || !options.prefix.bytes().all(is_fit) {
            let rule = "a prefix has ASCII letters, digits, - and _";
            return Err(Error::new(ErrorKind::InvalidData, rule));
        }
        let roots = tls::roots(options.authorities.as_ref())?;
        let client = ConnectOptions::new()
            .require_tls(options.authorities.is_some())
            .tls_client_config(tls::client(roots)?);
        let server = Arc::new(Server::connect(&options.url, client, options.patience).await?);
        let (prefix, replicas) = (&options.prefix, options.replicas);
        let streams = Arc::new(Streams::open(&server, prefix, replicas).await?);
        let sessions = Sessions::open(&server, prefix, replicas, Arc::clone(&streams)).await?;
        let wakeups = Arc::new(Wakeups::default());
        let listener = Listener::start(&server, prefix, Arc::clone(&wakeups)).await?;
        Ok(Self(Arc::new(Shared { server, streams, sessions, wakeups, _listener: listener })))
    }

    /// Many requests may be one operation.
    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.0.server.in_time(Box::pin(operation)).await
    }
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").finish_non_exhaustive()
    }
}

impl Store for NatsStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.in_time(self.0.streams.create(stream, new)).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        self.in_time(self.0.streams.append(batch)).await
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        self.in_time(self.0.streams.record(stream)).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        self.in_time(self.0.streams.read(stream, after, bytes)).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let look = || self.in_time(self.0.streams.extent(stream));
        self.0.wakeups.until_news(stream, seen, look).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        self.in_time(self.0.streams.claim(stream, claim)).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        self.in_time(self.0.streams.renew(instance, lease)).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        self.0.streams.sweep().await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        self.0.streams.purge(what).await
    }
}

impl SessionStore for NatsStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        self.in_time(self.0.sessions.create(id, new, most)).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        self.in_time(self.0.sessions.get(id)).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        self.in_time(self.0.sessions.touch(id)).await
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        self.in_time(self.0.sessions.value(id, name)).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        self.in_time(self.0.sessions.set(id, name, value)).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        self.in_time(self.0.sessions.compare_and_set(id, name, expected, value)).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        self.0.sessions.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, Error> {
        self.in_time(self.0.sessions.count()).await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        self.0.sessions.expire().await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        self.in_time(self.0.sessions.delete(id)).await
    }
}
