//! Tells a certificate that is not trusted from a server that is not there.

use std::error::Error;
use std::io;

/// Whether the server's certificate is why there is no connection. Another attempt does not change that.
pub(crate) fn is_distrusted(error: &(dyn Error + 'static)) -> bool {
    let cause = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
        || error.source().is_some_and(is_distrusted)
}
