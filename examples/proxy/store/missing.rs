//! An engine that this build does not have.

pub(super) const OPEN: Option<super::Open> = None;
