//! Streams that outlive their instance: what is kept in a store, and what that promises.

mod codec;
mod follow;
mod lease;
mod losses;
mod possible;
mod storage;
mod writer;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::jitter::FOR_EVER;
use crate::random;
use crate::resume::keys::Keys;
use crate::store::{AnyStore, Error, ErrorKind, Keep, Key, NewStream, Store};

pub(crate) use codec::Encoding;
pub(crate) use follow::follow;
pub(crate) use losses::{forget, supersede};
pub(crate) use storage::{
    Storage, StoredStream, is_about_the_stream, key_of, key_of_fingerprint, key_of_stream,
};

/// What a client was sent, and the store does not have yet, when an instance dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// May be some: clients never wait for the store. The default.
    ///
    /// What an instance had not written when it died is lost with it, and a client that comes back for what follows is
    /// told so, unless the inner service goes on from its own last ID. What the store is too slow for, or is away for
    /// too long for, is a gap `not-stored` for those who read it from there.
    #[default]
    WriteBehind,
    /// Is nothing: a client is sent only what the store has acknowledged.
    ///
    /// While the store is away, clients wait, and the inner body is held back; after the
    /// [outage timeout](Persistence::outage_timeout) their responses break off.
    CommitFirst,
}

/// What a client gets whose stream has to be looked up in the store, while that is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnOutage {
    /// What one gets whose stream is unknown: the inner service is called with its own last ID, and where there is none
    /// a gap signal comes first, for the reason `not-stored`. The default.
    #[default]
    Serve,
    /// `503 Service Unavailable`, with `Retry-After`. An `EventSource` never comes back after that.
    Refuse,
}

/// Keeps the streams of a layer in a store, for [`SseResumeLayer::store`](crate::SseResumeLayer::store): so any instance
/// answers any reconnect, and streams outlive the instance that began them.
///
/// ```
/// use std::time::Duration;
/// use tower_sse_resume::store::MemoryStore;
/// use tower_sse_resume::{Durability, Persistence, SseResumeLayer};
///
/// # async fn layer() -> Result<(), tower_sse_resume::store::Error> {
/// let store = MemoryStore::new();
/// let persistence = Persistence::open(store).await?.durability(Durability::CommitFirst);
/// let layer = SseResumeLayer::new().store(persistence);
/// # Ok(())
/// # }
/// ```
///
/// # What is kept
/// Of each stream: its events as they are sent, the fingerprints of what it is bound to, the headers that later answers
/// have, the inner service's last ID and the last reconnection time. [`Retention`](crate::Retention) says for how long.
/// Streams [without payload](crate::Retention::ids_only) are not kept: each return to one calls the inner service anyway.
#[derive(Clone)]
pub struct Persistence {
    pub(crate) store: AnyStore,
    secret: [u8; 32],
    pub(crate) options: Options,
}

/// How a store is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) durability: Durability,
    pub(crate) on_outage: OnOutage,
    pub(crate) outage_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) batch_delay: Duration,
    pub(crate) batch_bytes: usize,
    pub(crate) encoding: Encoding,
}

/// The stream whose origin is the secret; the number grows with each purge of all.
const SECRETS: &str = "tower-sse-resume secret";

impl Persistence {
    /// Uses a store, with a secret that is made once, and kept in it: so all instances of the store have the same one.
    /// Whoever can read the store can sign event IDs; to keep it elsewhere, use
    /// [`with_secret`](Self::with_secret), which also needs no store at the start.
    ///
    /// # Errors
    /// Those of the store; `Failed` where the operating system gives no random bytes.
    pub async fn open(store: impl Store + 'static) -> Result<Self, Error> {
        let store = AnyStore::new(store);
        let mut secret = [0; 32];
        random::fill(&mut secret).map_err(|error| Error::new(ErrorKind::Failed, error))?;
        let secret = secret_of(&store, &secret).await?;
        Ok(Self { store, secret, options: Options::default() })
    }

    /// Uses a store, with a secret that all its instances have to be given.
    pub fn with_secret(store: impl Store + 'static, secret: [u8; 32]) -> Self {
        Self { store: AnyStore::new(store), secret, options: Options::default() }
    }

    /// Whether clients wait for the store. Default: [`WriteBehind`](Durability::WriteBehind), they do not.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// What clients get whose stream has to be looked up while the store is away. Default: [`OnOutage::Serve`].
    #[must_use]
    pub fn on_outage(mut self, on_outage: OnOutage) -> Self {
        self.options.on_outage = on_outage;
        self
    }

    /// How long a client of [`Durability::CommitFirst`] waits for a store that is away, before its response breaks off.
    /// Default: 30 seconds.
    #[must_use]
    pub fn outage_timeout(mut self, timeout: Duration) -> Self {
        self.options.outage_timeout = timeout.min(FOR_EVER);
        self
    }

    /// How long after an instance was last heard of others may go on with its streams. It is renewed at a third of
    /// this. Default: 15 seconds; at least 100 milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease.clamp(Duration::from_millis(100), FOR_EVER);
        self
    }

    /// How long events are collected before they are written, for all streams together. Default: 2 milliseconds.
    ///
    /// While a batch is being written, what comes is collected for the next one, so a slow store gets larger ones by
    /// itself.
    #[must_use]
    pub fn batch_delay(mut self, delay: Duration) -> Self {
        self.options.batch_delay = delay.min(FOR_EVER);
        self
    }

    /// About how many bytes of events are written at once. Default: 1 MiB. One event is written in any case.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.options.batch_bytes = bytes.max(1);
        self
    }

    /// Compresses what is stored, at this level of zstd; 0 is its default level. Default: it is stored as it is sent.
    /// What is stored is read whether it is compressed or not, if this feature is there.
    #[cfg(feature = "zstd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    #[must_use]
    pub fn compression(mut self, level: i32) -> Self {
        self.options.encoding.compression = Some(level);
        self
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::new(&self.secret)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::WriteBehind,
            on_outage: OnOutage::Serve,
            outage_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(15),
            batch_delay: Duration::from_millis(2),
            batch_bytes: 1024 * 1024,
            encoding: Encoding::default(),
        }
    }
}

impl fmt::Debug for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persistence").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The secret that the store has; if it has none, it has `new` from now on.
pub(crate) async fn secret_of(store: &AnyStore, new: &[u8; 32]) -> Result<[u8; 32], Error> {
    let mut number = 1_u64;
    loop {
        let name = Key::new(format!("{SECRETS} {number}"))?;
        let stream = NewStream {
            producer: name.clone(),
            session: None,
            owner: None,
            origin: Bytes::copy_from_slice(new),
            keep: Keep { events: 1, bytes: 1, age: FOR_EVER },
        };
        let found = match store.record(&name).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match store.create(&name, &stream).await {
                    Ok(()) => return Ok(*new),
                    // Somebody else was first, or the answer was lost.
                    Err(error) if error.kind() == ErrorKind::Refused => store.record(&name).await,
                    Err(error) => Err(error),
                }
            }
            found => found,
        };
        match found {
            Ok(record) => {
                let secret = record.origin.as_ref().try_into();
                return secret.map_err(|error| Error::new(ErrorKind::InvalidData, error));
            }
            // All was purged since: the next one counts.
            Err(error) if error.kind() == ErrorKind::Purged => number += 1,
            Err(error) => return Err(error),
        }
    }
}
