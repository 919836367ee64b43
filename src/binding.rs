//! Which session, owner and target a request belongs to.

use http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::{Config, OwnerSource, SessionSource};
use crate::host;
use crate::query;
use crate::resume::keys::Keys;
use crate::set_cookie;

/// The domains of the fingerprints here.
const TARGET: u8 = 1;
const OWNER: u8 = 2;
const SESSION: u8 = 3;
const SHARED: u8 = 5;
const PAGE: u8 = 6;
const SHARED_BY_PAGE: u8 = 7;

/// Whose a stream is, as fingerprints: nothing that a client sent is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Binding {
    /// Host, path, query less the position parameter, and `Origin`.
    pub(crate) target: u128,
    /// Owners compare as options: a stream without one is not for a request with one.
    pub(crate) owner: Option<u128>,
    pub(crate) session: Option<u128>,
}

/// The origin of the page that a request comes from, as a fingerprint; [`NONE`](Self::NONE) if it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page(pub(crate) u64);

impl Page {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(headers: &HeaderMap, keys: &Keys) -> Self {
        if !headers.contains_key(ORIGIN) {
            return Self::NONE;
        }
        let origins = headers.get_all(ORIGIN).iter().map(HeaderValue::as_bytes);
        Self((keys.fingerprint(PAGE, origins) as u64).max(1))
    }
}

impl Binding {
    pub(crate) fn of(parts: &Parts, config: &Config, keys: &Keys) -> Self {
        Self {
            target: target(parts, config, keys),
            owner: owner(parts, config, keys),
            session: session(&parts.headers, config, keys),
        }
    }

    /// Of a request that shares a stream, if it does: then only key, host and owner count. One that names several hosts
    /// may be answered for another one than it is bound to, and shares nothing.
    pub(crate) fn shared(parts: &Parts, config: &Config, keys: &Keys) -> Option<Self> {
        let share = config.share.as_ref().filter(|_| parts.method == Method::GET)?;
        let key = (share.key)(parts).filter(|_| host::is_clear(parts))?;
        Some(Self {
            target: keys.fingerprint(SHARED, [&*host::name(parts), key.as_bytes()]),
            owner: if share.across_owners { None } else { owner(parts, config, keys) },
            session: None,
        })
    }

    /// Of a shared stream that only pages of one origin join, since its answer lets no others read it.
    pub(crate) fn of_page(self, page: Page, keys: &Keys) -> Self {
        let (target, page) = (self.target.to_be_bytes(), page.0.to_be_bytes());
        Self { target: keys.fingerprint(SHARED_BY_PAGE, [&target[..], &page]), ..self }
    }

    /// Whether a stream with this binding is for a request with that one, from this page.
    pub(crate) fn is_for(&self, asked: &Self, is_shared: bool, page: Page, keys: &Keys) -> bool {
        self == asked || is_shared && *self == asked.of_page(page, keys)
    }

    /// The same as the client will be known from now on: by the session, or the cookies, that this response gives it. A
    /// header names a session if the request named none; a cookie takes the place of the client's.
    pub(crate) fn named_by(self, response: &HeaderMap, config: &Config, keys: &Keys) -> Self {
        let session = match &config.session {
            Some(SessionSource::Header(name)) => {
                let named = || header(response, name).map(|name| session_named(name, keys));
                self.session.or_else(named)
            }
            Some(SessionSource::Cookie(name)) => {
                let set = set_cookie::value(response, name);
                set.map(|name| session_named(name, keys)).or(self.session)
            }
            None => None,
        };
        let owner = match &config.owner {
            OwnerSource::Cookie(name) => {
                let set = set_cookie::value(response, name);
                set.map(|name| owner_named(name, keys)).or(self.owner)
            }
            _ => self.owner,
        };
        Self { owner, session, ..self }
    }
}

fn target(parts: &Parts, config: &Config, keys: &Keys) -> u128 {
    let host = host::name(parts);
    let name = config.query.as_deref();
    let query = parts.uri.query().map(|query| query::without(query, name));
    let origin = header(&parts.headers, &ORIGIN);
    let path = parts.uri.path().as_bytes();
    let query = query.as_deref().filter(|query| !query.is_empty()).map_or(&b""[..], str::as_bytes);
    // An absent origin is not an empty one.
    let (has_origin, origin): (&[u8], &[u8]) = origin.map_or((b"0", b""), |origin| (b"1", origin));
    keys.fingerprint(TARGET, [&*host, path, query, has_origin, origin])
}

