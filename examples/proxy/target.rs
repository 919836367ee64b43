//! The server that the proxy forwards to.

use std::str::FromStr;

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// The scheme, host and port of `--upstream`.
#[derive(Clone)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
}

impl Target {
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Where the upstream has what the client asked for with `uri`.
    pub(crate) fn locate(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri = Uri::from_str(url).map_err(|error| error.to_string())?.into_parts();
        let scheme = uri.scheme.filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
        let scheme = scheme.ok_or("expected http://HOST[:PORT] or https://HOST[:PORT]")?;
        let authority = uri.authority.ok_or("the host is missing")?;
        if authority.as_str().contains('@') {
            return Err("a user name or password is not supported".into());
        }
        if uri.path_and_query.is_some_and(|path| path != "/") {
            return Err("a path is not supported: the upstream gets the client's".into());
        }
        Ok(Self { scheme, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(target: &str, uri: &str) -> String {
        let target = Target::from_str(target).unwrap();
        target.locate(&uri.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_path_and_query_are_the_clients() {
        assert_eq!(located("http://127.0.0.1:3000", "/a/b?c=d"), "http://127.0.0.1:3000/a/b?c=d");
        assert_eq!(located("https://example.com/", "http://other:8080/a"), "https://example.com/a");
        assert_eq!(located("http://[::1]:3000", "http://other"), "http://[::1]:3000/");
    }

    #[test]
    fn only_a_scheme_a_host_and_a_port_make_a_target() {
        for url in [
            "",
            "127.0.0.1:3000",
            "/path",
            "ftp://host",
            "http://user@host",
            "http://host/base",
            "http://host?q",
        ] {
            assert!(Target::from_str(url).is_err(), "{url}");
        }
    }
}
