//! What the benchmarks share: bodies to measure, a server in a process of its own, clients for it, and a
//! store that counts.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]

pub mod client;
pub mod counting;
pub mod rounds;
pub mod server;
pub mod source;
