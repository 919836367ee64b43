//! What happens to streams when a session ends, or a client gives up a call.

use std::sync::Arc;

use http::request::Parts;

use crate::binding::Binding;
use crate::config::Config;
use crate::layer::SseResumeLayer;
use crate::registry::Registry;
use crate::stream::Stream;

/// The streams of a layer, by whose they are.
#[derive(Clone)]
pub(super) struct Sessions {
    registry: Arc<Registry>,
    config: Arc<Config>,
}

impl Sessions {
    pub(super) fn new(layer: &SseResumeLayer) -> Self {
        Self { registry: Arc::clone(&layer.shared.registry), config: Arc::clone(&layer.config) }
    }

    /// Whose streams a request is about.
    pub(super) fn binding(&self, parts: &Parts) -> Binding {
        Binding::of(parts, &self.config, &self.registry.keys)
    }

    /// Forgets all streams of a session that belong to the owner of this binding, and the session itself if it is kept in
    /// a store.
    pub(super) fn purge(&self, binding: &Binding) {
        let Some(session) = binding.session else { return };
        if let Some(keeper) = &self.config.sessions {
            keeper.end_later(session, binding.owner, &self.registry);
        }
        if !self.registry.has_session(session) {
            return;
        }
        self.registry.purge(|stream| {
            let other = &stream.origin.binding;
            other.session == Some(session) && other.owner == binding.owner
        });
    }

    /// Lets go of the inner body that answers the call with this ID, unless somebody reads it. Where several live calls
    /// of this binding have it, none is known to be meant.
    pub(super) fn cancel(&self, binding: &Binding, id: &str) {
        let is_it = |stream: &Stream| {
            let exchange = stream.origin.exchange.as_ref();
            exchange.and_then(|exchange| exchange.name()) == Some(id) && stream.is_live()
        };
        let all = self.registry.bound_to(binding).into_iter();
        let calls: Vec<_> = all.filter(|stream| is_it(stream)).collect();
        if let [call] = &*calls {
            let _ = call.release_unread();
        }
    }
}
