//! PostgreSQL: one statement a batch, and notifications for those who wait.
//!
//! | file | job |
//! |---|---|
//! | `pool` | connections, made again when they are lost |
//! | `tls` | how a connection is made |
//! | `schema` | makes and migrates the tables |
//! | `streams`, `sessions` | the statements |
//! | `listen` | wakes who waits, by the server's notifications |

mod error;
mod listen;
mod pool;
mod schema;
mod sessions;
mod streams;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::tls::Authorities;
use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, Extent, Key, NewSession, NewStream, Page, Purge, Record, Session,
    SessionStore, Store, Swept, sql,
};
use listen::Listener;
use pool::Pool;

/// Where a PostgreSQL store is, and how it is used.
///
/// ```no_run
/// # async fn connect() -> Result<(), tower_sse_resume::store::Error> {
/// use tower_sse_resume::store::PostgresOptions;
///
/// let store = PostgresOptions::new("postgres://ada@db.example/events").connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    url: String,
    authorities: Option<Authorities>,
    prefix: String,
    connections: usize,
    patience: Duration,
}

impl PostgresOptions {
    /// A store in the database that this URL, or `key=value` string, names. TLS is used as its `sslmode` says
    /// (`disable`, `prefer`, which is the default, `require`), and the server's certificate has to be one that the
    /// platform trusts, or [`root_certificates`](Self::root_certificates).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            authorities: None,
            prefix: sql::TABLE_PREFIX.into(),
            connections: 4,
            patience: Duration::from_secs(10),
        }
    }

    /// What the names of the tables begin with: a-z, 0-9 and `_`; a schema is named by the URL's `search_path`. Default:
    /// `sse_resume_`.
    #[must_use]
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many connections are used at most, beside the one that listens. Each runs many statements one after the
    /// other, and nobody waits for a free one. Default: 4; 0 counts as 1.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Trusts servers whose certificate one of these authorities has signed, and no others: one or more certificates in
    /// PEM. Default: what the platform trusts.
    ///
    /// Whether there has to be TLS, the URL's `sslmode` says.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(Authorities::new(pem));
        self
    }

    /// How long an operation takes at most before it fails with `Unreachable`. While the server is away, an operation
    /// tries to connect again for so long, and one that only reads is repeated. Default: 10 s.
    ///
    /// A sweep and a purge have so long for each statement. A connection on which the server is silent for so long,
    /// or for 10 s if that is shorter, is made again, in case another server has taken its place.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects to the store; creates or migrates its tables.
    ///
    /// # Errors
    /// `Unreachable`: there is no answer, for as long as [`patience`](Self::patience) says. `IncompatibleSchema`: the
    /// tables were made by a newer version. `InvalidData`: the URL or the prefix is malformed. `Failed`: the server
    /// refuses, for example the password, or its certificate is not trusted.
    pub async fn connect(self) -> Result<PostgresStore, Error> {
        PostgresStore::connect(self).await
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password.
        let mut shown = f.debug_struct("PostgresOptions");
        shown.field("prefix", &self.prefix).field("connections", &self.connections);
        shown.finish_non_exhaustive()
    }
}

/// A store in a PostgreSQL database, 13 or newer; made by [`PostgresOptions`]. Clones share its connections, which are
/// closed when the last clone is dropped. Needs a Tokio runtime with I/O and time.
///
/// - **Restarts** of the server are survived: connections are made again, with waits that grow up to a second and are
///   never the same, and whoever waits looks again after each. What was under way fails with `Unreachable`.
/// - **Clock:** the server's.
/// - **Durability** is the server's: with `synchronous_commit = on` (the default) nothing acknowledged is lost by a
///   crash; with `off`, the last fraction of a second may be.
/// - **Poolers:** behind one that pools transactions (PgBouncer in its `transaction` mode), `LISTEN` does not work, and
///   nobody is woken. Connect to the server itself, or pool sessions.
/// - **Sessions:** their cap may be passed by as many as are created at the same moment.
/// - **Vacuum:** each append updates one row and adds one for each piece; what is swept is left to autovacuum.
#[derive(Clone)]
pub struct PostgresStore(Arc<Shared>);

struct Shared {
    pool: Pool,
    wakeups: Arc<Wakeups>,
    _listener: Listener,
}

impl PostgresStore {
    async fn connect(options: PostgresOptions) -> Result<Self, Error> {
        sql::check_prefix(&options.prefix)?;
        let pool = Pool::new(&options)?;
        pool.migrate().await?;
        let wakeups = Arc::new(Wakeups::default());
        let listener = Listener::start(&options, Arc::clone(&wakeups)).await?;
        Ok(Self(Arc::new(Shared { pool, wakeups, _listener: listener })))
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        self.pool().in_time(streams::create(self.pool(), stream, new)).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        streams::append(self.pool(), batch).await
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        streams::record(self.pool(), stream).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        streams::read(self.pool(), stream, after, bytes).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let look = || streams::extent(self.pool(), stream);
        self.0.wakeups.until_news(stream, seen, look).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let claiming = async {
            streams::claim(self.pool(), stream, claim).await?;
            self.record(stream).await
        };
        self.pool().in_time(claiming).await
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        streams::renew(self.pool(), instance, lease).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        streams::sweep(self.pool()).await
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        streams::purge(self.pool(), what).await
    }
}

impl SessionStore for PostgresStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        self.pool().in_time(sessions::create(self.pool(), id, new, most)).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        sessions::get(self.pool(), id).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        sessions::touch(self.pool(), id).await
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        sessions::value(self.pool(), id, name).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        sessions::set(self.pool(), id, name, value.as_deref()).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let (expected, value) = (expected.as_deref(), value.as_deref());
        sessions::compare_and_set(self.pool(), id, name, expected, value).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        sessions::list(self.pool(), after, limit).await
    }

    async fn count(&self) -> Result<u64, Error> {
        sessions::count(self.pool()).await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        sessions::expire(self.pool()).await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        sessions::delete(self.pool(), id).await
    }
}
