//! The proxy of `examples/proxy`, as a process between two sockets.

mod credentials;
mod lingering;
mod options;
mod passthrough;
mod pure;
mod reconnect;
mod shared;
