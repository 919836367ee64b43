//! Preflight requests: a client that has an event ID sends a header that it did not send before.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Whether a request asks if it may send `Last-Event-ID`.
pub(crate) fn asks_for_last_event_id(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && lists(headers, &ACCESS_CONTROL_REQUEST_HEADERS, b"last-event-id")
}

/// Adds the header to those that are allowed, where the answer allows the origin at all.
///
/// Without it, clients that worked without the layer would fail their preflight once they have an ID.
pub(crate) fn allow_last_event_id(headers: &mut HeaderMap) {
    let all = lists(headers, &ACCESS_CONTROL_ALLOW_HEADERS, b"*")
        && !headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
        && !all
        && !lists(headers, &ACCESS_CONTROL_ALLOW_HEADERS, b"last-event-id")
    {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("last-event-id"));
    }
}

/// Whether a response is for pages of one origin: the next one may be told something else.
pub(crate) fn depends_on_origin(headers: &HeaderMap) -> bool {
    let varies = lists(headers, &VARY, b"origin") || lists(headers, &VARY, b"*");
    varies || headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
}

/// Whether a header is about what pages may do.
pub(crate) fn is_for_pages(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

fn lists(headers: &HeaderMap, list: &HeaderName, name: &[u8]) -> bool {
    let mut names =
        headers.get_all(list).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        allow_last_event_id(&mut map);
        let values = map.get_all(ACCESS_CONTROL_ALLOW_HEADERS);
        values.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_name_is_added_where_the_origin_is_allowed() {
        assert_eq!(allowed(&[("access-control-allow-origin", "*")]), ["last-event-id"]);
        assert!(allowed(&[]).is_empty());
    }

    #[test]
    fn the_name_is_not_added_twice() {
        let origin = ("access-control-allow-origin", "*");
        assert_eq!(
            allowed(&[origin, ("access-control-allow-headers", "x, Last-Event-ID")]).len(),
            1
        );
        assert_eq!(allowed(&[origin, ("access-control-allow-headers", "*")]), ["*"]);
    }

    #[test]
    fn a_star_means_no_more_than_itself_where_there_are_credentials() {
        let headers = [
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "*"),
        ];
        assert_eq!(allowed(&headers), ["*", "last-event-id"]);
    }
}
