//! What the tests of the layer share.

// Each test uses a part of it.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::needless_pass_by_value)]

pub mod app;
pub mod client;
pub mod scripted;

pub use app::{App, TestClient, request};
pub use client::{Client, End, settle};
pub use scripted::{Scripted, event_stream, status};
