//! Reads a stream from the store for the clients that are here, while its producer is elsewhere.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::{Duration, Instant, sleep, timeout};

use super::codec::decode_piece;
use super::storage::{Storage, generations, key_of};
use crate::jitter::jitter;
use crate::log::StoredPiece;
use crate::resume::GapReason;
use crate::store::{Error, ErrorKind, Extent, Key, Page, Piece, State, Store};
use crate::stream::{Drive, Ending, Stream};

/// Bytes of events that are read at once.
const PAGE: usize = 256 * 1024;
/// How long a connection is idle before it gets a comment: what the inner service says in between is not stored.
const IDLE: Duration = Duration::from_secs(15);
/// The pause after an error of the store.
const PAUSE: Duration = Duration::from_millis(250);

/// What became of a mirror.
enum Outcome {
    Ended(Ending),
    Purged,
    /// Nobody reads it any more.
    Left,
}

/// Reads on until the stream ends, its producer is lost, or nobody reads it here.
pub(crate) async fn follow(stream: Arc<Stream>, storage: Arc<Storage>) {
    let key = key_of(&stream.token, &stream.registry);
    let outcome = Follower { stream: &stream, storage: &storage, key }.run().await;
    if let Outcome::Ended(Ending::Finished(_)) = outcome {
        // It is as it will always be.
    } else {
        stream.registry.remove(&stream);
    }
    match outcome {
        Outcome::Ended(ending) => stream.end(ending),
        Outcome::Purged => stream.purge(),
        Outcome::Left => {}
    }
}

/// What came of asking where generations begin.
enum Noted {
    All,
    /// One begins before where the readers are, who were ahead of what the store had.
    Overtaken,
    Unanswered,
}

struct Follower<'a> {
    stream: &'a Arc<Stream>,
    storage: &'a Storage,
    key: Key,
}

impl Follower<'_> {
    async fn run(&self) -> Outcome {
        let mut comment = Instant::now() + IDLE;
        loop {
            let after = self.stream.next() - 1;
            let read = self.storage.read(&self.key, after, PAGE);
            let Some(page) = self.while_read(read).await else { return Outcome::Left };
            let page = match page {
                Ok(page) => page,
                Err(error) => match error.kind() {
                    ErrorKind::Purged => return Outcome::Purged,
                    ErrorKind::NotFound | ErrorKind::InvalidData => {
                        return Outcome::Ended(Ending::Aborted(None));
                    }
                    _ => {
                        if self.while_read(sleep(jitter(PAUSE, 1.0))).await.is_none() {
                            return Outcome::Left;
                        }
                        continue;
                    }
                },
            };
            if page.extent.generation > 1 {
                match self.while_read(self.note_generations()).await {
                    None => return Outcome::Left,
                    Some(Noted::Unanswered) => continue,
                    Some(Noted::Overtaken) => return Outcome::Ended(Ending::Aborted(None)),
                    Some(Noted::All) => {}
                }
            }
            let Page { extent, pieces } = page;
            let is_empty = pieces.is_empty();
            if !is_empty {
                comment = Instant::now() + IDLE;
            }
            self.stream.restore(pieces.into_iter().map(decoded).collect());
            if self.stream.next() < extent.next {
                if is_empty {
                    self.stream.restore(vec![gone(self.stream, &extent)]);
                }
                continue;
            }
            // Whoever is ahead of what the store has waits for it to come there.
            match extent.state {
                State::Finished => match self.while_read(self.note_progress()).await {
                    None => return Outcome::Left,
                    Some(false) => continue,
                    Some(true) => return Outcome::Ended(Ending::Finished(None)),
                },
                State::Aborted => return Outcome::Ended(Ending::Aborted(None)),
                State::Live if extent.lapsed && self.storage.may_claim_lapsed() => {
                    return Outcome::Ended(Ending::Aborted(None));
                }
                State::Live => {}
            }
            if self.while_read(self.news(&extent, &mut comment)).await.is_none() {
                return Outcome::Left;
            }
        }
    }

    /// Learns where generations begin, before the events are shown that come after that.
    async fn note_generations(&self) -> Noted {
        match self.storage.record(&self.key).await {
            Ok(record) if self.stream.note_generations(&generations(&record)) => Noted::All,
            Ok(_) => Noted::Overtaken,
            Err(_) => {
                sleep(jitter(PAUSE, 1.0)).await;
                Noted::Unanswered
            }
        }
    }

    /// Learns the inner service's last ID, which whoever comes back after the end goes on from. `false`: the store did not
    /// say.
    async fn note_progress(&self) -> bool {
        let stored = self.storage.look_up(&self.key).await;
        match &stored {
            Ok(stored) => self.stream.take_progress(&stored.progress),
            Err(_) => sleep(jitter(PAUSE, 1.0)).await,
        }
        stored.is_ok()
    }

    /// Waits until there is something new, or it is time to look whether the producer is still there.
    async fn news(&self, seen: &Extent, comment: &mut Instant) {
        let look = jitter(self.storage.options.lease / 3, 0.1);
        let until = Instant::now() + look;
        let mut news = pin!(self.storage.store.wait(&self.key, seen));
        while Instant::now() < until {
            let next = until.min(*comment).saturating_duration_since(Instant::now());
            match timeout(next, news.as_mut()).await {
                Ok(Ok(_)) => return,
                // What it is, the next page says.
                Ok(Err(_)) => return sleep(jitter(PAUSE, 1.0).min(look)).await,
                Err(_) if Instant::now() >= *comment => {
                    self.stream.comment();
                    *comment += IDLE;
                }
                Err(_) => {}
            }
        }
    }

    /// Goes on as long as somebody reads, and pauses while they have not taken what there is. `None`: nobody does.
    async fn while_read<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| match self.stream.follow(cx.waker()) {
            Drive::Stop => Poll::Ready(None),
            Drive::Pause(_) => Poll::Pending,
            Drive::Poll(_) | Drive::Yield => work.as_mut().poll(cx).map(Some),
        })
        .await
    }
}

impl Storage {
    /// Reads into `stream` what the store has of it, up to before the event `next`.
    pub(crate) async fn load(&self, stream: &Arc<Stream>, next: u64) -> Result<(), Error> {
        let key = key_of(&stream.token, &stream.registry);
        while stream.next() < next {
            let page = self.read(&key, stream.next() - 1, PAGE).await?;
            let Page { extent, pieces } = page;
            if pieces.is_empty() && stream.next() < extent.next {
                stream.restore(vec![gone(stream, &extent)]);
            }
            stream.restore(pieces.into_iter().map(decoded).collect());
        }
        Ok(())
    }
}

/// All that comes next is gone by now, but for where it ended.
fn gone(stream: &Stream, extent: &Extent) -> StoredPiece {
    let first = stream.next();
    StoredPiece::Hole { first, count: extent.next - first, reason: GapReason::Evicted }
}

/// What cannot be read is missing.
fn decoded(piece: Piece) -> StoredPiece {
    let (first, count) = (piece.first, piece.count);
    let missing = StoredPiece::Hole { first, count, reason: GapReason::NotStored };
    decode_piece(piece).unwrap_or(missing)
}
