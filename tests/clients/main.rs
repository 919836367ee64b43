//! Clients over real connections that are cut: clients of this crate's tests, and those that people use.

mod cutter;
mod facts;
mod many;
mod real;
