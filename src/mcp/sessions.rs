//! What happens to streams when a session ends, or a client gives up a call.

use std::sync::Arc;

use http::request::Parts;

use crate::binding::Binding;
use crate::config::Config;
use crate::layer::SseResumeLayer;
use crate::registry::Registry;
use crate::stream::Stream;

/// What became of a session's streams.
struct Purged {
    /// How many there were at the endpoint, and are no more.
    here: usize,
    /// Whether there are others at another one.
    is_elsewhere: bool,
}

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

    /// The server has ended a session for its client: forgets its streams, and the session itself if it is kept in a store.
    /// Where it has streams here, but none at this endpoint, something else than a session was deleted.
    pub(super) fn ended(&self, binding: &Binding) {
        let Purged { here, is_elsewhere } = self.purge(binding);
        if here > 0 || !is_elsewhere {
            self.end_stored(binding);
        }
    }

    /// The server does not know a session: the same, but where the session has no streams here, the answer may be about
    /// anything.
    pub(super) fn not_found(&self, binding: &Binding) {
        if self.purge(binding).here > 0 {
            self.end_stored(binding);
        }
    }

    /// Forgets the streams of a session that its owner has at this endpoint.
    fn purge(&self, binding: &Binding) -> Purged {
        let mut purged = Purged { here: 0, is_elsewhere: false };
        if let Some(session) = binding.session {
            let streams = self.registry.purge_session(session, |stream| {
                let other = &stream.origin.binding;
                let (is_its, is_here) =
                    (other.owner == binding.owner, other.target == binding.target);
                purged.is_elsewhere |= is_its && !is_here;
                is_its && is_here
            });
            purged.here = streams.len();
        }
        purged
    }

    fn end_stored(&self, binding: &Binding) {
        if let (Some(keeper), Some(session)) = (&self.config.sessions, binding.session) {
            keeper.end_later(session, binding.owner, &self.registry);
        }
    }

    /// Lets go of the inner body that answers the call with this ID, unless somebody reads it. Where several live calls
    /// of this binding have it, none is known to be meant.
    pub(super) fn cancel(&self, binding: &Binding, id: &str) {
        let is_it = |stream: &Stream| {
            let exchange = stream.origin.exchange.as_ref();
            exchange.and_then(|exchange| exchange.name()) == Some(id) && stream.is_live()
        };
        let all = self.registry.going_on(binding).into_iter();
        let calls: Vec<_> = all.filter(|stream| is_it(stream)).collect();
        if let [call] = &*calls {
            let _ = call.release_unread();
        }
    }
}
