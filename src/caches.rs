//! What a response says to caches: a copy of it is for nobody else.
//!
//! A wrapped response has one client's event IDs in it, and a resumed one what that client missed. So what would let a
//! cache answer others with it becomes `no-store`; what restricts caches stays (RFC 9111, section 5.2.2).

use http::header::{AGE, CACHE_CONTROL, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};

const NO_STORE: &[u8] = b"no-store";
/// Directives that keep a copy from others. With an argument they are about single headers only.
const RESTRICTIONS: [&[u8]; 3] = [NO_STORE, b"no-cache", b"private"];
/// Directives that let others have a copy. A cache that understands a status may store with `must-understand` in spite of
/// `no-store`.
const PERMISSIONS: [&[u8]; 5] =
    [b"public", b"max-age", b"s-maxage", b"immutable", b"must-understand"];

/// Takes out what lets a cache answer others with this response.
pub(crate) fn forbid_sharing(headers: &mut HeaderMap) {
    let directives = Directives::of(headers);
    if directives.has_permissions || !directives.any(&RESTRICTIONS) {
        let restricted = directives.with_no_store();
        headers.insert(CACHE_CONTROL, restricted);
    }
    forbid_overriding(headers);
    if headers.contains_key(EXPIRES) {
        // What is no date is in the past (section 5.3).
        headers.insert(EXPIRES, HeaderValue::from_static("0"));
    }
}

/// The same for a response that must not be stored at all.
pub(crate) fn forbid_storing(headers: &mut HeaderMap) {
    let directives = Directives::of(headers);
    if directives.has_permissions || !directives.any(&[NO_STORE]) {
        let restricted = directives.with_no_store();
        headers.insert(CACHE_CONTROL, restricted);
    }
}

/// Takes out what caches put before `Cache-Control`, and by what they would validate a copy.
fn forbid_overriding(headers: &mut HeaderMap) {
    let names = headers.keys().filter(|name| overrides(name)).cloned().collect::<Vec<_>>();
    for name in names.into_iter().chain([AGE, LAST_MODIFIED]) {
        headers.remove(name);
    }
}

/// `CDN-Cache-Control` (RFC 9213) has many forms, each with a vendor's name before it.
fn overrides(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["surrogate-control", "x-accel-expires", "edge-control"].contains(&name)
        || name.ends_with("-cache-control")
}

/// The directives of all lines of `Cache-Control`.
struct Directives<'a> {
    /// Those that are no permissions, as they were sent.
    kept: Vec<&'a [u8]>,
    has_permissions: bool,
}

impl<'a> Directives<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let lines = headers.get_all(CACHE_CONTROL).iter();
        let all = lines.flat_map(|line| split(line.as_bytes())).filter(|one| !one.is_empty());
        let (kept, permissions): (Vec<_>, Vec<_>) = all.partition(|one| !is_permission(one));
        Self { kept, has_permissions: !permissions.is_empty() }
    }

    /// Whether one of these is among them, for the whole response.
    fn any(&self, names: &[&[u8]]) -> bool {
        self.kept.iter().any(|one| names.iter().any(|name| one.eq_ignore_ascii_case(name)))
    }

    fn with_no_store(&self) -> HeaderValue {
        let others = self.kept.iter().filter(|one| !one.eq_ignore_ascii_case(NO_STORE));
        let all: Vec<_> = others.copied().chain([NO_STORE]).collect();
        HeaderValue::from_bytes(&all.join(&b", "[..]))
            .unwrap_or_else(|_| HeaderValue::from_static("no-store"))
    }
}

/// A string that does not end could hide what is written behind it: it is none that can be kept.
fn is_permission(directive: &[u8]) -> bool {
    let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    let is_stale = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"stale-"));
    is_stale
        || PERMISSIONS.iter().any(|permission| name.eq_ignore_ascii_case(permission))
        || !ends_its_strings(directive)
}

/// The elements of a list, whose strings may have commas in them.
fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut strings = Strings::default();
    line.split(move |byte| !strings.is_inside(*byte) && *byte == b',').map(<[u8]>::trim_ascii)
}

fn ends_its_strings(directive: &[u8]) -> bool {
    let mut strings = Strings::default();
    for byte in directive {
        strings.is_inside(*byte);
    }
    !strings.is_open
}

/// Tells what is in a quoted string (RFC 9110, section 5.6.4).
#[derive(Default)]
struct Strings {
    is_open: bool,
    is_escaped: bool,
}

impl Strings {
    /// Whether the next byte is in a string, or ends one.
    fn is_inside(&mut self, byte: u8) -> bool {
        let was_open = self.is_open;
        if self.is_escaped {
            self.is_escaped = false;
        } else if byte == b'"' {
            self.is_open = !self.is_open;
        } else if byte == b'\\' {
            self.is_escaped = self.is_open;
        }
        was_open
    }
}
