//! Connections, which are made again when they are lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::PostgresOptions;
use super::error::{failed, has_collided};
use super::schema;
use super::tls::Connector;
use crate::store::backoff::Backoff;
use crate::store::{Error, ErrorKind, sql};

/// The server's clock, in milliseconds since 1970: `#` in a statement.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// What a statement is given.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Some connections. Each takes statements of many callers, and runs them one after the other.
pub(super) struct Pool {
    connector: Connector,
    prefix: String,
    patience: Duration,
    slots: Vec<Mutex<Option<Arc<Connected>>>>,
    next: AtomicUsize,
}

struct Connected {
    client: Client,
    prepared: StdMutex<HashMap<&'static str, Statement>>,
}

impl Pool {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, Error> {
        Ok(Self {
            connector: Connector::new(options)?,
            prefix: options.prefix.clone(),
            patience: options.patience,
            slots: (0..options.connections).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let migrating = async {
            let mut backoff = Backoff::new();
            loop {
                let connected = self.connector.connect().await;
                let result = match connected {
                    Ok((client, driver)) => {
                        let driving = tokio::spawn(driver);
                        let migrated = schema::migrate(client, &self.prefix).await;
                        // It ends with the client.
                        let _ = driving.await;
                        migrated
                    }
                    Err(error) => Err(error),
                };
                match result {
                    Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                    other => return other,
                }
            }
        };
        self.in_time(migrating).await
    }

    /// Runs a statement that may write. If the answer is lost, it is not repeated.
    pub(super) async fn write(
        &self,
        statement: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        let writing = async {
            loop {
                let connected = self.connected().await?;
                match self.query(&connected, statement, values).await {
                    // It was undone, so it can be repeated.
                    Err(error) if has_collided(&error) => {}
                    result => return result.map_err(failed),
                }
            }
        };
        self.in_time(writing).await
    }

    /// Runs a statement that only reads, again if the connection is lost.
    pub(super) async fn read(
        &self,
        statement: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        let reading = async {
            let mut backoff = Backoff::new();
            loop {
                let connected = self.connected().await?;
                match self.query(&connected, statement, values).await.map_err(failed) {
                    Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                    result => return result,
                }
            }
        };
        self.in_time(reading).await
    }

    pub(super) async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout(self.patience, operation).await {
            Ok(result) => result,
            Err(late) => {
                self.forget_connections();
                Err(Error::new(ErrorKind::Unreachable, late))
            }
        }
    }

    /// A connection that is cut off without a word looks as if it were there: the next operations make new ones.
    fn forget_connections(&self) {
        for mut slot in self.slots.iter().filter_map(|slot| slot.try_lock().ok()) {
            *slot = None;
        }
    }

    async fn query(
        &self,
        connected: &Connected,
        statement: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let prepared = connected.lock().get(statement).cloned();
        if let Some(prepared) = prepared {
            return connected.client.query(&prepared, values).await;
        }
        let text = sql::with_prefix(statement, &self.prefix).replace('#', NOW);
        let prepared = connected.client.prepare(&text).await?;
        connected.lock().insert(statement, prepared.clone());
        connected.client.query(&prepared, values).await
    }

    /// One of the connections; a new one in the place of one that is lost. Tries until the caller gives up.
    async fn connected(&self) -> Result<Arc<Connected>, Error> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let mut slot = self.slots[slot].lock().await;
        if let Some(connected) = slot.as_ref().filter(|connected| !connected.client.is_closed()) {
            return Ok(Arc::clone(connected));
        }
        *slot = None;
        let mut backoff = Backoff::new();
        loop {
            match self.connector.connect().await {
                Ok((client, driver)) => {
                    tokio::spawn(driver);
                    let connected = Connected { client, prepared: StdMutex::default() };
                    return Ok(Arc::clone(slot.insert(Arc::new(connected))));
                }
                Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Connected {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
