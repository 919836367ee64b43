//! The event stream format of WHATWG HTML, section 9.2: bytes to frames and back. Pure: no I/O, no clock.

#[allow(dead_code)]
pub(crate) mod encode;
