//! The preset for MCP servers (Model Context Protocol, streamable HTTP transport).
//!
//! [`SseResumeLayer::mcp`](crate::SseResumeLayer::mcp) makes it. What is special about the protocol lies here: eras of
//! it, calls and their answers, and sessions that end. What is not is configuration of the layer.

mod again;
mod answers;
mod body;
mod call;
mod era;
mod events;
mod future;
mod layer;
mod message;
mod service;
mod sessions;
mod stored;

pub use body::McpBody;
pub use future::McpFuture;
pub use layer::McpLayer;
pub use service::McpResume;

use http::HeaderName;

/// Names the session of a request, or of the response that begins one.
const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
