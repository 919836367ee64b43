//! Durations and sizes as they are written on the command line.

use std::time::Duration;

/// Reads `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(format!("unknown unit `{unit}`, expected ms, s, m or h")),
    };
    let total = number.checked_mul(milliseconds).ok_or(TOO_LARGE)?;
    Ok(Duration::from_millis(total))
}

/// Reads `1000`, `64KiB`, `1MiB`, `1MB`; a bare number is bytes.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" | "" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("unknown unit `{unit}`, expected B, KB, MB, GB, KiB, MiB or GiB")),
    };
    let total = number.checked_mul(bytes).ok_or(TOO_LARGE)?;
    usize::try_from(total).map_err(|_| TOO_LARGE.into())
}

const TOO_LARGE: &str = "too large";

fn split(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("expected a whole number, then a unit".into());
    }
    let number = number.parse().map_err(|_| TOO_LARGE)?;
    Ok((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_seconds() {
        for (text, milliseconds) in [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit_or_is_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("1B", 1),
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("1MB", 1_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in ["", "s", "-1s", "+1s", "1.5s", "1e3", "٣s"] {
            assert!(duration(text).is_err(), "{text}");
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_unit_is_named_beside_the_known_ones() {
        assert_eq!(duration("5min"), Err("unknown unit `min`, expected ms, s, m or h".into()));
        assert!(size("5kb").unwrap_err().starts_with("unknown unit `kb`, expected B, KB"));
    }

    #[test]
    fn a_number_that_overflows_is_refused() {
        assert_eq!(duration("99999999999999999999s"), Err(TOO_LARGE.into()));
        assert_eq!(duration("18446744073709551615h"), Err(TOO_LARGE.into()));
        assert_eq!(size("18446744073709551615GiB"), Err(TOO_LARGE.into()));
    }
}
