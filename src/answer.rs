//! The heads of the layer's answers: which responses are wrapped, and what their headers become.

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    ETAG, RETRY_AFTER, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::binding::Page;
use crate::body::ResumeBody;
use crate::caches;
use crate::config::{Config, SessionSource};
use crate::cors;
use crate::observer::Observation;
use crate::resume::Gap;
use crate::stream::Origin;

/// How a response came about; see [`Answer`].
pub(crate) const SSE_RESUME: HeaderName = HeaderName::from_static("sse-resume");
/// The event ID of the position just before a response's first event.
pub(crate) const SSE_RESUME_FROM: HeaderName = HeaderName::from_static("sse-resume-from");

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The values of the `SSE-Resume` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A new stream.
    Fresh,
    /// A known stream, from the position that was asked for.
    Replay,
    /// The same with events missing, or a new stream in place of an unknown one.
    Gap,
    /// A known stream, continued by a new call of the inner service.
    Takeover,
    /// The inner service was called as without the layer.
    Forwarded,
    /// Passed as without the layer, for there was no room.
    Off,
}

impl Answer {
    pub(crate) const fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Fresh => "fresh",
            Self::Replay => "replay",
            Self::Gap => "gap",
            Self::Takeover => "takeover",
            Self::Forwarded => "forwarded",
            Self::Off => "off",
        })
    }
}

/// Whether a response is an event stream that can be made resumable.
pub(crate) fn is_event_stream<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let is_identity =
        |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    response.status() == StatusCode::OK
        && headers.get(CONTENT_TYPE).is_some_and(is_event_stream_type)
        && headers.get_all(CONTENT_ENCODING).iter().all(is_identity)
}

fn is_event_stream_type(value: &HeaderValue) -> bool {
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Takes out what would be wrong of a body that the layer rewrites, and what lets caches answer others with it.
pub(crate) fn wrap_headers(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, ETAG, ACCEPT_RANGES] {
        headers.remove(name);
    }
    for name in ["digest", "content-digest", "repr-digest", "content-md5"] {
        headers.remove(name);
    }
    caches::forbid_sharing(headers);
}

/// A response that passes unrecorded, after what its client has to be told. That goes only into an event stream.
pub(crate) fn passed<B>(
    mut response: Response<B>,
    gap: Option<&Gap>,
    config: &Config,
) -> Response<ResumeBody<B>> {
    let Some(gap) = gap.filter(|_| is_event_stream(&response)) else {
        return response.map(ResumeBody::pass);
    };
    config.observer.tell(Observation::Gap { reason: gap.reason, missed: gap.missed });
    wrap_headers(response.headers_mut());
    response.map(|body| ResumeBody::told(gap, config, body))
}

/// The headers that are kept of a wrapped first response: those that are about the stream, each as far as there is `room`
/// for it, in bytes.
pub(crate) fn kept_headers(
    headers: &HeaderMap,
    config: &Config,
    is_shared: bool,
    mut room: usize,
) -> HeaderMap {
    let always = [
        CONTENT_TYPE,
        CACHE_CONTROL,
        VARY,
        X_ACCEL_BUFFERING,
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    ];
    let mut kept = HeaderMap::new();
    for name in always.iter().chain(session_header(config)).chain(&config.keep_headers) {
        for value in headers.get_all(name) {
            let is_new = !kept.get_all(name).iter().any(|old| old == value);
            let rest = room.checked_sub(name.as_str().len() + value.len());
            if let (true, Some(rest)) = (is_new, rest) {
                room = rest;
                kept.append(name, value.clone());
            }
        }
    }
    forget_client(&mut kept, config, is_shared);
    kept
}

/// Takes out what is about the first client alone, and lets no cache store what is left.
pub(crate) fn forget_client(kept: &mut HeaderMap, config: &Config, is_shared: bool) {
    kept.remove(SET_COOKIE);
    kept.remove("set-cookie2");
    if let Some(session) = session_header(config).filter(|_| is_shared) {
        kept.remove(session);
    }
    caches::forbid_storing(kept);
}

