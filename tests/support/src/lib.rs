//! What the tests of the layer share.

#![allow(
    clippy::needless_pass_by_value,
    reason = "layers and requests read better without a borrow"
)]

pub mod app;
pub mod client;
pub mod cutter;
pub mod faulty_store;
pub mod frames;
pub mod process;
pub mod random;
pub mod reference;
pub mod scripted;
pub mod seeds;
pub mod socket;
pub mod store_server;
pub mod tls;

pub use app::{App, TestClient, request};
pub use client::{Client, End, settle};
pub use scripted::{Scripted, event_stream, status};
