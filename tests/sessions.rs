//! Sessions in a store: who may use one, how long it lives, and what ends with it.

#[path = "sessions/broken.rs"]
mod broken;
#[path = "sessions/http.rs"]
mod http;
#[path = "sessions/lives.rs"]
mod lives;
#[path = "sessions/operators.rs"]
mod operators;
#[path = "sessions/owners.rs"]
mod owners;
mod support;
