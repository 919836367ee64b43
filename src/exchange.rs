//! What a protocol above event streams knows of a request and its answer, and the layer by itself cannot: whether an
//! answer is whole, and how its client is told that it never will be.

#![cfg_attr(not(feature = "mcp"), allow(dead_code, reason = "only presets make it known"))]

use std::sync::Arc;

use http::Extensions;

use crate::resume::Gap;

/// A request and its answer, as the protocol above sees them. Asked under the lock of a stream, too: it looks at nothing
/// but what it is given.
pub(crate) trait Exchange: Send + Sync {
    /// What a response begins with, so that a client which is cut at once can come back.
    fn primer(&self) -> Option<Primer>;

    /// Whether the answer is among the retained `frames`, oldest first, once the inner body is over. `None`: what that
    /// said is the answer, whatever it is.
    fn is_answered(&self, frames: &[&[u8]]) -> Option<bool>;

    /// The lines of the event that tells the client that the answer will not come; `None`: an ordinary gap signal.
    fn failure(&self, gap: &Gap) -> Option<String>;

    /// What the client calls this request by, in later ones about it.
    fn name(&self) -> Option<&str>;

    /// Heap that it takes.
    fn heap_bytes(&self) -> usize;

    /// What another instance has to know of it, for [`Revive`].
    fn encode(&self) -> Vec<u8>;
}

/// What a response begins with that names its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primer {
    /// A frame with an `id` alone, which dispatches nothing. Where a response begins with one, one that names the end
    /// goes before a clean end.
    IdOnly,
    /// An event whose data is empty, also where a client comes back.
    EmptyEvent,
}

/// Makes an exchange of what was encoded, if a protocol is known.
pub(crate) type Revive = fn(&[u8]) -> Option<Arc<dyn Exchange>>;

/// Who makes the protocol known: an extension of the request.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) Arc<dyn Exchange>);

/// The exchange that a request belongs to, if a protocol is known.
pub(crate) fn of(extensions: &Extensions) -> Option<Arc<dyn Exchange>> {
    extensions.get::<Known>().map(|known| Arc::clone(&known.0))
}

/// Marks a request that takes the place of another one of its client: an extension for the inner service, which may still
/// see that one.
#[derive(Clone)]
pub(crate) struct Replaces(Arc<dyn Fn() + Send + Sync>);

impl Replaces {
    /// The other one's inner body was just let go of.
    pub(crate) fn released() -> Self {
        Self(Arc::new(|| {}))
    }

    /// The other one may still be read, or its client's leaving was not noticed yet: then `release` lets go of it.
    pub(crate) fn when_noticed(release: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(release))
    }

    /// Lets go of the other one's inner body if nobody reads it by now.
    pub(crate) fn release(&self) {
        (self.0)();
    }
}
