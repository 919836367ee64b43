//! What a store has to do.

use std::future::Future;
use std::time::Duration;

use super::{Append, Claim, Error, Extent, Key, NewStream, Page, Purge, Record, Swept};

/// Keeps streams for all instances, and across their restarts. See [the module](super) for the model.
///
/// Implementations write `async fn`; the futures have to be [`Send`]. `store::conformance` checks that they do what is
/// said here. Clocks, leases and ages are the store's own: nothing of the callers' clocks counts.
///
/// # Atomicity
/// Each method's effect on one stream happens whole or not at all, also when the caller, the store or the connection
/// between them dies in the middle, and nobody sees a part of it. Effects on one stream have an order that all see.
/// Nothing is said about the order between streams.
///
/// # Cancel safety
/// A future that is dropped may have written, or not: what is said of retries applies. [`wait`](Self::wait) and the
/// methods that only read leave nothing behind.
pub trait Store: Send + Sync {
    /// Creates a stream: live, without events, in generation 1, which begins at offset 1.
    ///
    /// **Retry:** refused, if the first call has happened. Then [`record`](Self::record) has the caller as the producer
    /// of generation 1, since nobody else makes up the same key.
    ///
    /// # Errors
    /// `Refused` if the key is taken; `Purged` if it was, and its tombstone is still there; `LimitReached` if the store
    /// keeps a number of streams and has no room.
    fn create(
        &self,
        stream: &Key,
        new: &NewStream,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Appends to several streams: to each one its events, holes, progress, gap and end in one step. The answer has one
    /// result for each entry, in their order; what happens to one entry is independent of the others.
    ///
    /// An entry is written only if the stream is live, its generation is that of the entry, and its next offset is the
    /// entry's first one. These are checked in the operation that writes. An append never creates a stream. An entry
    /// without pieces and end, but with progress or gap, writes these.
    ///
    /// **Retry:** an error of the whole call leaves open which entries were written: each of them was, or was not. A
    /// repeated entry that had events or an end and was written is refused as one with a wrong offset or an ended
    /// stream. So the caller asks for the [`record`](Self::record) first: only the producer writes in its generation,
    /// and so a next offset past the entry's first one, or an end, means that it was written. A write without events
    /// and end can be repeated as it is.
    ///
    /// # Errors
    /// Of an entry: `Refused`, `NotFound`, `Purged`; `LimitReached` if a piece is larger than the store can hold (it
    /// holds at least 1 MiB and 64 KiB more). Of the whole: `InvalidData` as of [`Append::check`], and nothing was
    /// written; `Unreachable`.
    fn append(
        &self,
        batch: &[Append],
    ) -> impl Future<Output = Result<Vec<Result<(), Error>>, Error>> + Send;

    /// What the store knows of a stream, as of one moment, after all that was acknowledged before the call.
    ///
    /// # Errors
    /// `NotFound`, `Purged`.
    fn record(&self, stream: &Key) -> impl Future<Output = Result<Record, Error>> + Send;

    /// The pieces that hold the events after the offset `after`, in order, from the first one that is still there: as
    /// many as come to at most `bytes` bytes of events, but one at least, if there is any. After 0 means from the
    /// beginning. A page of a thousand pieces or more may end earlier. Extent and pieces are of one moment, after all that was acknowledged before the call.
    ///
    /// # Errors
    /// `NotFound`, `Purged`.
    fn read(
        &self,
        stream: &Key,
        after: u64,
        bytes: usize,
    ) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Waits until the stream's extent [is news](Extent::is_news_after) after `seen`, and gives it; at once, if it is
    /// already. Whoever writes, here or on another connection, in this process or another one, wakes who waits. That a
    /// lease lapses wakes nobody.
    ///
    /// Very many streams are waited for at the same time: a store does not hold a connection or poll for each.
    ///
    /// # Errors
    /// `Purged` or `NotFound`, as soon as the stream is. While the store cannot be reached, it may wait on or give
    /// `Unreachable`; it must not miss what was written meanwhile.
    fn wait(
        &self,
        stream: &Key,
        seen: &Extent,
    ) -> impl Future<Output = Result<Extent, Error>> + Send;

    /// Makes an instance the producer of a stream's next generation: the stream is live, and the generation begins at
    /// its next offset. Of several that claim the same, one gets it.
    ///
    /// It is given only if the generation is still the one that the claimer saw, and the stream is aborted, or live
    /// with a producer whose lease has lapsed.
    ///
    /// **Retry:** refused, if the first call has happened. Then [`record`](Self::record) has the caller as the producer
    /// of the generation after the one that it saw.
    ///
    /// # Errors
    /// `Refused`, `NotFound`, `Purged`.
    fn claim(
        &self,
        stream: &Key,
        claim: &Claim,
    ) -> impl Future<Output = Result<Record, Error>> + Send;

    /// Gives an instance a lease that lapses `lease` after now, by the store's clock, whatever it had before. Zero
    /// gives it up.
    ///
    /// **Retry:** does the same again.
    fn renew(
        &self,
        instance: &Key,
        lease: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes what is past its limits, by what each stream said at its creation:
    ///
    /// - the oldest pieces, as [`Keep`](super::Keep) says, and those appended longer ago than its age;
    /// - streams that are not live and were not changed (created, appended to, claimed) for its age;
    /// - live streams whose producer's lease has lapsed, and which for its age were not changed, nor held by that lease;
    /// - tombstones after the age of their stream;
    /// - leases that lapsed and that nothing depends on.
    ///
    /// A stream that is live with a lease that holds is never removed. A store may remove all of these earlier by
    /// itself, and in several steps: what a sweep leaves when it is interrupted, the next one removes. The number of
    /// what was removed may be incomplete in such a store.
    ///
    /// **Retry:** goes on.
    fn sweep(&self) -> impl Future<Output = Result<Swept, Error>> + Send;

    /// Removes streams with all that the store knows of them, and leaves a tombstone for each: whoever asks for it,
    /// waits for it, appends to it or claims it gets `Purged`. Returns how many there were.
    ///
    /// Each stream goes in one step; those of a session, of an owner, or all, may go one by one. A stream that is
    /// created meanwhile may stay.
    ///
    /// **Retry:** removes what is left. A crash in the middle leaves some of them.
    fn purge(&self, what: &Purge) -> impl Future<Output = Result<u64, Error>> + Send;
}
