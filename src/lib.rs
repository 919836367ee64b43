//! Resumable Server-Sent Events for any Tower service.
//!
//! A client that was cut off comes back with `Last-Event-ID`. [`SseResumeLayer`] sends it what it missed and goes on
//! live: each event once, in order. Where events cannot be had any more, it tells the client in the stream how many are
//! missing and why. Handlers stay as they are.
//!
//! # Quick start
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_sse_resume::SseResumeLayer;
//! # async fn events() {}
//!
//! let app = Router::new().route("/events", get(events)).layer(SseResumeLayer::new());
//! # let _: Router = app;
//! ```
//!
//! In a checkout of the repository, `cargo run --example quickstart` shows two clients that are cut off, with and
//! without the layer, and `cargo run --example proxy -- --help` is the layer in front of any HTTP server.
//!
//! # How it works
//!
//! 1. A response with status 200, `text/event-stream` and no encoding, to a `GET`, becomes a *stream*. All else passes.
//! 2. The stream's bytes are split into frames by a scanner ([`sse`]), and copied once into a log that already is what
//!    goes over the wire, with an ID in each event: `r1.<token>.<generation>.<offset>`, signed.
//! 3. The first client, and each that comes back, is a *reader*: a position in that log. Replay and live events are the
//!    same code, so there is no hand-over where events could be lost or repeated.
//! 4. The first client's body polls the inner body itself. Only when that client leaves, or another one comes, a task
//!    does; for [`linger`](SseResumeLayer::linger) seconds without a client it reads on, then the stream is aborted.
//! 5. A return names a position. What was recorded after it is sent; then the reader is live, or gets the stream's end.
//! 6. If the stream was aborted, a `GET` calls the inner service again with its own last event ID, and skips what it
//!    resends. That begins the stream's next *generation*.
//! 7. What is gone is a *gap*: an event `resume-gap` says what is missing, before the next event.
//! 8. [`Retention`] bounds each history by events, bytes and age, [`Limits`] bounds all of them together.
//! 9. A stream is replayed only to requests with the first one's host, path, query, `Origin`, session and owner.
//! 10. All other IDs, whatever is wrong with them, get one and the same answer.
//! 11. With a [store](Persistence), a stream whose producer is elsewhere is a log that a task reads from the store; one
//!     whose producer is gone is claimed there, and goes on here.
//!
//! The README says what each return gets, which clients do what, and in which order to put layers: inside
//! authentication, inside compression, inside CORS.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what can be set | [`SseResumeLayer`], [`Retention`], [`Limits`] |
//! | a handler's own stream: close it for now, keep it from being recorded | [`StreamHandle`] |
//! | counts, purges, graceful shutdown | [`LayerHandle`] |
//! | sessions with a state, kept in a store | [`Sessions`], [`SessionAccess`], [`SessionHandle`], [`StoredSessions`] |
//! | what happens, for metrics and logs | [`Observation`], and the features below |
//! | why a response broke off | [`ResumeError`] |
//! | an inner service, mostly a proxied one, that breaks off | [`SseReconnectLayer`] |
//! | a server of the Model Context Protocol | `SseResumeLayer::mcp`, with the feature `mcp` |
//! | the event stream format without the layer | [`sse`] |
//! | several instances, and streams that outlive them | [`Persistence`] |
//! | the stores, and the traits for who writes one | [`store`] |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `mcp` | no | `SseResumeLayer::mcp`: a preset for servers of the Model Context Protocol, streamable HTTP |
//! | `tracing` | no | `SseResumeLayer::trace`: what happens, as events of the crate `tracing` |
//! | `metrics` | no | `SseResumeLayer::metrics`: what happens, as counters of the crate `metrics` |
//! | `dynamodb` | no | `store::DynamoDbStore`: a store in a table of Amazon DynamoDB |
//! | `nats` | no | `store::NatsStore`: a store in NATS JetStream, 2.9 or newer; needs Rust 1.89 |
//! | `postgres` | no | `store::PostgresStore`: a store in a PostgreSQL database, 13 or newer |
//! | `redis` | no | `store::RedisStore`: a store in Redis, 7.0 or newer, or Valkey |
//! | `zstd` | no | `Persistence::compression`: what is stored is compressed |
//! | `sqlite` | no | `store::SqliteStore`: a store in a file, for the processes of one host; needs Rust 1.89 |
//! | `store-conformance` | no | `store::conformance`: the tests that a store has to pass |
//!
//! # Runtime
//!
//! Bodies are polled by whoever serves them. A task of its own is needed only for linger, several readers of one
//! stream, shared streams and the sweeper that keeps the age; these need a Tokio runtime with time. Without one, a
//! stream lives as long as its client, nothing is stored, and a store counts as unreachable.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod sse;
pub mod store;

mod answer;
mod ask;
mod binding;
mod body;
mod caches;
mod config;
mod content;
mod cors;
mod course;
mod driver;
mod elsewhere;
mod error;
mod exchange;
mod future;
mod handle;
mod host;
mod jitter;
mod layer;
mod log;
#[cfg(feature = "mcp")]
mod mcp;
mod observer;
mod operator;
mod pass;
mod persistence;
mod query;
mod random;
mod reconnect;
mod registry;
mod resume;
mod resumed;
mod service;
mod sessions;
mod set_cookie;
mod sharing;
mod stream;
mod takeover;
mod time;
mod wrap;

pub use body::ResumeBody;
pub use config::{
    Connections, EventIds, LimitKind, Limits, Linger, OnFinished, OnMissing, Priming, SlowReader,
    StartAt,
};
pub use error::{ResumeError, ResumeErrorKind};
pub use future::ResponseFuture;
pub use handle::{StreamHandle, StreamId};
pub use layer::SseResumeLayer;
pub use log::EventCounts;
#[cfg(feature = "mcp")]
pub use mcp::{McpBody, McpFuture, McpLayer, McpResume};
pub use observer::Observation;
pub use operator::{LayerHandle, SessionId, SessionInfo, Stats, StreamInfo, StreamKind};
pub use persistence::{Durability, OnOutage, Persistence};
#[doc(hidden)]
pub use random::repeat_random;
pub use reconnect::{
    ReconnectBody, ReconnectError, ReconnectErrorKind, ReconnectFuture, SseReconnect,
    SseReconnectLayer,
};
pub use resume::{Gap, GapReason, InvalidMarker, Marker, Retention};
pub use service::SseResume;
pub use sessions::{
    OwnerId, SessionAccess, SessionHandle, SessionRecord, Sessions, StoredSessions,
};
pub use sse::encode::InvalidEventName;

/// The README's examples are tests; one is of the preset.
#[cfg(all(doctest, feature = "mcp"))]
#[doc = include_str!("../README.md")]
struct Readme;
