//! What is written into logs has no password in it.

use std::error::Error as StdError;
use std::fmt::Debug;

use tower_sse_resume::store::{AnyStore, Error, Store};

/// A password, or the end of one.
pub(crate) const PASSWORD: &str = "s3cret";

pub(crate) fn does_not_show(shown: &impl Debug) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

/// Neither by itself, nor in an application's own type.
pub(crate) fn store_does_not_show(store: impl Store + Debug + 'static) {
    does_not_show(&store);
    does_not_show(&AnyStore::new(store));
}

pub(crate) fn error_does_not_show(error: &Error) {
    does_not_show(error);
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        assert!(!error.to_string().contains(PASSWORD), "{error}");
        cause = error.source();
    }
}
