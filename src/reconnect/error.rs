//! Why an event stream could not be gone on with.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::error::BoxError;

/// The inner service was called again, and its answer does not go on from where the broken body was.
///
/// The source is the error of the broken body.
#[derive(Debug)]
pub struct ReconnectError {
    kind: ReconnectErrorKind,
    source: Option<BoxError>,
}

/// The kinds of [`ReconnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReconnectErrorKind {
    /// The inner service gave a known event ID to another event: it counts from anew, and events may be missing.
    Diverged,
    /// The inner service began with a frame over the limit, which cannot be told from a resent one.
    Oversize,
    /// The inner service answered with this status, and with no event stream.
    Refused(StatusCode),
}

impl ReconnectError {
    pub(super) fn new(kind: ReconnectErrorKind, source: Option<BoxError>) -> Self {
        Self { kind, source }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ReconnectErrorKind {
        self.kind
    }
}

impl fmt::Display for ReconnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ReconnectErrorKind::Diverged => {
                f.write_str("after a reconnect, a known event ID came with another event")
            }
            ReconnectErrorKind::Oversize => {
                f.write_str("after a reconnect, a frame over the limit came before any new event")
            }
            ReconnectErrorKind::Refused(status) => {
                write!(f, "the reconnect was answered with {} and no event stream", status.as_u16())
            }
        }
    }
}

impl Error for ReconnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
