//! The layer of the preset: the core's, with the choices that the protocol asks for.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tower_layer::Layer;

use super::again::Again;
use super::era::Era;
use super::service::McpResume;
use super::sessions::Sessions;
use super::{MCP_SESSION_ID, answers, stored};
use crate::config::{Closing, Connections, OnFinished, OnMissing};
use crate::layer::SseResumeLayer;
use crate::operator::LayerHandle;

/// A call may take long, and its client be away for all of it.
const LINGER: Duration = Duration::from_secs(300);

/// A layer that makes an MCP server (Model Context Protocol, streamable HTTP) resumable; made by
/// [`SseResumeLayer::mcp`].
///
/// Put it just around the server, inside authentication and CORS. It works around any service that takes requests with
/// any body: rmcp's `StreamableHttpService`, and axum's routers. Clones, and all services that they make, know the same
/// streams.
#[derive(Clone, Debug)]
pub struct McpLayer {
    layer: SseResumeLayer,
    resumes_newer: bool,
}

impl SseResumeLayer {
    /// A layer for MCP servers, streamable HTTP: clients that speak revisions 2025-03-26 to 2025-11-25 resume, for
    /// others nothing changes.
    ///
    /// Beside what the protocol asks for, a call is read on for 300 seconds after its client left.
    ///
    /// ```
    /// use axum::{Router, routing::any};
    /// use tower_sse_resume::SseResumeLayer;
    /// # async fn mcp() {}
    ///
    /// let app = Router::new().route("/mcp", any(mcp)).layer(SseResumeLayer::mcp());
    /// # let _: Router = app;
    /// ```
    #[must_use]
    pub fn mcp() -> McpLayer {
        let mut layer = Self::new()
            .methods([Method::GET, Method::POST])
            .session_header(MCP_SESSION_ID)
            .linger(LINGER)
            .read_on(true)
            .on_missing(OnMissing::RejectUnknown)
            .on_finished(OnFinished::NoContentUnlessGet)
            .connections(Connections::Newest)
            .clean_close(true)
            .rejection(answers::rejection);
        let config = Arc::make_mut(&mut layer.config);
        // A server's own IDs may contain the names of sessions.
        config.rules.embeds_inner_ids = false;
        config.rules.swallows_empty_events = true;
        config.rules.keeps_last = true;
        config.releases_lingering = true;
        config.only_gets_resume = true;
        config.closing = Closing::Block;
        config.exchange = stored::revive;
        McpLayer { layer, resumes_newer: false }
    }
}

impl McpLayer {
    /// Changes the layer's configuration. What the protocol asks for is best left as it is, and what is set replaces what
    /// the preset has set: [`limits`](SseResumeLayer::limits), too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::mcp().configure(|layer| layer.linger(Duration::from_secs(3600)));
    /// ```
    #[must_use]
    pub fn configure(self, configure: impl FnOnce(SseResumeLayer) -> SseResumeLayer) -> Self {
        Self { layer: configure(self.layer), ..self }
    }

    /// Whether clients that speak 2026-07-28 or later resume, too. Default: `false`: these revisions have no resuming,
    /// and to close a response cancels its call.
    #[must_use]
    pub fn resume_newer(self, resume: bool) -> Self {
        Self { resumes_newer: resume, ..self }
    }

    /// A view for operators. It sees all services that this layer, or a clone of it, makes.
    pub fn handle(&self) -> LayerHandle {
        self.layer.handle()
    }
}

impl<S> Layer<S> for McpLayer {
    type Service = McpResume<S>;

    fn layer(&self, inner: S) -> McpResume<S> {
        let resumes_newer = self.resumes_newer;
        let only = self.layer.config.only.clone();
        let layer = self.layer.clone().only(move |parts| {
            let is_resumable = resumes_newer || Era::of(&parts.headers) < Era::Gone;
            is_resumable && only.as_ref().is_none_or(|only| only(parts))
        });
        let sessions = Sessions::new(&layer);
        McpResume::new(layer.layer(Again::new(inner)), sessions, resumes_newer)
    }
}
