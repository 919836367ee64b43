//! The layer: its configuration, one method a knob.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method, Response};
use tower_layer::Layer;

use crate::config::{
    Config, Connections, EventIds, GapSignal, Limits, Linger, OnFinished, OnMissing, OwnerSource,
    Priming, SessionSource, Share, ShareKeyOf, SlowReader, StartAt,
};
use crate::handle::StreamId;
use crate::observer::Observation;
use crate::operator::LayerHandle;
use crate::persistence::{Persistence, Storage};
use crate::random;
use crate::registry::{Registry, Shared};
use crate::resume::keys::Keys;
use crate::resume::{Gap, Marker, Retention};
use crate::service::SseResume;
use crate::sessions::Sessions;
use crate::sse::encode::{EventName, InvalidEventName};

/// A layer that makes the event streams of any HTTP service resumable.
///
/// Put it inside authentication, inside compression and inside CORS. Its methods configure it, one a knob; each names
/// its default. Clones, and all services that they make, know the same streams.
///
/// ```
/// use std::time::Duration;
/// use tower_sse_resume::{Retention, SseResumeLayer};
///
/// let layer = SseResumeLayer::new()
///     .retention(Retention::new().events(200))
///     .linger(Duration::from_secs(60))
///     .retry(Duration::from_secs(2));
/// ```
#[derive(Clone)]
pub struct SseResumeLayer {
    pub(crate) config: Arc<Config>,
    pub(crate) shared: Arc<Shared>,
}

impl SseResumeLayer {
    /// A layer with the defaults that each method names, and with keys of this process alone.
    pub fn new() -> Self {
        Self::made_of(Keys::new(&random::secret()), None)
    }

    fn made_of(keys: Keys, storage: Option<Arc<Storage>>) -> Self {
        let registry = Arc::new(Registry::new(keys, storage));
        Self { config: Arc::default(), shared: Arc::new(Shared { registry }) }
    }

    fn set(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(Arc::make_mut(&mut self.config));
        self
    }

    /// A view for operators. It sees all services that this layer, or a clone of it, makes.
    pub fn handle(&self) -> LayerHandle {
        LayerHandle {
            registry: Arc::clone(&self.shared.registry),
            sessions: self.config.sessions.clone(),
        }
    }

    /// The secret that event IDs are signed with, so that IDs outlive this process and instances know each other's.
    /// Default: random for each layer, or what its [store](Self::store) has.
    ///
    /// Set it before a [`handle`](Self::handle) is taken and before services are made: what was given out before has
    /// other keys.
    #[must_use]
    pub fn secret(self, secret: [u8; 32]) -> Self {
        match &self.shared.registry.storage {
            Some(storage) => {
                let persistence = storage.with_secret(secret);
                self.store(persistence)
            }
            None => Self { config: self.config, ..Self::made_of(Keys::new(&secret), None) },
        }
    }

    /// Keeps streams in a store, so that any instance that uses it answers any reconnect, and streams outlive the
    /// instance that began them. Default: they are kept in memory alone.
    ///
    /// Set it before a [`handle`](Self::handle) is taken and before services are made, which know nothing of it
    /// otherwise.
    #[must_use]
    pub fn store(self, persistence: Persistence) -> Self {
        let keys = persistence.keys();
        let storage = Some(Arc::new(Storage::new(persistence)));
        Self { config: self.config, ..Self::made_of(keys, storage) }
    }

    /// How much of each stream is kept. Default: 1,000 events, 1 MiB, 300 seconds.
    #[must_use]
    pub fn retention(self, retention: Retention) -> Self {
        self.set(|config| config.rules.retention = retention)
    }

