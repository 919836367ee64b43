//! What the stores with tables share: names of tables, and versions of the schema.

use super::{Error, ErrorKind};

/// What the names of all tables begin with, unless it is set.
pub(super) const TABLE_PREFIX: &str = "sse_resume_";

/// Goes into statements as it is, so nothing but plain names is taken.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let first = prefix.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if first && prefix.len() <= 40 && prefix.bytes().all(is_plain) {
        return Ok(());
    }
    let rule = "a table prefix has 1 to 40 of a-z, 0-9 and _, and no digit first";
    Err(Error::new(ErrorKind::InvalidData, rule))
}

/// A statement with the prefix in the place of `@`.
pub(super) fn with_prefix(statement: &str, prefix: &str) -> String {
    statement.replace('@', prefix)
}

/// The steps that bring a schema from `version` (0: there is none) to the newest one.
pub(super) fn missing_steps<T>(steps: &[T], version: i64) -> Result<&[T], Error> {
    let done = usize::try_from(version).ok();
    done.and_then(|done| steps.get(done..)).ok_or(ErrorKind::IncompatibleSchema.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_prefix_is_a_plain_name() {
        for right in ["a", "sse_resume_", "_1"] {
            assert!(check_prefix(right).is_ok(), "{right}");
        }
        for wrong in ["", "1a", "A", "a-b", "a.b", "a\"", "a b", "ä", &"a".repeat(41)] {
            assert_eq!(check_prefix(wrong).unwrap_err().kind(), ErrorKind::InvalidData, "{wrong}");
        }
    }

    #[test]
    fn a_schema_of_an_older_version_is_brought_up_and_one_of_a_newer_is_refused() {
        assert_eq!(missing_steps(&[1, 2, 3], 0).unwrap(), [1, 2, 3]);
        assert_eq!(missing_steps(&[1, 2, 3], 2).unwrap(), [3]);
        assert!(missing_steps(&[1, 2, 3], 3).unwrap().is_empty());
        for version in [4, -1] {
            let error = missing_steps(&[1, 2, 3], version).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IncompatibleSchema);
        }
    }
}
