//! Time, as far as the current runtime has it. Where there is none, nothing is waited for.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    /// Whether a runtime without time was met on this thread: Tokio tells that by a panic alone, and once is enough.
    static LACKS_TIME: Cell<bool> = const { Cell::new(false) };
}

/// The current Tokio runtime, if it has time.
pub(crate) fn runtime() -> Option<Handle> {
    Handle::try_current().ok().filter(|_| has_time())
}

fn has_time() -> bool {
    if LACKS_TIME.get() {
        return false;
    }
    let has_time = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
    LACKS_TIME.set(!has_time);
    has_time
}

/// A time that comes. It can be polled anywhere.
pub(crate) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    /// A timer of this runtime, which [has time](runtime).
    pub(crate) fn at(runtime: &Handle, deadline: Instant) -> Self {
        let _entered = runtime.enter();
        Self(Box::pin(sleep_until(deadline)))
    }

    /// The same, in so much time.
    pub(crate) fn after(runtime: &Handle, duration: Duration) -> Self {
        let _entered = runtime.enter();
        Self(Box::pin(tokio::time::sleep(duration)))
    }

    /// `None`: its runtime is gone, and the time never comes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        // Tokio tells of that by a panic, too.
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))).ok()
    }
}

/// Waits until `deadline` at the latest; without a runtime that has time, as long as it takes.
pub(crate) async fn until<T>(
    runtime: Option<&Handle>,
    deadline: Instant,
    what: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = runtime.map(|runtime| Timer::at(runtime, deadline));
    let mut what = pin!(what);
    poll_fn(|cx| {
        if let Poll::Ready(done) = what.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        match timer.as_mut().and_then(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(None),
            Some(Poll::Pending) => Poll::Pending,
            None => {
                timer = None;
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for so long at most; without time not at all, so that only what is there already is had.
pub(crate) async fn timeout<T>(patience: Duration, what: impl Future<Output = T>) -> Option<T> {
    if runtime().is_some() {
        return tokio::time::timeout(patience, what).await.ok();
    }
    let mut what = pin!(what);
    poll_fn(|cx| {
        Poll::Ready(match what.as_mut().poll(cx) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_runtime_where_none_is_and_where_it_has_no_time() {
        assert!(runtime().is_none());
        let without = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(without.block_on(async { runtime() }).is_none());
    }

    #[test]
    fn a_timer_is_polled_outside_of_its_runtime_and_after_it() {
        let with = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert!(with.block_on(async { runtime() }).is_some());
        let mut timer = Timer::after(with.handle(), Duration::from_secs(600));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(timer.poll(&mut cx), Some(Poll::Pending));
        drop(with);
        assert_eq!(timer.poll(&mut cx), None);
    }

    #[test]
    fn without_time_only_what_is_there_is_had() {
        let without = tokio::runtime::Builder::new_current_thread().build().unwrap();
        without.block_on(async {
            let patience = Duration::from_secs(1);
            assert_eq!(timeout(patience, std::future::ready(1)).await, Some(1));
            assert_eq!(timeout(patience, std::future::pending::<()>()).await, None);
        });
    }
}
