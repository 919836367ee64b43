//! The host that a request is for.
//!
//! Where the URI names an authority, that is the host, whatever the `Host` header says (RFC 9112, section 3.2.2; HTTP/2
//! has it as `:authority`, RFC 9113, section 8.3.1). Hosts are the same in upper and lower case.

use std::borrow::Cow;

use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;

/// What tells a request's host from others: its name in lower case; empty where the request names none.
///
/// Several `Host` headers, and an empty one, are told from every name: no header has a line feed in it.
pub(crate) fn name(parts: &Parts) -> Cow<'_, [u8]> {
    if let Some(authority) = authority(parts) {
        return lower(authority);
    }
    let mut hosts = hosts(parts);
    match (hosts.next(), hosts.next()) {
        (None, _) => Cow::Borrowed(b""),
        (Some(host), None) if !host.is_empty() => lower(host),
        (Some(first), second) => {
            let all = [first].into_iter().chain(second).chain(hosts);
            Cow::Owned(all.flat_map(|host| [&b"\n"[..], host]).flatten().copied().collect())
        }
    }
}

/// Whether all that a request says of its host is one and the same: a service may go by any of it.
pub(crate) fn is_clear(parts: &Parts) -> bool {
    let mut hosts = hosts(parts);
    match (authority(parts), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => false,
        (Some(authority), Some(host), None) => authority.eq_ignore_ascii_case(host),
        _ => true,
    }
}

/// The authority of the URI, less what names a user.
fn authority(parts: &Parts) -> Option<&[u8]> {
    let authority = parts.uri.authority()?.as_str().as_bytes();
    authority.rsplit(|byte| *byte == b'@').next()
}

fn hosts(parts: &Parts) -> impl Iterator<Item = &[u8]> {
    parts.headers.get_all(HOST).iter().map(HeaderValue::as_bytes)
}

fn lower(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, hosts: &[&str]) -> Parts {
        let request =
            hosts.iter().fold(Request::get(uri), |request, host| request.header(HOST, *host));
        request.body(()).unwrap().into_parts().0
    }

    fn named(uri: &str, hosts: &[&str]) -> String {
        String::from_utf8(name(&parts(uri, hosts)).into_owned()).unwrap()
    }

    #[test]
    fn the_authority_comes_before_the_header() {
        assert_eq!(named("/", &["A.example:8080"]), "a.example:8080");
        assert_eq!(named("http://B.example/", &["a.example"]), "b.example");
        assert_eq!(named("http://a@b@B.example/", &[]), "b.example");
        assert_eq!(named("/", &[]), "");
    }

    #[test]
    fn what_is_no_name_is_told_from_every_name_and_from_none() {
        let unclear: [&[&str]; 5] = [&[""], &["a", "b"], &["b", "a"], &["a", "a"], &["", ""]];
        let mut all: Vec<_> = unclear.iter().map(|hosts| named("/", hosts)).collect();
        all.extend([named("/", &[]), named("/", &["a"]), named("/", &["ab"])]);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn one_name_is_clear_and_two_are_not() {
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a"]),
            ("http://A/", &["a"]),
            ("http://u@a/", &["a"]),
            ("http://a/", &[]),
        ] {
            assert!(is_clear(&parts(uri, hosts)), "{uri} {hosts:?}");
        }
        for (uri, hosts) in [
            ("/", &["a", "a"][..]),
            ("http://a/", &["b"]),
            ("http://a/", &[""]),
            ("http://a/", &["a", "a"]),
        ] {
            assert!(!is_clear(&parts(uri, hosts)), "{uri} {hosts:?}");
        }
    }
}
