//! Why a response body of the layer ends with an error.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Any error, as the bodies and services around us have it.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a resumable response ended before its stream did.
///
/// A client that comes back with the last event ID that it has goes on from there. The error is that of a
/// [`ResumeBody`](crate::ResumeBody), boxed; servers close the connection on it, so that the client sees a cut.
///
/// # Source
/// Of [`InnerBody`](ResumeErrorKind::InnerBody), the inner body's own error. All others have none.
#[derive(Clone, Debug)]
pub struct ResumeError {
    kind: ResumeErrorKind,
    source: Option<Arc<BoxError>>,
}

/// The kinds of [`ResumeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeErrorKind {
    /// The inner body failed; its error is the source.
    InnerBody,
    /// The stream's producer is gone, and the inner service cannot be called again for it.
    ProducerLost,
    /// The client read too slowly to be served on.
    TooSlow,
    /// The connection reached its maximum age.
    ConnectionAge,
    /// The layer is being drained.
    Drained,
    /// The stream was purged.
    Purged,
    /// The store does not take what comes, and clients get only what it has.
    NotStored,
}

impl ResumeError {
    pub(crate) fn new(kind: ResumeErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(crate) fn inner(source: Arc<BoxError>) -> Self {
        Self { kind: ResumeErrorKind::InnerBody, source: Some(source) }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ResumeErrorKind {
        self.kind
    }
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ResumeErrorKind::InnerBody => "the inner body failed",
            ResumeErrorKind::ProducerLost => "the producer of this stream is lost",
            ResumeErrorKind::TooSlow => "the client reads too slowly",
            ResumeErrorKind::ConnectionAge => "the connection reached its maximum age",
            ResumeErrorKind::Drained => "the server is being drained",
            ResumeErrorKind::Purged => "the stream was purged",
            ResumeErrorKind::NotStored => "the store does not take what comes",
        })
    }
}

impl Error for ResumeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &***source as &(dyn Error + 'static))
    }
}
