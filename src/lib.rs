//! Resumable Server-Sent Events for any Tower service.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod sse;

mod resume;

pub use resume::event_id::{InvalidMarker, Marker};
pub use resume::gap::{Gap, GapReason};
pub use sse::encode::InvalidEventName;
