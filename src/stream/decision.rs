//! Lets requests wait until it is decided how a claimed takeover goes. They are woken in the order in which they came,
//! which `watch` would leave to chance.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// It is not decided yet; dropped once it is.
pub(super) struct Undecided(Arc<Semaphore>);

/// What to wait for.
pub(super) struct Decision(Arc<Semaphore>);

impl Undecided {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(super) fn decision(&self) -> Decision {
        Decision(Arc::clone(&self.0))
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Decision {
    /// Waits until it is made.
    pub(super) async fn made(self) {
        // There are no permits: this ends when it is closed.
        let _ = self.0.acquire().await;
    }
}
