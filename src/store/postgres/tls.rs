//! How a connection is made: with TLS, where server and URL have it.

use std::time::Duration;

use rustls::RootCertStore;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresOptions;
use super::error::failed;
use crate::store::{Error, ErrorKind, tls};

/// What a connection is made with.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

/// The half of a connection that has to be polled.
pub(super) type Driver =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, Error> {
        // The error says what is wrong without the URL, but its source might not.
        let malformed = |_| Error::new(ErrorKind::InvalidData, "the URL is malformed");
        let mut config: Config = options.url.parse().map_err(malformed)?;
        if config.get_application_name().is_none() {
            config.application_name("tower-sse-resume");
        }
        config.connect_timeout(options.patience);
        // What is cut off without a word is noticed within half a minute.
        config.keepalives_idle(Duration::from_secs(15)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
        let roots = match config.get_ssl_mode() {
            SslMode::Disable => RootCertStore::empty(),
            _ => tls::roots(options.authorities.as_ref())?,
        };
        let tls = MakeRustlsConnect::new(tls::client(roots)?);
        Ok(Self { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        // Boxed, since it is large, and seldom.
        Box::pin(self.config.connect(self.tls.clone())).await.map_err(failed)
    }
}