    /// How much of everything there may be. Default: see [`Limits`].
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|config| {
            config.rules.frame_limit = limits.frame;
            config.limits = limits;
        })
    }

    /// How long an inner body is read on after its last client left. Default: 30 seconds.
    ///
    /// A call that others wait for, to go on with an aborted stream or to begin a shared one, stands for as long without
    /// an answer (30 seconds with [`Linger::none`]). Then one of those that wait calls in its place, and its answer is
    /// dropped. Each call that replaces one stands twice as long as that.
    #[must_use]
    pub fn linger(self, linger: impl Into<Linger>) -> Self {
        let linger = linger.into();
        self.set(|config| config.linger = linger)
    }

    /// Whether events that nobody has read yet are evicted rather than the inner body held back, while a client is
    /// slow or away. Default: `false`.
    ///
    /// What nobody has read yet is bounded by [`Retention::bytes`] alone; then the inner body waits. A source that cannot
    /// wait, such as a `BroadcastStream`, drops events meanwhile that the layer never sees, and so tells nobody of. Set
    /// this to `true` for those: then the layer reads them all, gives up the oldest ones, and tells the client how many
    /// it missed. [`Observation::HeldBack`](crate::Observation::HeldBack) says that a body had to wait while nobody read.
    #[must_use]
    pub fn read_on(self, read_on: bool) -> Self {
        self.set(|config| config.read_on = read_on)
    }

    /// Where event IDs come from. Default: [`EventIds::Assign`].
    #[must_use]
    pub fn event_ids(self, ids: EventIds) -> Self {
        self.set(|config| config.rules.ids = ids)
    }

    /// What our event IDs begin with. Default: `r1`. Layers with different markers can be stacked.
    #[must_use]
    pub fn marker(self, marker: Marker) -> Self {
        self.set(|config| config.marker = marker)
    }

    /// Whether responses begin with an `id`-only frame. Default: [`Priming::Auto`].
    #[must_use]
    pub fn priming(self, priming: Priming) -> Self {
        self.set(|config| config.priming = priming)
    }

    /// What a client gets that comes back for events which cannot be found. Default: [`OnMissing::Signal`].
    #[must_use]
    pub fn on_missing(self, on_missing: OnMissing) -> Self {
        self.set(|config| config.on_missing = on_missing)
    }

    /// What a client gets that comes back after the end. Default: [`OnFinished::Forward`].
    #[must_use]
    pub fn on_finished(self, on_finished: OnFinished) -> Self {
        self.set(|config| config.on_finished = on_finished)
    }

    /// What happens to a reader that falls behind the history while others keep up. Default: [`SlowReader::Signal`].
    #[must_use]
    pub fn slow_reader(self, slow_reader: SlowReader) -> Self {
        self.set(|config| config.slow_reader = slow_reader)
    }

    /// Whose response goes on when a client comes back to a stream that is being sent already. Default:
    /// [`Connections::Many`].
    #[must_use]
    pub fn connections(self, connections: Connections) -> Self {
        self.set(|config| config.connections = connections)
    }

    /// What is answered where [`on_missing`](Self::on_missing) rejects, the same for every cause. Default: `410 Gone`
    /// without a body.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use tower_sse_resume::{OnMissing, SseResumeLayer};
    ///
    /// let layer = SseResumeLayer::new().on_missing(OnMissing::Reject).rejection(|| {
    ///     let mut response = Response::new("start anew".into());
    ///     *response.status_mut() = StatusCode::BAD_REQUEST;
    ///     response
    /// });
    /// ```
    #[must_use]
    pub fn rejection(self, answer: impl Fn() -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.set(|config| config.rejection = Some(Arc::new(answer)))
    }

    /// Which requests the layer looks at; all others pass untouched, with their responses. Default: all.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().only(|parts| !parts.headers.contains_key("x-no-resume"));
    /// ```
    #[must_use]
    pub fn only(self, which: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.set(|config| config.only = Some(Arc::new(which)))
    }

    /// The methods whose responses are wrapped. Default: `GET`.
    ///
    /// Others may be answers that nobody should ask for twice: a `GET` may resume a `POST`'s stream, but never calls the
    /// inner service for it. Keep `GET` in the list for that. Requests with any other method reach the inner service as
    /// they are, less an ID of the layer's.
    ///
    /// ```
    /// use http::Method;
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().methods([Method::GET, Method::POST]);
    /// ```
    #[must_use]
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.set(|config| config.methods = methods.into_iter().collect())
    }

    /// A query parameter that may carry the position; the header wins. Default: none.
    ///
    /// It is what polyfills send, and what lets a reloaded page go on. A value that is one of the layer's IDs is taken
    /// out of the request before the inner service sees it; another one stays.
    #[must_use]
    pub fn last_event_id_query(self, name: impl Into<String>) -> Self {
        self.set(|config| config.query = Some(name.into()))
    }

    /// The header that names the session of a request, or of the response that begins one. Default: none.
    #[must_use]
    pub fn session_header(self, name: HeaderName) -> Self {
        self.set(|config| config.session = Some(SessionSource::Header(name)))
    }

    /// The cookie that names the session of a request, or that the response which begins one sets. Default: none.
    #[must_use]
    pub fn session_cookie(self, name: impl Into<String>) -> Self {
        self.set(|config| config.session = Some(SessionSource::Cookie(name.into())))
    }

    /// Keeps sessions in a store, for handlers and operators; see [`Sessions`]. A session's name is what
    /// [`session_header`](Self::session_header) or [`session_cookie`](Self::session_cookie) says. Default: none are kept.
    ///
    /// Set it before a [`handle`](Self::handle) is taken: one that was given out before knows nothing of them.
    #[must_use]
    pub fn sessions(self, sessions: Sessions) -> Self {
        self.set(|config| config.sessions = Some(Arc::new(sessions.keeper())))
    }

    /// Who owns a stream, from what an authentication layer left in the request: a user's ID goes on when a token is
    /// renewed. Default: a keyed hash of the `Authorization` header.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// #[derive(Clone)]
    /// struct User(u64);
    ///
    /// let layer = SseResumeLayer::new().owner(|parts| parts.extensions.get().map(|User(id)| *id));
    /// ```
    #[must_use]
    pub fn owner<T>(self, owner: impl Fn(&Parts) -> Option<T> + Send + Sync + 'static) -> Self
    where
        T: ToString,
    {
        let owner = move |parts: &Parts| owner(parts).map(|owner| owner.to_string());
        self.set(|config| config.owner = OwnerSource::Closure(Arc::new(owner)))
    }

    /// The header that names a stream's owner. Default: `Authorization`.
    #[must_use]
    pub fn owner_header(self, name: HeaderName) -> Self {
        self.set(|config| config.owner = OwnerSource::Header(name))
    }

    /// The cookie that names a stream's owner, in the request or, where the first response sets it, there. Default: none.
    #[must_use]
    pub fn owner_cookie(self, name: impl Into<String>) -> Self {
        self.set(|config| config.owner = OwnerSource::Cookie(name.into()))
    }

    /// Asked before each resume whether this request may; if not, it is answered as if the stream were unknown.
    /// Default: whoever shares the stream's host, path, query, origin, session and owner may.
    #[must_use]
    pub fn authorize_resume(
        self,
        authorize: impl Fn(&Parts, &StreamId) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.authorize_resume = Some(Arc::new(authorize)))
    }

    /// Further headers of a stream's first response that its later ones have, too; never `Set-Cookie`, nor where the
    /// stream is shared the session's. Default: none.
    ///
    /// Of a request and the head of its response, 2 KiB are kept; a header that does not fit is left out.
    #[must_use]
    pub fn keep_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.set(|config| config.keep_headers = names.into_iter().collect())
    }

    /// The name of the event that tells of a gap. Default: `resume-gap`.
    ///
    /// # Errors
    /// If the name is empty, or has a CR, LF or NUL.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().gap_event("missed")?;
    /// assert!(SseResumeLayer::new().gap_event("two\nlines").is_err());
    /// # Ok::<(), tower_sse_resume::InvalidEventName>(())
    /// ```
    pub fn gap_event(self, name: impl Into<String>) -> Result<Self, InvalidEventName> {
        let name = EventName::new(name.into())?;
        Ok(self.set(|config| config.gap_signal = GapSignal::Event(name)))
    }

    /// Writes the event that tells of a gap: lines of a block, without an `id` and without a blank line, which are
    /// added. Default: an event `resume-gap` with JSON data.
    ///
    /// ```
    /// use tower_sse_resume::SseResumeLayer;
    ///
    /// let layer = SseResumeLayer::new().gap_signal(|gap| format!("event: lost\ndata: {}\n", gap.reason));
    /// ```
    #[must_use]
    pub fn gap_signal(self, encode: impl Fn(&Gap) -> String + Send + Sync + 'static) -> Self {
        self.set(|config| config.gap_signal = GapSignal::Closure(Arc::new(encode)))
    }

    /// The reconnection time that each response begins with, up to [`jitter`](Self::jitter) longer. Default: none,
    /// which leaves it to the inner service and the client.
    #[must_use]
    pub fn retry(self, retry: Duration) -> Self {
        self.set(|config| config.retry = Some(retry))
    }

    /// By which share of itself a reconnection time or connection age is longer, at random and at the most, so that
    /// clients do not come back all at once. Default: 0.25; below 0 counts as 0, above 10 as 10.
    #[must_use]
    pub fn jitter(self, share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0, 10.0) } else { 0.0 };
        self.set(|config| config.jitter = share)
    }

    /// How old a connection gets before it is ended for its client to come back, up to [`jitter`](Self::jitter)
    /// longer. Default: no limit. Needs a Tokio runtime with time: without one, there is no limit.
    #[must_use]
    pub fn max_connection_age(self, age: Duration) -> Self {
        self.set(|config| config.max_connection_age = Some(age))
    }

    /// Whether responses that the layer ends by itself end cleanly. Default: `false`, so that no client takes a part
    /// for the whole.
    #[must_use]
    pub fn clean_close(self, clean: bool) -> Self {
        self.set(|config| config.clean_close = clean)
    }

    /// How many events at least are known by ID and content where an inner service may resend. Default: 100.
    #[must_use]
    pub fn dedupe_window(self, events: usize) -> Self {
        self.set(|config| config.rules.dedupe_window = events)
    }

    /// Lets requests with the same key, host and owner join one stream instead of calling the inner service each.
    /// Default: none do.
    ///
    /// `key` is asked for each `GET`; `None` means that this one is not shared. The first request's response is what
    /// all get; later ones begin where [`start_at`](Self::start_at) says. Needs a Tokio runtime with
    /// time: without one, each calls by itself.
    ///
    /// Those that join get none of the first one's headers that are about its client: no session, no cookie, and what
    /// pages may do (CORS) only if they come from the same `Origin`. A page of another one joins where the answer does not
    /// depend on the origin; where it does, having CORS headers or `Vary: Origin`, and where the first request named
    /// none, pages of one origin share a stream of their own: else their browsers would refuse what the service allows.
    ///
    /// The host is the authority of the URI where there is one, else the `Host` header. A request with two `Host`
    /// headers, or with an authority and another `Host`, shares nothing: the service may take it for either.
    ///
    /// ```
    /// use tower_sse_resume::{SseResumeLayer, StartAt};
    ///
    /// let layer = SseResumeLayer::new()
    ///     .share(|parts| Some(parts.uri.path().to_owned()))
    ///     .start_at(StartAt::Last(10));
    /// ```
    #[must_use]
    pub fn share(self, key: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.share_by(Arc::new(key), false)
    }

    /// The same for everybody, whoever they are. Default: none.
    ///
    /// **Everybody whose request has the key gets the stream of whoever came first.** Only for feeds that are the
    /// same for all, down to the last byte, and public.
    #[must_use]
    pub fn share_across_owners(
        self,
        key: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.share_by(Arc::new(key), true)
    }

    fn share_by(self, key: ShareKeyOf, across_owners: bool) -> Self {
        self.set(|config| {
            let start_at = config.share.as_ref().map_or(StartAt::Live, |share| share.start_at);
            config.share = Some(Share { key, across_owners, start_at });
        })
    }

    /// Where a client begins that joins a shared stream without a position; set after [`share`](Self::share).
    /// Default: [`StartAt::Live`].
    #[must_use]
    pub fn start_at(self, start_at: StartAt) -> Self {
        self.set(|config| {
            if let Some(share) = &mut config.share {
                share.start_at = start_at;
            }
        })
    }

    /// Adds a callback for what happens. It runs on the task that it happens in, never under a lock of the layer, and
    /// should be short. Default: none.
    ///
    /// ```
    /// use tower_sse_resume::{Observation, SseResumeLayer};
    ///
    /// let layer = SseResumeLayer::new().observe(|observation| match observation {
    ///     Observation::Gap { reason, .. } => eprintln!("events are missing: {reason}"),
    ///     _ => {}
    /// });
    /// ```
    #[must_use]
    pub fn observe(self, callback: impl Fn(&Observation) + Send + Sync + 'static) -> Self {
        self.set(|config| config.observer.add(callback))
    }
}

impl Default for SseResumeLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for SseResumeLayer {
    type Service = SseResume<S>;

    fn layer(&self, inner: S) -> SseResume<S> {
        SseResume::new(inner, Arc::clone(&self.shared), Arc::clone(&self.config))
    }
}

impl fmt::Debug for SseResumeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseResumeLayer").finish_non_exhaustive()
    }
}
