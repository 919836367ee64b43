//! Which kind of error a failure of SQLite is.

use rusqlite::ErrorCode;

use crate::store::{Error, ErrorKind};

/// Why a job failed, on its way to the caller. The public error does not name the library's.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self(Error::new(kind(&error), error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self(kind.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::FileLockingProtocolFailed,
        ) => ErrorKind::Unreachable,
        Some(ErrorCode::TooBig) => ErrorKind::LimitReached,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::InvalidData,
        _ => ErrorKind::Failed,
    }
}
