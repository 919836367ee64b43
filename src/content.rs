//! What an event says, as one number.

use crate::resume::keys::Keys;
use crate::sse::{Field, lines};

/// The keyed hash of a frame's event type and data. Other lines do not count.
pub(crate) fn content_hash(frame: &[u8], keys: &Keys) -> u64 {
    let mut hasher = keys.content_hash(lines(frame).event_type().unwrap_or_default());
    for line in lines(frame) {
        if let Field::Data(value) = line.field {
            hasher.data_line(value);
        }
    }
    hasher.finish()
}
