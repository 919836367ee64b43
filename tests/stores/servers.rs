//! What stores in servers have in common, each against a private server that is killed, or hangs.

#![allow(dead_code, reason = "each store uses a part of it")]

pub(crate) mod hangs;
pub(crate) mod restarts;
pub(crate) mod secrets;
pub(crate) mod silence;
pub(crate) mod swallow;
pub(crate) mod trust;
