//! Which kind of error a failure of NATS is.

use std::error::Error as StdError;

use async_nats::jetstream;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishError, PublishErrorKind};

use crate::store::{Error, ErrorKind};

/// The server has too many batches under way, or gave this one up: nothing of it was stored.
const BATCH_NOT_STORED: [u64; 3] = [10176, 10210, 10211];
/// What was asked for cannot be done now: no leader, no resources, no server that answers.
const NOT_NOW: [u64; 4] = [10008, 10009, 10023, 10039];

/// Why a message was not stored.
pub(super) enum Unstored {
    /// Another one came first.
    Overtaken,
    /// It was not, and may be later.
    NotNow(Error),
    Other(Error),
}

impl From<PublishError> for Unstored {
    fn from(error: PublishError) -> Self {
        let code = StdError::source(&error)
            .and_then(|source| source.downcast_ref::<jetstream::Error>())
            .map(|error| error.error_code().0);
        let kind = match error.kind() {
            PublishErrorKind::WrongLastSequence => return Self::Overtaken,
            // Nobody listens: the server has just started.
            PublishErrorKind::StreamNotFound => {
                return Self::NotNow(Error::new(ErrorKind::Unreachable, error));
            }
            PublishErrorKind::MaxPayloadExceeded => ErrorKind::LimitReached,
            PublishErrorKind::Other => match code {
                Some(code) if BATCH_NOT_STORED.contains(&code) || NOT_NOW.contains(&code) => {
                    return Self::NotNow(Error::new(ErrorKind::Unreachable, error));
                }
                Some(_) => ErrorKind::Failed,
                None => ErrorKind::Unreachable,
            },
            _ => ErrorKind::Unreachable,
        };
        Self::Other(Error::new(kind, error))
    }
}

pub(super) fn unreachable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unreachable, cause)
}

/// Of a request that the server answered with this error.
pub(super) fn answered(error: jetstream::Error) -> Error {
    let is_temporary = error.code() == 503 || NOT_NOW.contains(&error.error_code().0);
    let kind = if is_temporary { ErrorKind::Unreachable } else { ErrorKind::Failed };
    Error::new(kind, error)
}

pub(super) fn of_stream(error: jetstream::context::CreateStreamError) -> Error {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => answered(error),
        CreateStreamErrorKind::InvalidStreamName | CreateStreamErrorKind::EmptyStreamName => {
            Error::new(ErrorKind::InvalidData, error)
        }
        _ => unreachable(error),
    }
}
