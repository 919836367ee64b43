//! What a message loses and gains on its way through the proxy.
//!
//! Headers that concern one connection only are left out (RFC 9110, section 7.6.1), each side's connection has its own.
//! Everything else passes as it is, and nothing is added: no `Via`, no `X-Forwarded-*`. What this means where a choice
//! had to be made:
//!
//! - `Host`: an http upstream gets the client's, because servers compare it with `Origin`, with a list of allowed hosts,
//!   or put it into links. An https upstream gets its own name, because that is what its certificate and its virtual
//!   hosts are for; other reverse proxies do the same.
//!   Two `Host` headers pass as they are, for the upstream to refuse, and never share a response.
//! - `Upgrade` is ignored, as section 7.8 allows. So a client that only offers HTTP/2 is served by HTTP/1.1, and a
//!   WebSocket handshake gets what the upstream says to a plain request. `CONNECT` is 501.
//! - `Expect` is left out: the proxy says `100 Continue` itself as soon as the upstream takes the body.
//! - A body that ends by closing the connection (HTTP/1.0, as Python's `http.server` speaks) has no other end: that its
//!   server died cannot be seen, by the proxy no more than by a client without it.
//! - `Accept-Encoding` is `identity` where an event stream is asked for: compressed ones cannot be resumed.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONNECTION, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE,
    },
    request, response,
};

use super::target::Target;

/// Makes the head of a client's request the one that the upstream gets.
pub(crate) fn request_head(head: &mut request::Parts, target: &Target) -> Result<(), http::Error> {
    let takes_trailers = contains(&head.headers, &TE, "trailers");
    remove_hop_by_hop(&mut head.headers);
    if takes_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if contains(&head.headers, &ACCEPT, "text/event-stream") {
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    head.headers.remove(EXPECT);
    join_cookies(&mut head.headers);
    set_host(head, target)?;
    head.uri = target.locate(&head.uri)?;
    // The connection to the upstream decides, not the one that the request came by.
    head.version = Version::HTTP_11;
    Ok(())
}

/// Makes the head of the upstream's response the one that the client gets.
pub(crate) fn response_head(head: &mut response::Parts) {
    remove_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        tokens(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// A header that HTTP/2 clients may split has to be one again for HTTP/1.1 (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]));
        headers.insert(COOKIE, joined.expect("header values joined by legal bytes"));
    }
}

/// `Host` is what the target URI says where it names a host: HTTP/2's `:authority`, or a URI in absolute form.
fn set_host(head: &mut request::Parts, target: &Target) -> Result<(), http::Error> {
    if target.is_https() {
        // The client puts the upstream's name in.
        head.headers.remove(HOST);
    } else if let Some(authority) = head.uri.authority() {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        head.headers.insert(HOST, HeaderValue::try_from(host)?);
    }
    Ok(())
}

/// Whether a list of values with parameters has this one.
fn contains(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    tokens(headers, name).any(|token| {
        let bare = token.split(';').next().unwrap_or_default();
        bare.trim_end().eq_ignore_ascii_case(value)
    })
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn forwarded(request: request::Builder, target: &str) -> request::Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        request_head(&mut head, &target.parse().unwrap()).unwrap();
        head
    }

    #[test]
    fn headers_of_one_connection_are_left_out() {
        let request = Request::get("/")
            .header("connection", "close, X-One")
            .header("connection", "x-two")
            .header("x-one", "1")
            .header("x-two", "2")
            .header("x-three", "3")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("te", "gzip")
            .header("upgrade", "websocket");
        let names: Vec<_> =
            forwarded(request, "http://host").headers.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [Some(HeaderName::from_static("x-three"))]);
    }

    #[test]
    fn a_response_is_one_of_the_clients_connection() {
        let response = http::Response::builder()
            .version(Version::HTTP_10)
            .header("connection", "x-one, close");
        let (mut head, ()) =
            response.header("x-one", "1").header("etag", "2").body(()).unwrap().into_parts();
        response_head(&mut head);
        assert_eq!((head.version, head.headers.len()), (Version::HTTP_11, 1));
    }

    #[test]
    fn a_client_that_takes_trailers_gets_them() {
        let head = forwarded(Request::get("/").header("te", "gzip;q=0.5, trailers"), "http://host");
        assert_eq!(head.headers["te"], "trailers");
    }

    #[test]
    fn only_event_streams_are_asked_for_uncompressed() {
        let accept =
            |types| Request::get("/").header("accept", types).header("accept-encoding", "gzip");
        let head = forwarded(accept("application/json, Text/Event-Stream;q=0.9"), "http://host");
        assert_eq!(head.headers["accept-encoding"], "identity");
        let head = forwarded(accept("text/html"), "http://host");
        assert_eq!(head.headers["accept-encoding"], "gzip");
    }

    #[test]
    fn an_http_upstream_gets_the_clients_host() {
        let head =
            forwarded(Request::get("/").header("host", "client:8080"), "http://upstream:3000");
        assert_eq!(head.headers["host"], "client:8080");
    }

    #[test]
    fn the_host_in_the_uri_is_the_one_that_counts() {
        let request = Request::get("http://user@client:8080/").header("host", "other");
        assert_eq!(forwarded(request, "http://upstream").headers["host"], "client:8080");
    }

    #[test]
    fn an_https_upstream_gets_its_own_host() {
        let head = forwarded(Request::get("/a").header("host", "client"), "https://upstream");
        assert!(!head.headers.contains_key("host"));
        assert_eq!(head.uri, "https://upstream/a");
    }

    #[test]
    fn split_cookies_are_joined() {
        let request = Request::get("/").header("cookie", "a=1").header("cookie", "b=2");
        let head = forwarded(request, "http://host");
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
