//! What the benchmarks share: bodies to measure, a server in a process of its own, and clients for it.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

pub mod client;
pub mod rounds;
pub mod server;
pub mod source;
