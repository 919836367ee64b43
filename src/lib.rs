//! Resumable Server-Sent Events for any Tower service.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod sse;

mod answer;
mod ask;
mod binding;
mod body;
mod config;
mod content;
mod cors;
mod driver;
mod error;
mod future;
mod handle;
mod jitter;
mod layer;
mod log;
mod observer;
mod query;
mod reconnect;
mod registry;
mod resume;
mod resumed;
mod service;
mod sharing;
mod stream;
mod takeover;
mod wrap;

pub use body::ResumeBody;
pub use config::{EventIds, Limits, Linger, OnFinished, OnMissing, Priming, SlowReader, StartAt};
pub use error::{ResumeError, ResumeErrorKind};
pub use future::ResponseFuture;
pub use handle::{LayerHandle, Stats, StreamHandle, StreamId};
pub use layer::SseResumeLayer;
pub use observer::Observation;
pub use reconnect::{
    ReconnectBody, ReconnectError, ReconnectErrorKind, ReconnectFuture, SseReconnect,
    SseReconnectLayer,
};
pub use resume::{Gap, GapReason, InvalidMarker, Marker, Retention};
pub use service::SseResume;
pub use sse::encode::InvalidEventName;
