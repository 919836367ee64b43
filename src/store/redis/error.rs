//! Which kind of error a failure of Redis is.

use std::error::Error as StdError;
use std::sync::Arc;

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};

use crate::store::tls::is_distrusted;
use crate::store::{Error, ErrorKind};

/// What a caller is told of it.
pub(super) fn failed(error: RedisError) -> Error {
    Error::new(kind(&error), error)
}

fn kind(error: &RedisError) -> ErrorKind {
    match error.kind() {
        RedisKind::InvalidClientConfig => ErrorKind::InvalidData,
        RedisKind::AuthenticationFailed => ErrorKind::Failed,
        RedisKind::Io if is_certificate(error) => ErrorKind::Failed,
        RedisKind::Io => ErrorKind::Unreachable,
        RedisKind::Server(_) if has_not_happened(error) => ErrorKind::Unreachable,
        RedisKind::Server(ServerErrorKind::ReadOnly) => ErrorKind::Unreachable,
        RedisKind::Parse | RedisKind::UnexpectedReturnType => ErrorKind::InvalidData,
        _ if error.code() == Some("OOM") => ErrorKind::LimitReached,
        _ if error.is_unrecoverable_error() => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    }
}

/// Whether the server's certificate is not trusted.
fn is_certificate(error: &RedisError) -> bool {
    let shared = error.source().and_then(<dyn StdError>::downcast_ref);
    shared.is_some_and(|shared: &Arc<dyn StdError + Send + Sync>| is_distrusted(&**shared))
}

/// Whether the server cannot have done what it was asked for, and may do it later.
pub(super) fn has_not_happened(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, TryAgain};
    let refused = match error.kind() {
        RedisKind::Server(kind) => [BusyLoading, ClusterDown, MasterDown, TryAgain].contains(&kind),
        _ => false,
    };
    refused || error.is_connection_refusal()
}