/// The fingerprint of the owner that a request names.
pub(crate) fn owner(parts: &Parts, config: &Config, keys: &Keys) -> Option<u128> {
    let named = |value: &[u8]| keys.fingerprint(OWNER, [value]);
    match &config.owner {
        OwnerSource::Authorization => header(&parts.headers, &AUTHORIZATION).map(named),
        OwnerSource::Header(name) => header(&parts.headers, name).map(named),
        OwnerSource::Cookie(name) => cookie(&parts.headers, name).map(named),
        OwnerSource::Closure(owner) => owner(parts).map(|owner| named(owner.as_bytes())),
    }
}

fn session(headers: &HeaderMap, config: &Config, keys: &Keys) -> Option<u128> {
    session_name(headers, config).map(|name| session_named(name, keys))
}

/// The name of the session that a request names. An empty cookie is one that was deleted.
pub(crate) fn session_name<'a>(headers: &'a HeaderMap, config: &Config) -> Option<&'a [u8]> {
    match config.session.as_ref()? {
        SessionSource::Header(name) => header(headers, name),
        SessionSource::Cookie(name) => cookie(headers, name).filter(|name| !name.is_empty()),
    }
}

/// The fingerprint of a session's name.
pub(crate) fn session_named(name: &[u8], keys: &Keys) -> u128 {
    keys.fingerprint(SESSION, [name])
}

/// The fingerprint of an owner's name.
pub(crate) fn owner_named(name: &[u8], keys: &Keys) -> u128 {
    keys.fingerprint(OWNER, [name])
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// The value of a cookie (RFC 6265, section 4.2.1).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| {
            let pair = pair.trim_ascii_start();
            pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::trim_ascii_end)
        })
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::HOST;

    use super::*;

    fn binding(
        config: &Config,
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Binding {
        let request =
            build(Request::get("/events?room=1").header(HOST, "a.example")).body(()).unwrap();
        Binding::of(&request.into_parts().0, config, &Keys::new(&[7; 32]))
    }

    #[test]
    fn the_same_request_has_the_same_binding() {
        let config = Config::default();
        assert_eq!(binding(&config, |request| request), binding(&config, |request| request));
    }

    #[test]
    fn another_host_path_query_or_origin_is_another_target() {
        let config = Config::default();
        let own = binding(&config, |request| request).target;
        assert_ne!(own, binding(&config, |request| request.uri("/events?room=2")).target);
        assert_ne!(own, binding(&config, |request| request.uri("/other?room=1")).target);
        assert_ne!(
            own,
            binding(&config, |request| request.header(ORIGIN, "https://b.example")).target
        );
        assert_ne!(own, binding(&config, |request| request.header(ORIGIN, "")).target);
    }

    #[test]
    fn the_position_parameter_is_no_part_of_the_target() {
        let config = Config { query: Some("lastEventId".into()), ..Config::default() };
        let own = binding(&config, |request| request).target;
        assert_eq!(
            own,
            binding(&config, |request| request.uri("/events?room=1&lastEventId=5")).target
        );
        assert_eq!(
            own,
            binding(&config, |request| request.uri("/events?lastEventId=&room=1")).target
        );
    }

    #[test]
    fn an_owner_is_another_one_than_none() {
        let config = Config::default();
        let owner = binding(&config, |request| request.header(AUTHORIZATION, "Bearer a")).owner;
        assert!(owner.is_some());
        assert_ne!(
            owner,
            binding(&config, |request| request.header(AUTHORIZATION, "Bearer b")).owner
        );
        assert_eq!(binding(&config, |request| request).owner, None);
    }

    #[test]
    fn a_session_may_be_named_by_a_cookie() {
        let config =
            Config { session: Some(SessionSource::Cookie("sid".into())), ..Config::default() };
        let session =
            binding(&config, |request| request.header(COOKIE, "x=1; sid=abc; y=2")).session;
        assert_eq!(session, Some(session_named(b"abc", &Keys::new(&[7; 32]))));
        assert_eq!(binding(&config, |request| request.header(COOKIE, "xsid=abc")).session, None);
    }
}
