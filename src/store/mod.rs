//! The durable tier behind the in-process history: what a store has to do, a suite that checks it, and the stores.
//!
//! A *store* keeps streams for those who cannot ask their producer: clients on another instance, and those that come
//! back after it is gone. [`Store`] has nine methods, [`SessionStore`] beside it is for sessions and their small state.
//! Both are made to be implemented by others; `store::conformance` (feature `store-conformance`) is one suite for all
//! of them.
//!
//! # The model
//!
//! - A **stream** is named by a [`Key`], and belongs to at most one session and one owner, by which it can be purged. It
//!   is created once and never by accident: nothing but [`create`](Store::create) makes one, and a purge leaves a
//!   *tombstone*, so that whoever still writes to it is told.
//! - Its **events** have offsets from 1, without holes. They come in [`Piece`]s: some events in a row, encoded as one
//!   run of bytes that a store only copies, or a hole: events that are missing, with the reason.
//! - Its **producer** is an *instance*, named by a [`Key`]. Each next producer has the next *generation*, and
//!   [claims](Store::claim) it. Only the running generation can append, and only at the stream's next offset; the store
//!   checks both in the same operation that writes. So a producer that was paused and comes back is refused.
//! - An instance has one **lease**, which it [renews](Store::renew) for all its streams. Whether it has lapsed is judged
//!   by the store's clock alone. A stream is claimed only if it is aborted, or its producer's lease has lapsed.
//! - What is not needed any more goes by what each stream said at its creation ([`Keep`]), with
//!   [`sweep`](Store::sweep) or earlier.
//!
//! # Which store
//!
//! | store, feature | for | who waits is woken by | what a crash may take |
//! |---|---|---|---|
//! | `SqliteStore`, `sqlite` | the processes of one host | a look each 5 ms | nothing; without `survive_power_loss`, a power failure takes the last writes |
//! | `PostgresStore`, `postgres` | who has PostgreSQL | `LISTEN` | nothing; with `synchronous_commit = off`, the last fraction of a second |
//! | `RedisStore`, `redis` | many short appends, with all in memory | a blocking `XREAD` | with `appendfsync always` nothing; with `everysec`, a power failure takes a second; a failover takes what the replica had not got |
//! | `NatsStore`, `nats` | who has NATS JetStream | a subscription | nothing; a power failure takes what was written since the last `sync_interval` |
//! | `DynamoDbStore`, `dynamodb` | who has AWS | a topic of SNS where there is one, or else a look each 250 ms | nothing |
//! | [`MemoryStore`] | tests | at once | all |
//!
//! What they do in a second, `cargo bench --bench stores --features nats,postgres,redis,sqlite` measures side by side.
//!
//! # Errors and retries
//!
//! An [`Error`] of the kind [`Unreachable`](ErrorKind::Unreachable) leaves open whether a write has happened; so does
//! dropping the future of one. All other kinds mean that nothing was written. Each method says how a caller finds out,
//! and what a repetition does. A store does not repeat writes by itself, unless it knows that the first did not happen.

mod any;
pub(crate) mod backoff;
mod batch;
mod error;
mod key;
mod memory;
mod session;
mod stream;
mod traits;
mod wakeup;

#[cfg(feature = "store-conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "store-conformance")))]
pub mod conformance;

#[cfg(any(
    feature = "dynamodb",
    feature = "nats",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
mod codes;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(any(feature = "dynamodb", feature = "nats"))]
mod hex;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "dynamodb", feature = "nats", feature = "postgres", feature = "redis"))]
mod silence;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "nats", feature = "postgres", feature = "redis"))]
mod tls;

#[cfg(feature = "dynamodb")]
#[cfg_attr(docsrs, doc(cfg(feature = "dynamodb")))]
pub use dynamodb::{DynamoDbOptions, DynamoDbStore};
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub use nats::{NatsOptions, NatsStore};
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use redis::{RedisOptions, RedisStore};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteOptions, SqliteStore};

pub use any::{AnySessionStore, AnyStore};
pub use batch::{Append, Content, End, Page, Piece};
pub use error::{Error, ErrorKind};
pub use key::Key;
pub use memory::MemoryStore;
pub use session::{NewSession, Session, SessionStore};
pub use stream::{Claim, Extent, Generation, Keep, NewStream, Purge, Record, State, Swept};
pub use traits::Store;
