//! A connection to the file, and threads that each have one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::SqliteOptions;
use super::error::Failure;
use crate::store::{Error, ErrorKind, sql};

/// How the schema came to be, step by step: its version is how many of them were taken.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];

/// How long a write waits for those of other processes.
const BUSY: Duration = Duration::from_secs(10);

/// A connection, and the prefix of its tables.
pub(super) struct Database {
    connection: Connection,
    prefix: String,
}

impl Database {
    pub(super) fn open(options: &SqliteOptions) -> Result<Self, Failure> {
        let connection = Connection::open(&options.path)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        let synchronous = if options.survive_power_loss { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        let mut database = Self { connection, prefix: options.prefix.clone() };
        database.use_write_ahead_log()?;
        database.migrate()?;
        Ok(database)
    }

    /// SQLite does not wait here for others who do the same.
    fn use_write_ahead_log(&self) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let mode =
                self.connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
                    row.get::<_, String>(0)
                });
            match mode.map_err(Failure::from) {
                Ok(mode) if mode == "wal" => return Ok(()),
                Ok(_) => {
                    let missing = "SQLite has no WAL for this file";
                    return Err(Error::new(ErrorKind::Failed, missing).into());
                }
                Err(error) if error.0.kind() == ErrorKind::Unreachable && tries < 100 => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the tables, or brings them to this version. Who comes at the same time waits.
    fn migrate(&mut self) -> Result<(), Failure> {
        let prefix = self.prefix.clone();
        let create = "CREATE TABLE IF NOT EXISTS @schema (version INTEGER NOT NULL)";
        let transaction = self.write()?;
        transaction.statement(create)?.execute([])?;
        let version =
            transaction.statement("SELECT version FROM @schema")?.query_row([], |row| row.get(0));
        let version = version.optional()?.unwrap_or(0);
        for step in sql::missing_steps(&STEPS, version)? {
            transaction.transaction.execute_batch(&sql::with_prefix(step, &prefix))?;
        }
        if version < STEPS.len() as i64 {
            transaction.statement("DELETE FROM @schema")?.execute([])?;
            transaction
                .statement("INSERT INTO @schema VALUES (?)")?
                .execute([STEPS.len() as i64])?;
        }
        transaction.commit()
    }

    /// All that is done before the commit is done as one, and nobody else writes meanwhile.
    pub(super) fn write(&mut self) -> Result<Work<'_>, Failure> {
        self.begin(TransactionBehavior::Immediate)
    }

    /// All that is read is of one moment.
    pub(super) fn look(&mut self) -> Result<Work<'_>, Failure> {
        self.begin(TransactionBehavior::Deferred)
    }

    fn begin(&mut self, behaviour: TransactionBehavior) -> Result<Work<'_>, Failure> {
        let transaction = self.connection.transaction_with_behavior(behaviour)?;
        Ok(Work { transaction, prefix: &self.prefix })
    }

    /// Changes whenever another connection has written.
    pub(super) fn data_version(&self) -> Result<i64, Failure> {
        let version =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0));
        Ok(version?)
    }
}

/// A transaction; undone if it is dropped.
pub(super) struct Work<'a> {
    transaction: Transaction<'a>,
    prefix: &'a str,
}

impl Work<'_> {
    /// A statement, with the prefix in the place of `@`.
    pub(super) fn statement(&self, statement: &str) -> Result<CachedStatement<'_>, Failure> {
        Ok(self.transaction.prepare_cached(&sql::with_prefix(statement, self.prefix))?)
    }

    pub(super) fn commit(self) -> Result<(), Failure> {
        Ok(self.transaction.commit()?)
    }
}

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// Threads that run jobs, each on a connection of its own. They end when this is dropped.
pub(super) struct Worker {
    threads: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
}

impl Worker {
    pub(super) async fn start(options: &SqliteOptions, threads: usize) -> Result<Self, Failure> {
        let mut started = Vec::new();
        for _ in 0..threads {
            started.push(start_thread(options.clone()).await?);
        }
        Ok(Self { threads: started, next: AtomicUsize::new(0) })
    }

    /// Runs a job on one of the threads, also if the caller does not wait for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Database) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |database| drop(answer.send(job(database))));
        let thread = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        // Neither happens while this lives, unless a job has panicked.
        let gone = || Error::new(ErrorKind::Failed, "the thread of the store is gone");
        self.threads[thread].send(job).map_err(|_| gone())?;
        Ok(answered.await.map_err(|_| gone())??)
    }
}

async fn start_thread(options: SqliteOptions) -> Result<mpsc::Sender<Job>, Failure> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let (answer, opened) = oneshot::channel();
    let work = move || {
        let opened = Database::open(&options);
        let (result, database) = match opened {
            Ok(database) => (Ok(()), Some(database)),
            Err(error) => (Err(error), None),
        };
        let _ = answer.send(result);
        if let Some(mut database) = database {
            for job in jobs {
                job(&mut database);
            }
        }
    };
    let thread = thread::Builder::new().name("sse-resume-sqlite".into());
    thread.spawn(work).map_err(|error| Error::new(ErrorKind::Failed, error))?;
    opened
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Failed, "the store did not open").into()))?;
    Ok(sender)
}
