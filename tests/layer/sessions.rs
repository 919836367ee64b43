//! Sessions in a store: who may use one, how long it lives, and what ends with it.

mod broken;
mod http;
mod lives;
mod operators;
mod owners;
