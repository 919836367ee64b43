//! Whose certificates are trusted.

#[cfg(any(feature = "nats", feature = "postgres"))]
mod client;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod distrust;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Error, ErrorKind};
#[cfg(any(feature = "nats", feature = "postgres"))]
pub(super) use client::{client, roots};
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) use distrust::is_distrusted;

/// Certificates of authorities in PEM, which are trusted instead of those that the platform trusts.
#[derive(Clone)]
pub(super) struct Authorities(pub(super) Arc<[u8]>);

impl Authorities {
    pub(super) fn new(pem: impl Into<Vec<u8>>) -> Self {
        Self(pem.into().into())
    }

    /// `InvalidData`, if there is none, or one is malformed.
    pub(super) fn roots(&self) -> Result<RootCertStore, Error> {
        let malformed = |why: &'static str| Error::new(ErrorKind::InvalidData, why);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&self.0) {
            let certificate = certificate.map_err(|_| malformed("a certificate is no PEM"))?;
            roots.add(certificate).map_err(|_| malformed("a certificate is malformed"))?;
        }
        if roots.is_empty() {
            Err(malformed("there is no certificate to trust"))
        } else {
            Ok(roots)
        }
    }
}
