//! What tests over real sockets share.

#![allow(dead_code, unreachable_pub, reason = "each test target uses a part of it")]

pub mod cutter;
pub mod process;
