//! What a request asks for: the position that it comes back with, if it does.

use http::header::{ACCEPT, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::config::{Config, Priming};
use crate::exchange::Primer;
use crate::query;
use crate::resume::event_id::{self, EventId, Parsed};
use crate::resume::keys::Keys;
use crate::resume::position::Position;
use crate::stream::Stream;

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The position that a request comes back with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// None, or an ID of the inner service: it sees the request as it is.
    NotOurs,
    /// What no client was given: nothing of it is used.
    Malformed,
    Id(EventId),
}

impl Asked {
    /// Reads the position. What is ours is taken out of the request: the inner service never sees it.
    pub(crate) fn take(parts: &mut Parts, config: &Config, keys: &Keys) -> Self {
        let mut values = parts.headers.get_all(LAST_EVENT_ID).iter();
        let asked = match (values.next(), values.next()) {
            (Some(value), None) => Self::read(value.as_bytes(), config, keys),
            (Some(_), Some(_)) => Self::Malformed,
            (None, _) => return Self::take_query(parts, config, keys),
        };
        if asked != Self::NotOurs {
            parts.headers.remove(LAST_EVENT_ID);
        }
        // The header wins, but an ID of ours does not reach the inner service there either.
        Self::take_query(parts, config, keys);
        asked
    }

    fn take_query(parts: &mut Parts, config: &Config, keys: &Keys) -> Self {
        let Some(name) = &config.query else { return Self::NotOurs };
        let query = parts.uri.query().unwrap_or_default();
        let mut asked: Vec<_> =
            query::values(query, name).map(|value| Self::read(&value, config, keys)).collect();
        // As with the header, one of ours among several names no position.
        let asked = match asked.len() {
            0 | 1 => asked.pop().unwrap_or(Self::NotOurs),
            _ if asked.iter().all(|one| *one == Self::NotOurs) => Self::NotOurs,
            _ => Self::Malformed,
        };
        if asked != Self::NotOurs {
            query::remove(&mut parts.uri, name);
        }
        asked
    }

    fn read(value: &[u8], config: &Config, keys: &Keys) -> Self {
        match event_id::parse(&config.marker, value, keys) {
            Parsed::NotOurs => Self::NotOurs,
            Parsed::Malformed => Self::Malformed,
            Parsed::Id(id) => Self::Id(id),
        }
    }
}

/// Whether a request has an ID of ours, wherever one may be.
pub(crate) fn has_ours(headers: &HeaderMap, uri: &Uri, config: &Config, keys: &Keys) -> bool {
    let is_ours = |value: &[u8]| Asked::read(value, config, keys) != Asked::NotOurs;
    let query = config.query.as_ref().zip(uri.query());
    headers.get_all(LAST_EVENT_ID).iter().any(|value| is_ours(value.as_bytes()))
        || query.is_some_and(|(name, query)| query::values(query, name).any(|id| is_ours(&id)))
}

/// Takes what is ours out of a request that is not to be resumed. All else stays, other IDs too.
pub(crate) fn leave_out(parts: &mut Parts, config: &Config, keys: &Keys) {
    let is_ours = |value: &[u8]| Asked::read(value, config, keys) != Asked::NotOurs;
    let values = parts.headers.get_all(LAST_EVENT_ID).iter();
    let others: Vec<_> = values.filter(|value| !is_ours(value.as_bytes())).cloned().collect();
    parts.headers.remove(LAST_EVENT_ID);
    for value in others {
        parts.headers.append(LAST_EVENT_ID, value);
    }
    if let Some(name) = &config.query {
        query::remove_values(&mut parts.uri, name, is_ours);
    }
}

/// The inner service's own last event ID that a request comes back with.
pub(crate) fn given_inner_id(parts: &Parts, config: &Config) -> Option<Vec<u8>> {
    let in_query = || {
        let name = config.query.as_ref()?;
        query::values(parts.uri.query()?, name).next()
    };
    let id = parts
        .headers
        .get(LAST_EVENT_ID)
        .map(|value| value.as_bytes().to_vec())
        .or_else(in_query)?;
    Some(id).filter(|id| !id.is_empty())
}

/// The last event ID that the inner service is called with, as it is in the request.
pub(crate) fn inner_id(headers: &HeaderMap) -> Vec<u8> {
    headers.get(LAST_EVENT_ID).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

/// Calls the inner service with its own last event ID, or with none, if there is none or no header can hold it. Returns
/// whether it is asked to go on from somewhere.
pub(crate) fn set_inner_id(headers: &mut HeaderMap, id: &[u8]) -> bool {
    match HeaderValue::from_bytes(id) {
        Ok(value) if event_id::can_be_sent(id) => {
            headers.insert(LAST_EVENT_ID, value);
            true
        }
        _ => {
            headers.remove(LAST_EVENT_ID);
            false
        }
    }
}

/// Puts a position back that was taken out, to decide on it once more.
pub(crate) fn put_back(headers: &mut HeaderMap, stream: &Stream, position: Position) {
    if let Ok(value) = HeaderValue::from_str(&stream.id_of(position)) {
        headers.insert(LAST_EVENT_ID, value);
    }
}

/// What the response is to begin with, where no protocol above event streams says it.
pub(crate) fn primer(parts: &Parts, config: &Config) -> Option<Primer> {
    let wants = match config.priming {
        Priming::Always => true,
        Priming::Never => false,
        Priming::Auto => parts.method == Method::GET && looks_like_event_source(&parts.headers),
    };
    wants.then_some(Primer::IdOnly)
}

/// Browsers' `EventSource` and those that imitate it well send all three.
fn looks_like_event_source(headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, value: &str| headers.get(name).is_some_and(|found| found == value);
    is(ACCEPT, "text/event-stream")
        && is(CACHE_CONTROL, "no-cache")
        && headers.contains_key("sec-fetch-mode")
}
