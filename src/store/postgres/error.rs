//! Which kind of error a failure of PostgreSQL is.

use tokio_postgres::error::SqlState;

use crate::store::tls::is_distrusted;
use crate::store::{Error, ErrorKind};

/// What a caller is told of it.
pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    Error::new(kind(&error), error)
}

fn kind(error: &tokio_postgres::Error) -> ErrorKind {
    let Some(code) = error.code() else {
        return if is_distrusted(error) { ErrorKind::Failed } else { ErrorKind::Unreachable };
    };
    match &code.code()[..2] {
        // Connection exceptions, the server shuts down or starts, too many connections.
        "08" | "57" => ErrorKind::Unreachable,
        "53" if *code == SqlState::TOO_MANY_CONNECTIONS => ErrorKind::Unreachable,
        "54" => ErrorKind::LimitReached,
        _ => ErrorKind::Failed,
    }
}

/// Whether the statement was undone because it collided with another one: it can be repeated.
pub(super) fn has_collided(error: &tokio_postgres::Error) -> bool {
    let collisions = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    error.code().is_some_and(|code| collisions.contains(code))
}
