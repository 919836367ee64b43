//! The request body that the server gets: the client's, looked at while it passes.

use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::call::Call;
use super::message::MessageScanner;

/// Into how many parts data may lie in memory for the layer to look at it.
const MOST_PARTS: usize = 64;

pin_project! {
    /// The body of a request for an MCP server behind [`McpLayer`](super::McpLayer): the client's, byte for byte.
    ///
    /// The layer learns from it which request it is, without delaying it or keeping it. Services that take any body
    /// take this one; rmcp's and axum's do.
    ///
    /// # Cancel safety
    /// That of the client's body.
    pub struct McpBody<B> {
        #[pin]
        body: Option<B>,
        tap: Option<Tap>,
    }
}

/// What looks at the data.
struct Tap {
    scanner: MessageScanner,
    call: Arc<Call>,
}

impl<B> McpBody<B> {
    /// A body that is looked at.
    pub(super) fn tapped(body: B, call: Arc<Call>) -> Self {
        let tap = Tap { scanner: MessageScanner::default(), call };
        Self { body: Some(body), tap: Some(tap) }
    }

    /// A body that is not.
    pub(super) fn plain(body: B) -> Self {
        Self { body: Some(body), tap: None }
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { body: None, tap: None }
    }
}

impl<B: Body> Body for McpBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(body.poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            look(this.tap, data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Looks at data on its way, until the message is whole or cannot be looked at.
fn look(slot: &mut Option<Tap>, data: &impl Buf) {
    let Some(mut tap) = slot.take() else { return };
    let mut parts = [IoSlice::new(&[]); MOST_PARTS];
    let parts = {
        let count = data.chunks_vectored(&mut parts);
        &parts[..count]
    };
    if parts.iter().map(|part| part.len()).sum::<usize>() != data.remaining() {
        return;
    }
    if parts.iter().any(|part| tap.scanner.scan(part)) {
        if let Some(message) = tap.scanner.into_message() {
            tap.call.learn(message);
        }
        return;
    }
    *slot = Some(tap);
}

impl<B> fmt::Debug for McpBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpBody").finish_non_exhaustive()
    }
}
