//! What tests of the proxy share.

pub(crate) mod process;
pub(crate) mod socket;
