//! How a connection is made: with TLS, where server and URL have it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::failed;
use crate::store::{Error, ErrorKind};

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
    pub(super) fn new(url: &str, patience: Duration) -> Result<Self, Error> {
        // The error says what is wrong without the URL, but its source might not.
        let malformed = |_| Error::new(ErrorKind::InvalidData, "the URL is malformed");
        let mut config: Config = url.parse().map_err(malformed)?;
        if config.get_application_name().is_none() {
            config.application_name("tower-sse-resume");
        }
        config.connect_timeout(patience);
        // What is cut off without a word is noticed within half a minute.
        config.keepalives_idle(Duration::from_secs(15)).keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
        let tls = tls(config.get_ssl_mode() != SslMode::Disable)?;
        Ok(Self { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<(Client, Driver), Error> {
        // Boxed, since it is large, and seldom.
        Box::pin(self.config.connect(self.tls.clone())).await.map_err(failed)
    }
}

fn tls(is_wanted: bool) -> Result<MakeRustlsConnect, Error> {
    let mut roots = RootCertStore::empty();
    if is_wanted {
        // Without any, connections to servers without TLS still work.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Failed, io::Error::other(error)))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
