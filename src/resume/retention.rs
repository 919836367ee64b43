//! How much of a stream is kept.

use std::time::Duration;

/// How much of each stream's history is kept, for clients that come back.
///
/// What is past any one of the limits is not served any more; a client that comes back for it gets a gap signal. What
/// nobody has read yet is bounded by [`bytes`](Self::bytes) alone, at which the inner service's body is held back, and while
/// nobody is there by [`age`](Self::age). Memory passes a limit by one event and one block of 8 KiB at most, and `age` by an
/// eighth.
///
/// ```
/// use std::time::Duration;
/// use tower_sse_resume::Retention;
///
/// let retention = Retention::new().events(200).bytes(64 * 1024).age(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) payload: bool,
}

impl Retention {
    /// The defaults: 1,000 events, 1 MiB and 300 seconds.
    pub const fn new() -> Self {
        Self { events: 1_000, bytes: 1024 * 1024, age: Duration::from_secs(300), payload: true }
    }

    /// Keeps no payload, only the inner service's event IDs and a hash of each event.
    ///
    /// For services that can resend by themselves: each return calls the inner service with its own last event ID, and
    /// what it resends is skipped. There is no linger: a stream is aborted when its last reader leaves.
    pub const fn ids_only() -> Self {
        Self { payload: false, ..Self::new() }
    }

    /// How many events of a stream are kept of those that a client has read, or of all with
    /// [`read_on`](crate::SseResumeLayer::read_on). Default: 1,000; 0 counts as 1.
    #[must_use]
    pub const fn events(mut self, events: u64) -> Self {
        self.events = if events == 0 { 1 } else { events };
        self
    }

    /// How many bytes of events of a stream are kept, event IDs and line endings included. Default: 1 MiB.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long events are kept, and a stream's last position after its end. Default: 300 seconds.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// A block is sealed when its first event is this old, so that age is kept to an eighth.
    pub(crate) fn seal_age(&self) -> Duration {
        self.age / 8
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}
