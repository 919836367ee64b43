//! What an operator is told of an error.

use std::{error::Error, iter};

/// The error and what caused it, in one line.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
