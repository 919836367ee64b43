//! How long to wait for a word of a server.

use std::time::Duration;

/// After how long without a word a connection on which the server is asked for one is given up: it may be cut off, or
/// lead to a server that hangs while another one has taken its place.
pub(super) fn silence(patience: Duration) -> Duration {
    patience.clamp(Duration::from_millis(100), Duration::from_secs(10))
}
