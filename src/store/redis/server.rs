//! Runs scripts in the server, again where that is safe.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, Script, ScriptInvocation, TlsCertificates,
};
use rustls::crypto::{CryptoProvider, ring};
use tokio::time::timeout;

use super::RedisOptions;
use super::error::{failed, has_not_happened};
use super::reply::Reply;
use crate::store::backoff::Backoff;
use crate::store::{Error, ErrorKind};

/// The version of what the scripts write.
const SCHEMA: i64 = 1;

/// A script, after the prelude.
macro_rules! script {
    ($file:literal) => {{
        static SCRIPT: std::sync::LazyLock<redis::Script> = std::sync::LazyLock::new(|| {
            redis::Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                include_str!(concat!("scripts/", $file, ".lua"))
            ))
        });
        &*SCRIPT
    }};
}
pub(super) use script;

/// A connection that is made again when it is lost.
pub(super) struct Server {
    client: Client,
    /// And how many there were before.
    connection: Mutex<(u64, ConnectionManager)>,
    /// What all keys begin with.
    base: String,
    patience: Duration,
}

impl Server {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, Error> {
        // The error says what is wrong without the URL, but its source might not.
        let malformed = |_| Error::new(ErrorKind::InvalidData, "the URL is malformed");
        let client = match &options.authorities {
            Some(authorities) => {
                authorities.roots()?;
                let root_cert = Some(authorities.0.to_vec());
                let certificates = TlsCertificates { client_tls: None, root_cert };
                Client::build_with_tls(options.url.as_str(), certificates)
            }
            None => Client::open(options.url.as_str()),
        };
        let client = client.map_err(malformed)?;
        if let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr() {
            choose_provider();
        }
        let connection = Mutex::new((0, connection(&client, options.patience)?));
        let base = format!("{{{}}}", options.prefix);
        Ok(Self { client, connection, base, patience: options.patience })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A connection of its own, for reads that block for at most half of `timeout`.
    pub(super) async fn own_connection(
        client: &Client,
        timeout: Duration,
    ) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Notes the version in an empty server, and refuses a newer one.
    pub(super) async fn check_schema(&self) -> Result<(), Error> {
        let key = format!("{}:schema", self.base);
        let mut note = redis::cmd("SET");
        note.arg(&key).arg(SCHEMA).arg("NX");
        self.ask(&note).await?;
        let version = self.ask(redis::cmd("GET").arg(&key)).await?.number::<i64>()?;
        match version {
            SCHEMA => Ok(()),
            _ => Err(ErrorKind::IncompatibleSchema.into()),
        }
    }

    /// Runs a script that may write. If the answer is lost, it is not repeated.
    pub(super) async fn write(
        &self,
        script: &Script,
        arguments: &[Argument<'_>],
    ) -> Result<Reply, Error> {
        let invocation = self.invocation(script, arguments);
        let writing = async |connection: ConnectionManager| {
            let mut backoff = Backoff::new();
            loop {
                match invocation.invoke_async(&mut connection.clone()).await {
                    Err(error) if has_not_happened(&error) => backoff.wait().await,
                    result => return result.map(Reply).map_err(failed),
                }
            }
        };
        self.in_time(writing).await
    }

    /// Runs a script that only reads, again if the answer is lost.
    pub(super) async fn read(
        &self,
        script: &Script,
        arguments: &[Argument<'_>],
    ) -> Result<Reply, Error> {
        let invocation = self.invocation(script, arguments);
        let reading = async |connection: ConnectionManager| {
            let mut backoff = Backoff::new();
            loop {
                let result = invocation.invoke_async(&mut connection.clone()).await;
                match result.map_err(failed) {
                    Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                    result => return result.map(Reply),
                }
            }
        };
        self.in_time(reading).await
    }

    /// How many members one of the sorted sets has.
    pub(super) async fn count(&self, set: &str) -> Result<u64, Error> {
        let key = format!("{}:{set}", self.base);
        self.ask(redis::cmd("ZCARD").arg(&key)).await?.number()
    }

    fn invocation<'a>(
        &self,
        script: &'a Script,
        arguments: &[Argument<'_>],
    ) -> ScriptInvocation<'a> {
        let mut invocation = script.key(&self.base);
        for argument in arguments {
            match argument {
                Argument::Bytes(bytes) => invocation.arg(*bytes),
                Argument::Number(number) => invocation.arg(*number),
            };
        }
        invocation
    }

    /// Runs a command that does the same when it is repeated, again if the answer is lost.
    async fn ask(&self, command: &redis::Cmd) -> Result<Reply, Error> {
        let asking = async |connection: ConnectionManager| {
            let mut backoff = Backoff::new();
            loop {
                let result = command.query_async(&mut connection.clone()).await;
                match result.map_err(failed) {
                    Err(error) if error.kind() == ErrorKind::Unreachable => backoff.wait().await,
                    result => return result.map(Reply),
                }
            }
        };
        self.in_time(asking).await
    }

    async fn in_time<T>(
        &self,
        operation: impl AsyncFnOnce(ConnectionManager) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (number, connection) = self.lock().clone();
        match timeout(self.patience, operation(connection)).await {
            Ok(result) => result,
            Err(late) => {
                self.replace(number)?;
                Err(Error::new(ErrorKind::Unreachable, late))
            }
        }
    }

    /// The next operations do not use the connection that has this number.
    fn replace(&self, number: u64) -> Result<(), Error> {
        let next = connection(&self.client, self.patience)?;
        let mut current = self.lock();
        if current.0 == number {
            *current = (number + 1, next);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (u64, ConnectionManager)> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chooses what encrypts, if the process has not. The client library would panic, if other parts of the program have
/// brought a second one.
fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // It fails if somebody has chosen meanwhile.
        let _ = ring::default_provider().install_default();
    }
}

/// It connects when it is used. How long an answer may take is not its concern: it would go on with a connection that
/// is cut off without a word.
fn connection(client: &Client, patience: Duration) -> Result<ConnectionManager, Error> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(None)
        .set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(failed)
}

/// What a script is given.
#[derive(Clone, Copy)]
pub(super) enum Argument<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Argument<'a> {
    fn from(bytes: &'a T) -> Self {
        Self::Bytes(bytes.as_ref())
    }
}

impl From<u64> for Argument<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}
