//! What a client library is given that takes all of it.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::Authorities;
use crate::store::{Error, ErrorKind};

/// Those that are named, or those of the platform. Without any, connections to servers without TLS still work.
pub(crate) fn roots(authorities: Option<&Authorities>) -> Result<RootCertStore, Error> {
    if let Some(authorities) = authorities {
        return authorities.roots();
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(roots)
}

/// Trusts these.
pub(crate) fn client(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Failed, error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
