//! Cookies that a response sets (RFC 6265, section 5.2).

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::SET_COOKIE;

/// The value that a client has for the cookie `name` once it has these headers. `None`: they say nothing of it, or
/// delete it.
pub(crate) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lines = headers.get_all(SET_COOKIE).iter();
    let cookies = lines.filter_map(|line| SetCookie::parse(line.as_bytes()));
    let cookies: Vec<_> = cookies.filter(|cookie| cookie.name == name.as_bytes()).collect();
    let is_replaced = |at: usize| {
        let mut later = cookies[at + 1..].iter();
        later.any(|later| later.path == cookies[at].path && later.domain == cookies[at].domain)
    };
    let set = |at: &usize| !cookies[*at].is_deleted() && !is_replaced(*at);
    (0..cookies.len()).rev().find(set).map(|at| cookies[at].value)
}

/// One line, as far as it is looked at.
struct SetCookie<'a> {
    name: &'a [u8],
    value: &'a [u8],
    path: &'a [u8],
    domain: &'a [u8],
    /// What `Max-Age` and `Expires` say, the last one of each.
    is_over_by_age: Option<bool>,
    is_over_by_date: Option<bool>,
}

impl<'a> SetCookie<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.split(|byte| *byte == b';');
        let (name, value) = pair(parts.next()?);
        let (name, value) = (name, value?);
        if name.is_empty() {
            return None;
        }
        let (path, domain) = (&b""[..], &b""[..]);
        let mut cookie =
            Self { name, value, path, domain, is_over_by_age: None, is_over_by_date: None };
        parts.for_each(|attribute| cookie.take(attribute));
        Some(cookie)
    }

    fn take(&mut self, attribute: &'a [u8]) {
        let (name, value) = pair(attribute);
        let value = value.unwrap_or_default();
        match &*name.to_ascii_lowercase() {
            b"path" => self.path = value,
            b"domain" => self.domain = value,
            b"max-age" => self.is_over_by_age = is_over_by_age(value).or(self.is_over_by_age),
            b"expires" => {
                let is_over = unix_time(value).map(|time| time <= now());
                self.is_over_by_date = is_over.or(self.is_over_by_date);
            }
            _ => {}
        }
    }

    /// An empty value names nothing, and is how some servers delete a cookie.
    fn is_deleted(&self) -> bool {
        let is_over = self.is_over_by_age.or(self.is_over_by_date);
        self.value.is_empty() || is_over == Some(true)
    }
}

/// What is before and behind the first `=`.
fn pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (text[..at].trim_ascii(), Some(text[at + 1..].trim_ascii())),
        None => (text.trim_ascii(), None),
    }
}

/// Whether a lifetime in seconds is none (section 5.2.2). `None`: it is no number.
fn is_over_by_age(seconds: &[u8]) -> Option<bool> {
    let digits = seconds.strip_prefix(b"-").unwrap_or(seconds);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let is_positive = digits.len() == seconds.len() && digits.iter().any(|digit| *digit != b'0');
    is_number.then_some(!is_positive)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// The seconds since 1970 of a date in any of the forms that browsers take (section 5.1.1).
fn unix_time(date: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in date.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        let _ = take(&mut time, || time_of_day(token))
            || take(&mut day, || number(token, 1, 2))
            || take(&mut month, || month_of(token))
            || take(&mut year, || number(token, 2, 4));
    }
    let (day, year) = (day?, year?);
    let year = match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    };
    let is_legal = (1..=31).contains(&day) && year >= 1601;
    is_legal.then_some(days(year, month?, day) * 86_400 + time?)
}

/// Takes what is read, unless there is one already. Returns whether it did.
fn take(slot: &mut Option<i64>, read: impl FnOnce() -> Option<i64>) -> bool {
    let was_there = slot.is_some();
    if !was_there {
        *slot = read();
    }
    !was_there && slot.is_some()
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// The number that a token begins with, if it has so many digits.
fn number(token: &[u8], at_least: usize, at_most: usize) -> Option<i64> {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_one = (at_least..=at_most).contains(&digits);
    let digits = token[..digits].iter();
    is_one.then(|| digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn month_of(token: &[u8]) -> Option<i64> {
    let start = token.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| **month == *start)?;
    i64::try_from(at + 1).ok()
}

/// The seconds since midnight of `08:49:37`.
fn time_of_day(token: &[u8]) -> Option<i64> {
    let mut parts = token.split(|byte| *byte == b':');
    let mut next = || number(parts.next()?, 1, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_legal = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_legal.then_some(hour * 3600 + minute * 60 + second)
}

/// The days from 1970 to a date, in years that begin with March: so the day that is sometimes there is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_each_form_that_browsers_take() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "08:49:37 6 november 1994",
        ] {
            assert_eq!(unix_time(date.as_bytes()), Some(784_111_777), "{date}");
        }
        assert_eq!(unix_time(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix_time(b"Tue, 29 Feb 2000 23:59:59 GMT"), Some(951_868_799));
        assert_eq!(unix_time(b"Wed, 31 Dec 1969 23:59:59 GMT"), Some(-1));
        assert_eq!(unix_time(b"Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for date in [
            "",
            "never",
            "0",
            "Thu, 01 Jan 1970",
            "Thu, 01 Jan 00:00:00",
            "Thu, 32 Jan 1970 00:00:00 GMT",
            "Thu, 01 Foo 1970 00:00:00 GMT",
            "Thu, 01 Jan 1970 24:00:00 GMT",
            "Thu, 01 Jan 1600 00:00:00 GMT",
        ] {
            assert_eq!(unix_time(date.as_bytes()), None, "{date}");
        }
    }

    #[test]
    fn a_lifetime_is_a_number_of_seconds() {
        for (seconds, is_over) in [
            ("0", Some(true)),
            ("000", Some(true)),
            ("-1", Some(true)),
            ("1", Some(false)),
            ("99999999999999999999999", Some(false)),
            ("-", None),
            ("", None),
            ("+1", None),
            ("1.5", None),
        ] {
            assert_eq!(is_over_by_age(seconds.as_bytes()), is_over, "{seconds}");
        }
    }
}
