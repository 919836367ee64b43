//! SQLite: one file, for the processes of one host.
//!
//! | file | job |
//! |---|---|
//! | `database` | opens the file, makes and migrates the schema, runs what it is given on threads of its own |
//! | `streams`, `sessions` | the statements |
//! | `watch` | notices what other connections wrote |
//!
//! SQLite cannot notify other connections, so a thread looks at `PRAGMA data_version` each few milliseconds, which
//! takes a microsecond, and only while somebody waits.

mod database;
mod error;
mod sessions;
mod streams;
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::wakeup::Wakeups;
use super::{
    Append, Claim, Error, Extent, Key, NewSession, NewStream, Page, Purge, Record, Session,
    SessionStore, Store, Swept, sql,
};
use database::{Database, Worker};
use error::Failure;
use watch::Watch;

/// Where a SQLite store is, and how it is used.
///
/// ```no_run
/// # async fn open() -> Result<(), tower_sse_resume::store::Error> {
/// use tower_sse_resume::store::SqliteOptions;
///
/// let store = SqliteOptions::new("streams.db").open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    prefix: String,
    survive_power_loss: bool,
    look_every: Duration,
}

impl SqliteOptions {
    /// A store in this file, which is created if it is missing. Beside it there are, while it is open, `-wal` and
    /// `-shm`. It has to be on a local disk.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            prefix: sql::TABLE_PREFIX.into(),
            survive_power_loss: true,
            look_every: Duration::from_millis(5),
        }
    }

    /// What the names of the tables begin with: a-z, 0-9 and `_`. Default: `sse_resume_`.
    #[must_use]
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Whether what was acknowledged survives that the power fails: each write waits for the disk
    /// (`synchronous = FULL`). Without it, writes are several times quicker, and still survive that the process is
    /// killed; a power failure then takes the last ones back. Default: `true`.
    #[must_use]
    pub fn survive_power_loss(mut self, survive: bool) -> Self {
        self.survive_power_loss = survive;
        self
    }

    /// How often to look for what other connections wrote, while somebody waits for it. Default: 5 ms.
    #[must_use]
    pub fn look_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// Opens the store; creates or migrates its tables.
    ///
    /// # Errors
    /// `Unreachable`: the file cannot be opened. `IncompatibleSchema`: it was made by a newer version. `InvalidData`: the
    /// file is no database, or the prefix is no plain name.
    pub async fn open(self) -> Result<SqliteStore, Error> {
        sql::check_prefix(&self.prefix)?;
        SqliteStore::open(self).await
    }
}

/// A store in a file; made by [`SqliteOptions`]. Clones share its threads: one that writes, two that read, and one that
/// looks for news. They end when the last clone is dropped.
///
/// - **For** one host: several processes may open the same file. Over a network file system they must not.
/// - **Clock:** the host's. If it is set forward, leases lapse and ages pass early.
/// - **A killed process** leaves what was acknowledged, and of the rest each write whole or not at all. For a power
///   failure see [`survive_power_loss`](SqliteOptions::survive_power_loss).
/// - **Contention:** one process writes at a time. A write that waits for others for 10 seconds fails with
///   `Unreachable`, and has not happened.
/// - **Size:** what is swept makes room in the file, which does not shrink.
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    writer: Worker,
    reader: Worker,
    watch: Watch,
    wakeups: Arc<Wakeups>,
}

impl SqliteStore {
    async fn open(options: SqliteOptions) -> Result<Self, Error> {
        let wakeups = Arc::new(Wakeups::default());
        // The first one makes the schema.
        let writer = Worker::start(&options, 1).await?;
        let reader = Worker::start(&options, 2).await?;
        let watch = Watch::start(&options, Arc::clone(&wakeups)).await?;
        Ok(Self(Arc::new(Shared { writer, reader, watch, wakeups })))
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.writer.run(job).await
    }