fn session_header(config: &Config) -> Option<&HeaderName> {
    match &config.session {
        Some(SessionSource::Header(name)) => Some(name),
        _ => None,
    }
}

/// The headers of a later response of a stream, to a request from this page: what pages may do is only for the first one's
/// like. Where that is not known, it is what the binding says; a shared stream's says nothing of pages.
pub(crate) fn later_headers(origin: &Origin, page: Page) -> HeaderMap {
    let mut headers = HeaderMap::clone(&origin.headers);
    if !origin.page.map_or(!origin.is_shared, |first| first == page) {
        let names = headers.keys().filter(|name| cors::is_for_pages(name));
        for name in names.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
    headers
}

/// Whether a request from this page may be answered with a shared stream. If not, its browser would let it read nothing
/// that the inner service might let it.
pub(crate) fn may_join(origin: &Origin, page: Page) -> bool {
    let is_its =
        |first| page == first || first != Page::NONE && !cors::depends_on_origin(&origin.headers);
    page == Page::NONE || origin.page.is_none_or(is_its)
}

/// Adds what the layer says of a response.
pub(crate) fn describe(headers: &mut HeaderMap, answer: Answer, from: &str) {
    headers.insert(SSE_RESUME, answer.value());
    if let Ok(from) = HeaderValue::from_str(from) {
        headers.insert(SSE_RESUME_FROM, from);
    }
}

/// The one answer for every ID that is not served.
pub(crate) fn rejected<B>(config: &Config) -> Response<ResumeBody<B>> {
    match &config.rejection {
        Some(rejection) => rejection().map(ResumeBody::full),
        None => bare(StatusCode::GONE),
    }
}

/// The store is away, and nothing can be said without it.
pub(crate) fn unavailable<B>() -> Response<ResumeBody<B>> {
    let mut response = bare(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// The answer that stops an `EventSource`: there is nothing more.
pub(crate) fn no_content<B>() -> Response<ResumeBody<B>> {
    bare(StatusCode::NO_CONTENT)
}

/// The inner service panicked where no error of its own can be passed on.
pub(crate) fn failed<B>() -> Response<ResumeBody<B>> {
    bare(StatusCode::INTERNAL_SERVER_ERROR)
}

fn bare<B>(status: StatusCode) -> Response<ResumeBody<B>> {
    let mut response = Response::new(ResumeBody::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::new(());
        for (name, value) in headers {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn only_an_unencoded_event_stream_with_status_200_is_wrapped() {
        let stream = ("content-type", "text/event-stream");
        assert!(is_event_stream(&response(&[stream])));
        assert!(is_event_stream(&response(&[(
            "content-type",
            "Text/Event-Stream ; charset=utf-8"
        )])));
        assert!(is_event_stream(&response(&[stream, ("content-encoding", "identity")])));
        assert!(!is_event_stream(&response(&[stream, ("content-encoding", "gzip")])));
        assert!(!is_event_stream(&response(&[("content-type", "text/event-stream2")])));
        assert!(!is_event_stream(&response(&[])));
        let mut partial = response(&[stream]);
        *partial.status_mut() = StatusCode::PARTIAL_CONTENT;
        assert!(!is_event_stream(&partial));
    }

    #[test]
    fn a_replay_has_the_streams_headers_but_no_cookies() {
        let first = response(&[
            ("content-type", "text/event-stream"),
            ("vary", "origin"),
            ("set-cookie", "a=1"),
            ("date", "now"),
            ("x-mine", "1"),
        ]);
        let config =
            Config { keep_headers: vec![HeaderName::from_static("x-mine")], ..Config::default() };
        let kept = kept_headers(first.headers(), &config, false, 1024);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "content-type", "vary", "x-mine"]);
        assert_eq!(kept[CACHE_CONTROL], "no-store");
    }
}
