//! How stores write down what the crate's types say.

use std::time::Duration;

use bytes::Bytes;

use super::{Content, Error, ErrorKind, State};
use crate::resume::GapReason;

/// The code of a stream that was purged, where [`state_code`] has the others.
pub(super) const PURGED: i64 = 3;

/// What is longer is for ever: a hundred years, in milliseconds.
const FOR_EVER: u128 = 100 * 365 * 86_400_000;

pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Live => 0,
        State::Finished => 1,
        State::Aborted => 2,
    }
}

/// The state that has this code. A tombstone is an error, as it is for who asks.
pub(super) fn state(code: i64) -> Result<State, Error> {
    match code {
        0 => Ok(State::Live),
        1 => Ok(State::Finished),
        2 => Ok(State::Aborted),
        PURGED => Err(ErrorKind::Purged.into()),
        _ => Err(Error::new(ErrorKind::InvalidData, "no state has the code that is stored")),
    }
}

pub(super) fn gap(word: Option<&str>) -> Result<Option<GapReason>, Error> {
    let unknown = || Error::new(ErrorKind::InvalidData, "no reason has the word that is stored");
    word.map(|word| GapReason::from_word(word).ok_or_else(unknown)).transpose()
}

/// A piece's content, of a hole's reason or the bytes.
pub(super) fn content(hole: Option<&str>, bytes: Bytes) -> Result<Content, Error> {
    Ok(gap(hole)?.map_or(Content::Events(bytes), Content::Hole))
}

/// A piece's columns: a hole's reason, and the bytes.
pub(super) fn columns(content: &Content) -> (Option<&'static str>, &[u8]) {
    match content {
        Content::Events(bytes) => (None, bytes),
        Content::Hole(reason) => (Some(reason.as_str()), &[]),
    }
}

/// For clocks and columns of milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    duration.as_millis().min(FOR_EVER) as i64
}

pub(super) fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

/// For columns that have a sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// For offsets, which are checked before they are stored.
pub(super) fn unsigned(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}
