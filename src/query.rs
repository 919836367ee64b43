//! The position in a query parameter, for clients that cannot set a header.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// The decoded values of the parameters called `name`.
pub(crate) fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    query.split('&').filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('=')).map(decode)
}

/// `query` without the parameters called `name`.
pub(crate) fn without<'a>(query: &'a str, name: Option<&str>) -> Cow<'a, str> {
    let Some(name) = name else { return Cow::Borrowed(query) };
    let is_it = |pair: &&str| {
        pair.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if !query.split('&').any(|pair| is_it(&pair)) {
        return Cow::Borrowed(query);
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_it(pair)).collect();
    Cow::Owned(rest.join("&"))
}

/// Takes the parameters called `name` out of `uri`.
pub(crate) fn remove(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query() else { return };
    let query = without(query, Some(name)).into_owned();
    replace(uri, &query);
}

/// Takes those parameters called `name` out of `uri` that have such a value.
pub(crate) fn remove_values(uri: &mut Uri, name: &str, which: impl Fn(&[u8]) -> bool) {
    let Some(query) = uri.query() else { return };
    let is_one = |pair: &&str| values(pair, name).any(|value| which(&value));
    let rest: Vec<_> = query.split('&').filter(|pair| !is_one(pair)).collect();
    let query = rest.join("&");
    replace(uri, &query);
}

/// Gives `uri` another query; an empty one is none.
fn replace(uri: &mut Uri, query: &str) {
    let target =
        if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    let mut parts = std::mem::take(uri).into_parts();
    // Parts of a valid target make a valid one.
    parts.path_and_query = PathAndQuery::try_from(target).ok().or(parts.path_and_query);
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Percent-decodes; what is no escape stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.get(..2).and_then(hex)).flatten();
        decoded.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded() {
        let all = |query| values(query, "id").collect::<Vec<_>>();
        assert_eq!(all("a=1&id=r1.x%2Ey%25"), [b"r1.x.y%"]);
        assert_eq!(all("id=%zz%4"), [b"%zz%4"]);
        assert_eq!(all("id=1&x=2&id="), [&b"1"[..], b""]);
        assert!(all("idx=1&x").is_empty());
    }

    #[test]
    fn a_parameter_is_taken_out_wherever_it_is() {
        let removed = |target: &str| {
            let mut uri: Uri = target.parse().unwrap();
            remove(&mut uri, "id");
            uri.to_string()
        };
        assert_eq!(removed("/p?id=1"), "/p");
        assert_eq!(removed("/p?a=1&id=1&b=2"), "/p?a=1&b=2");
        assert_eq!(removed("/p?id&idx=1"), "/p?idx=1");
        assert_eq!(removed("http://h:1/p?id=1&a"), "http://h:1/p?a");
        assert_eq!(removed("/p"), "/p");
    }

    #[test]
    fn only_parameters_of_such_a_value_are_taken_out() {
        let removed = |target: &str| {
            let mut uri: Uri = target.parse().unwrap();
            remove_values(&mut uri, "id", |value| value == b"a.b");
            uri.to_string()
        };
        assert_eq!(removed("/p?id=a%2eb"), "/p");
        assert_eq!(removed("/p?id=1&id=a.b&id=2&id&x=a.b"), "/p?id=1&id=2&id&x=a.b");
        assert_eq!(removed("http://h:1/p?y=%zz&id=a.b"), "http://h:1/p?y=%zz");
        assert_eq!(removed("/p"), "/p");
    }
}
