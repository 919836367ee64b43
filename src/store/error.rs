//! Why a store did not do what was asked.

use std::error::Error as StdError;
use std::fmt;

/// Why a store did not do what was asked.
///
/// # Source
/// The error of the store's client library, or of the check that failed, where there is one. What is shown never
/// repeats it, and never has a credential, a key or stored bytes in it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or did not answer. **A write may have happened.** Worth a retry, after a look.
    Unreachable,
    /// What was asked for does not fit what the store has: a stale generation, another offset than the next one, an
    /// ended stream, a claim that is not due, a name that is taken. No retry helps.
    Refused,
    /// There is no such stream or session.
    NotFound,
    /// The stream was purged.
    Purged,
    /// There is no room: a cap was reached, or a value is larger than this store can hold.
    LimitReached,
    /// The store's schema is of another version, which this version of the crate cannot use or migrate.
    IncompatibleSchema,
    /// What was given, or what the store holds, is malformed.
    InvalidData,
    /// The store answered with an error that is none of these: no permission, no disk space, a wrong configuration.
    Failed,
}

impl Error {
    /// An error of this kind, with its cause.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Unreachable => "the store cannot be reached",
            ErrorKind::Refused => "the store refused what does not fit its state",
            ErrorKind::NotFound => "the store has no such entry",
            ErrorKind::Purged => "the stream was purged from the store",
            ErrorKind::LimitReached => "the store has no room for this",
            ErrorKind::IncompatibleSchema => "the store's schema is of an incompatible version",
            ErrorKind::InvalidData => "the data is malformed",
            ErrorKind::Failed => "the store failed",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_does_not_repeat_the_source() {
        let error = Error::new(ErrorKind::Unreachable, "connection refused");
        assert_eq!(error.to_string(), "the store cannot be reached");
        assert_eq!(error.source().unwrap().to_string(), "connection refused");
        assert!(Error::from(ErrorKind::Refused).source().is_none());
    }
}
