//! What becomes of a stream here that somebody else has, or nobody any more.

use std::sync::Arc;

use crate::observer::Observation;
use crate::stream::Stream;

/// Somebody else produces the stream now.
pub(crate) fn supersede(stream: &Arc<Stream>) {
    stream.registry.remove(stream);
    if stream.superseded() {
        stream.observe(Observation::Superseded);
    }
}

/// The store does not have the stream, and never will. Clients that get only what it has get no more.
pub(super) fn go_without(stream: &Arc<Stream>) {
    if !stream.stop_storing() {
        supersede(stream);
    }
}

/// The stream was purged elsewhere.
pub(crate) fn forget(stream: &Arc<Stream>) {
    stream.registry.remove(stream);
    stream.purge();
}
