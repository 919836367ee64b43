//! Wakes those of this process who wait for a stream; how news comes here from elsewhere is each store's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Error, Extent, Key};

/// Who waits for which stream.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    /// All are woken in the order of the names: a simulation repeats it.
    waiting: Mutex<BTreeMap<Key, Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    bell: Arc<Notify>,
    waiters: usize,
}

impl Wakeups {
    /// Wakes all who wait for `stream`.
    pub(super) fn wake(&self, stream: &Key) {
        if let Some(waiting) = self.lock().get(stream) {
            waiting.bell.notify_waiters();
        }
    }

    /// Wakes all: news may have been missed.
    pub(super) fn wake_all(&self) {
        self.lock().values().for_each(|waiting| waiting.bell.notify_waiters());
    }

    /// Which streams are waited for.
    #[cfg_attr(not(feature = "dynamodb"), allow(dead_code))]
    pub(super) fn waited_for(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Asks `look` for the extent, now and each time that somebody wakes, until it is news after `seen`.
    pub(super) async fn until_news<F, Fut>(
        &self,
        stream: &Key,
        seen: &Extent,
        look: F,
    ) -> Result<Extent, Error>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Extent, Error>> + Send,
    {
        let waiter = Waiter::new(self, stream);
        loop {
            // Made before the look, so that what is written after it is not missed.
            let woken = waiter.bell.notified();
            let extent = look().await?;
            if extent.is_news_after(seen) {
                return Ok(extent);
            }
            woken.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits; stands in the table as long as it lives.
struct Waiter<'a> {
    wakeups: &'a Wakeups,
    stream: &'a Key,
    bell: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn new(wakeups: &'a Wakeups, stream: &'a Key) -> Self {
        let mut all = wakeups.lock();
        let waiting = all.entry(stream.clone()).or_default();
        waiting.waiters += 1;
        Self { wakeups, stream, bell: Arc::clone(&waiting.bell) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut all = self.wakeups.lock();
        if let Some(waiting) = all.get_mut(self.stream) {
            waiting.waiters -= 1;
            if waiting.waiters == 0 {
                all.remove(self.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_leaves_nothing_behind() {
        let (wakeups, stream) = (Wakeups::default(), Key::new("s").unwrap());
        let (one, other) = (Waiter::new(&wakeups, &stream), Waiter::new(&wakeups, &stream));
        assert!(Arc::ptr_eq(&one.bell, &other.bell));
        drop(one);
        assert_eq!(wakeups.lock().len(), 1);
        drop(other);
        assert!(wakeups.lock().is_empty());
    }
}
