//! Redis: a stream for each stream, one script a batch, and a blocking read for those who wait.
//!
//! | file | job |
//! |---|---|
//! | `scripts` | what runs in the server, each as one step |
//! | `server` | runs them, again where that is safe |
//! | `reply` | takes their answers apart |
//! | `streams`, `sessions` | what the scripts are given, and what their answers mean |
//! | `listen` | wakes who waits |

mod error;
mod listen;
mod reply;
mod server;
mod sessions;
mod streams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::tls::Authorities;
use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, ErrorKind, Extent, Key, NewSession, NewStream, Page, Purge, Record,
    Session, SessionStore, Store, Swept,
};
use listen::Listener;
use server::Server;

/// Where a Redis store is, and how it is used.
///
/// ```no_run
/// # async fn connect() -> Result<(), tower_sse_resume::store::Error> {
/// use tower_sse_resume::store::RedisOptions;
///
/// let store = RedisOptions::new("redis://cache.example/").connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    url: String,
    authorities: Option<Authorities>,
    prefix: String,
    patience: Duration,
}

impl RedisOptions {
    /// A store in the server that this URL names: `redis://`, or `rediss://` for TLS. What encrypts is the process's
    /// default provider of `rustls`; if there is none, this makes it *ring*.
    pub fn new(url: impl Into<String>) -> Self {
        let (url, prefix) = (url.into(), "sse-resume".into());
        Self { url, authorities: None, prefix, patience: Duration::from_secs(10) }
    }

    /// What all keys begin with, in braces: `{sse-resume}:…`. Default: `sse-resume`.
    ///
    /// A cluster keeps what has the same text in braces in one place, so all of one store is on one of its nodes.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Trusts servers whose certificate one of these authorities has signed, and no others: one or more certificates in
    /// PEM. Default: what the platform trusts.
    ///
    /// The URL has to be one of `rediss://` then.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(Authorities::new(pem));
        self
    }

    /// How long an operation takes at most before it fails with `Unreachable`. While the server is away or loads its
    /// data, an operation that it has not got, or that only reads, is tried again for so long. Default: 10 s.
    ///
    /// A sweep, an expiry and a purge have so long for each 200 streams or sessions. A connection on which the server
    /// is silent for so long, or for 10 s if that is shorter, is made again, in case another server has taken its
    /// place.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects to the store.
    ///
    /// # Errors
    /// `Unreachable`: there is no answer, for as long as [`patience`](Self::patience) says. `IncompatibleSchema`: the
    /// keys were made by a newer version. `InvalidData`: the URL is malformed, or the prefix is empty or has braces.
    /// `Failed`: the server refuses, for example the password, or its certificate is not trusted.
    pub async fn connect(self) -> Result<RedisStore, Error> {
        RedisStore::connect(self).await
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password.
        f.debug_struct("RedisOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A store in Redis 7.0 or newer, or Valkey; made by [`RedisOptions`]. Clones share its two connections, which are closed
/// when the last clone is dropped. Needs a Tokio runtime with I/O and time.
///
/// - **Restarts** of the server are survived: connections are made again, with waits that grow up to a second and are
///   never the same, and whoever waits looks again after each. What was under way fails with `Unreachable`.
/// - **Clock:** the server's.
/// - **Durability** is the server's: with `appendonly yes` and `appendfsync always` nothing acknowledged is lost by a
///   crash; with `everysec` a power failure takes the last second; without `appendonly` all since the last snapshot goes.
///   A failover to a replica takes what that one had not got. Choose `maxmemory-policy noeviction`: all is in memory.
/// - **Clusters:** all keys of a store are in one slot, and the URL has to name the node that has it.
/// - **Expiry:** what no instance sweeps any more, Redis removes by itself, a day later.
#[derive(Clone)]
pub struct RedisStore(Arc<Shared>);

struct Shared {
    server: Server,
    wakeups: Arc<Wakeups>,
    _listener: Listener,
}

impl RedisStore {
    async fn connect(options: RedisOptions) -> Result<Self, Error> {
        if options.prefix.is_empty() || options.prefix.contains(['{', '}']) {
            let rule = "a key prefix is not empty, and has no braces";
            return Err(Error::new(ErrorKind::InvalidData, rule));
        }
        let server = Server::new(&options)?;
        server.check_schema().await?;
        let wakeups = Arc::new(Wakeups::default());
        let listener = Listener::start(&server, Arc::clone(&wakeups)).await?;
        Ok(Self(Arc::new(Shared { server, wakeups, _listener: listener })))
    }

    fn server(&self) -> &Server {
        &self.0.server
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        streams::create(self.server(), stream, new).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        streams::append(self.server(), batch).await
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        streams::record(self.server(), stream).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        streams::read(self.server(), stream, after, bytes).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let look = || streams::extent(self.server(), stream);
        self.0.wakeups.until_news(stream, seen, look).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        streams::claim(self.server(), stream, claim).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        streams::renew(self.server(), instance, lease).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        streams::sweep(self.server()).await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        streams::purge(self.server(), what).await
    }
}

impl SessionStore for RedisStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        sessions::create(self.server(), id, new, most).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        sessions::get(self.server(), id).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        sessions::touch(self.server(), id).await
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        sessions::value(self.server(), id, name).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        sessions::set(self.server(), id, name, value.as_deref()).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let (expected, value) = (expected.as_deref(), value.as_deref());
        sessions::compare_and_set(self.server(), id, name, expected, value).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        sessions::list(self.server(), after, limit).await
    }

    async fn count(&self) -> Result<u64, Error> {
        sessions::count(self.server()).await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        sessions::expire(self.server()).await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        sessions::delete(self.server(), id).await
    }
}