    async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.reader.run(job).await
    }

    async fn extent(&self, stream: &Key) -> Result<Extent, Error> {
        let stream = stream.clone();
        self.look(move |database| streams::extent(database, &stream)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// The clock of the store: milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

impl Store for SqliteStore {
    async fn create(&self, stream: &Key, new: &NewStream) -> Result<(), Error> {
        let (stream, new) = (stream.clone(), new.clone());
        self.write(move |database| streams::create(database, &stream, &new)).await
    }

    async fn append(&self, batch: &[Append]) -> Result<Vec<Result<(), Error>>, Error> {
        Append::check(batch)?;
        let entries = batch.to_vec();
        let results = self.write(move |database| streams::append(database, &entries)).await?;
        for (append, _) in batch.iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            self.0.wakeups.wake(&append.stream);
        }
        Ok(results)
    }

    async fn record(&self, stream: &Key) -> Result<Record, Error> {
        let stream = stream.clone();
        self.look(move |database| streams::record(database, &stream)).await
    }

    async fn read(&self, stream: &Key, after: u64, bytes: usize) -> Result<Page, Error> {
        let stream = stream.clone();
        self.look(move |database| streams::read(database, &stream, after, bytes)).await
    }

    async fn wait(&self, stream: &Key, seen: &Extent) -> Result<Extent, Error> {
        let _watching = self.0.watch.watching();
        self.0.wakeups.until_news(stream, seen, || self.extent(stream)).await
    }

    async fn claim(&self, stream: &Key, claim: &Claim) -> Result<Record, Error> {
        let (key, claim) = (stream.clone(), claim.clone());
        let record = self.write(move |database| streams::claim(database, &key, &claim)).await?;
        self.0.wakeups.wake(stream);
        Ok(record)
    }

    async fn renew(&self, instance: &Key, lease: Duration) -> Result<(), Error> {
        let instance = instance.clone();
        self.write(move |database| streams::renew(database, &instance, lease)).await
    }

    async fn sweep(&self) -> Result<Swept, Error> {
        let swept = self.write(streams::sweep).await?;
        if swept.streams > 0 {
            self.0.wakeups.wake_all();
        }
        Ok(swept)
    }

    async fn purge(&self, what: &Purge) -> Result<u64, Error> {
        let what = what.clone();
        let purged = self.write(move |database| streams::purge(database, &what)).await?;
        if purged > 0 {
            self.0.wakeups.wake_all();
        }
        Ok(purged)
    }
}

impl SessionStore for SqliteStore {
    async fn create_session(&self, id: &Key, new: &NewSession, most: u64) -> Result<(), Error> {
        let (id, new) = (id.clone(), new.clone());
        self.write(move |database| sessions::create(database, &id, &new, most)).await
    }

    async fn session(&self, id: &Key) -> Result<Session, Error> {
        let id = id.clone();
        self.look(move |database| sessions::get(database, &id)).await
    }

    async fn touch(&self, id: &Key) -> Result<(), Error> {
        let id = id.clone();
        self.write(move |database| sessions::touch(database, &id)).await
    }

    async fn value(&self, id: &Key, name: &Key) -> Result<Option<Bytes>, Error> {
        let (id, name) = (id.clone(), name.clone());
        self.look(move |database| sessions::value(database, &id, &name)).await
    }

    async fn set_value(&self, id: &Key, name: &Key, value: Option<Bytes>) -> Result<(), Error> {
        let (id, name) = (id.clone(), name.clone());
        self.write(move |database| sessions::set(database, &id, &name, value)).await
    }

    async fn compare_and_set(
        &self,
        id: &Key,
        name: &Key,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<bool, Error> {
        let (id, name) = (id.clone(), name.clone());
        let set = move |database: &mut Database| {
            sessions::compare_and_set(database, &id, &name, expected.as_ref(), value)
        };
        self.write(set).await
    }

    async fn list(&self, after: Option<&Key>, limit: usize) -> Result<Vec<Session>, Error> {
        let after = after.cloned();
        self.look(move |database| sessions::list(database, after.as_ref(), limit)).await
    }

    async fn count(&self) -> Result<u64, Error> {
        self.look(sessions::count).await
    }

    async fn expire(&self) -> Result<Vec<Key>, Error> {
        self.write(sessions::expire).await
    }

    async fn delete(&self, id: &Key) -> Result<bool, Error> {
        let id = id.clone();
        self.write(move |database| sessions::delete(database, &id)).await
    }
}
