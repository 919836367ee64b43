//! What can be configured: policies, limits, and the rules that the inside goes by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method, Response};

use crate::exchange::Revive;
use crate::jitter::FOR_EVER;
use crate::observer::Observer;
use crate::resume::event_id::Marker;
use crate::resume::{Gap, Retention};
use crate::sessions::Keeper;
use crate::sse::encode::EventName;

/// Where event IDs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventIds {
    /// The layer gives each event its own ID and hides the inner service's. The default.
    #[default]
    Assign,
    /// The inner service's IDs stay; only events without one get one of the layer's.
    ///
    /// For feeds whose clients read the IDs. Look-up needs to know whose stream it is, so a return finds its stream
    /// only where streams have a session, an owner or a shared key, and only on this instance.
    ///
    /// Where several of these streams have the ID, or more than 256 are open to the same request, it is not known which
    /// is meant: the inner service is called with its own ID, as without the layer.
    Preserve,
}

/// Whether a response begins with an `id`-only frame, so that a client which is cut before the first event can resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Priming {
    /// Only for requests that look like a browser's `EventSource`: a `GET` with `Accept: text/event-stream`,
    /// `Cache-Control: no-cache` and any `Sec-Fetch-Mode`. The default: some other clients take such a frame for an
    /// empty event.
    ///
    /// Chromium and npm's `eventsource` send all three, as measured. So does Firefox from 90 on, by its source: an
    /// `EventSource` there accepts nothing else, bypasses caches, and is a request in mode `cors`. Browsers send
    /// `Sec-Fetch-Mode` only where the connection is secure or goes to the same machine; so over plain HTTP from
    /// elsewhere nothing is primed. `fetch`, httpx-sse, `curl` and clients of Go send less than these three.
    #[default]
    Auto,
    /// For every event stream.
    Always,
    /// Never.
    Never,
}

/// What a client gets that comes back for events which cannot be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMissing {
    /// A gap signal in the event stream, then what there is. The default.
    #[default]
    Signal,
    /// `410 Gone`, the same for every cause.
    Reject,
    /// `410 Gone` for an ID that is unknown; a gap signal where events of a known stream are missing.
    RejectUnknown,
}

/// What a client gets that comes back after it was sent the end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFinished {
    /// The inner service is called, as without the layer. The default: some servers end each response on purpose and
    /// expect their clients back.
    #[default]
    Forward,
    /// `204 No Content`, which stops an `EventSource`. For jobs that end once.
    NoContent,
    /// `204 No Content` where the stream answers another method than `GET`. For one that does, the inner service is
    /// called, also if the end was not sent yet: no response ends without anything new.
    NoContentUnlessGet,
}

/// What happens to a reader that falls behind a stream's history while others keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowReader {
    /// It is told what it missed by a gap signal, and goes on. The default.
    #[default]
    Signal,
    /// Its response ends with an error, so that it comes back.
    Disconnect,
}

/// Whose response goes on when a client comes back to a stream that is being sent already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connections {
    /// All: each has its own place in the stream. The default.
    #[default]
    Many,
    /// The newest one's. Older ones end cleanly, after a reconnection time of a minute, so that two clients with one
    /// position do not chase each other.
    Newest,
}

/// Where a new reader of a shared stream starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At what comes next. The default.
    #[default]
    Live,
    /// At the oldest event that is retained.
    Earliest,
    /// At the last so many events.
    Last(u64),
}

/// Limits shared by all streams of a layer.
///
/// At a limit, the owner that holds most bytes makes room; all requests without an owner count as one. Its finished
/// streams go first, then its aborted ones, then live ones without a client. A stream with a client keeps its place; at
/// the limit on bytes it gives up its oldest events, and where only unread ones are left, its inner body is held back.
/// Where nothing can be evicted, a new response passes as without the layer.
///
/// The bytes include at most 2 KiB of each request and the head of its response: longer IDs and headers are not kept.
/// Beside these bytes, each client holds what its transport buffers, and a block of 16 KiB or one frame.
///
/// ```
/// use tower_sse_resume::Limits;
///
/// let limits = Limits::new().bytes(64 * 1024 * 1024).streams(10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) bytes: usize,
    pub(crate) streams: usize,
    pub(crate) sessions: usize,
    pub(crate) streams_per_session: usize,
    pub(crate) lingering: usize,
    pub(crate) lingering_per_owner: usize,
    pub(crate) frame: usize,
}

impl Limits {
    /// The defaults, which each method names.
    pub const fn new() -> Self {
        Self {
            bytes: 256 * 1024 * 1024,
            streams: 65_536,
            sessions: 65_536,
            streams_per_session: 256,
            lingering: 16_384,
            lingering_per_owner: 1_024,
            frame: 1024 * 1024,
        }
    }

    /// Bytes that all streams together may hold. Default: 256 MiB.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How many streams there may be. Default: 65,536. Where there is no room, a new response passes as without the
    /// layer.
    #[must_use]
    pub const fn streams(mut self, streams: usize) -> Self {
        self.streams = streams;
        self
    }

    /// Limits how many sessions may have streams. Default: 65,536. A session counts for each owner that uses its name.
    #[must_use]
    pub const fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Limits how many streams a session may have, for each owner that uses its name. Default: 256.
    #[must_use]
    pub const fn streams_per_session(mut self, streams: usize) -> Self {
        self.streams_per_session = streams;
        self
    }

    /// Limits how many inner bodies are read on after their last client left. Default: 16,384. Further ones are dropped
    /// with their client.
    ///
    /// A quarter of them is kept for streams that have an owner.
    #[must_use]
    pub const fn lingering(mut self, bodies: usize) -> Self {
        self.lingering = bodies;
        self
    }

    /// Limits how many of these one owner may have. Default: 1,024: one credential is often that of a whole fleet.
    #[must_use]
    pub const fn lingering_per_owner(mut self, bodies: usize) -> Self {
        self.lingering_per_owner = bodies;
        self
    }

    /// The largest frame that is recorded, in bytes. Default: 1 MiB. A larger one goes to the clients that are
    /// present, and is a gap for all others.
    #[must_use]
    pub const fn frame(mut self, bytes: usize) -> Self {
        self.frame = bytes;
        self
    }
}

/// A limit of [`Limits`], by its name; see [`Observation::LimitReached`](crate::Observation::LimitReached).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::streams`].
    Streams,
    /// [`Limits::sessions`].
    Sessions,
    /// [`Limits::streams_per_session`].
    StreamsPerSession,
    /// [`Limits::lingering`].
    Lingering,
    /// [`Limits::lingering_per_owner`].
    LingeringPerOwner,
}

impl LimitKind {
    /// The word for this limit in traces and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Streams => "streams",
            Self::Sessions => "sessions",
            Self::StreamsPerSession => "streams-per-session",
            Self::Lingering => "lingering",
            Self::LingeringPerOwner => "lingering-per-owner",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// How long an inner body is read on after its last client left. Default: 30 seconds; a duration of zero is
/// [`none`](Self::none).
///
/// ```
/// use std::time::Duration;
/// use tower_sse_resume::{Linger, SseResumeLayer};
///
/// let for_jobs = SseResumeLayer::new().linger(Duration::from_secs(600));
/// let a_disconnect_cancels = SseResumeLayer::new().linger(Linger::none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger(pub(crate) Option<Duration>);

impl Linger {
    /// Not at all: a disconnect drops the inner body, as without the layer.
    pub const fn none() -> Self {
        Self(None)
    }
}

impl From<Duration> for Linger {
    fn from(duration: Duration) -> Self {
        Self((!duration.is_zero()).then_some(duration.min(FOR_EVER)))
    }
}

impl Default for Linger {
    /// 30 seconds.
    fn default() -> Self {
        Self(Some(Duration::from_secs(30)))
    }
}

/// What the log goes by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) retention: Retention,
    pub(crate) frame_limit: usize,
    pub(crate) dedupe_window: usize,
    pub(crate) ids: EventIds,
    /// Whether our IDs carry the inner service's.
    pub(crate) embeds_inner_ids: bool,
    /// Whether events of empty data and no name are only taken for the ID that they give.
    pub(crate) swallows_empty_events: bool,
    /// Whether the last event of a live stream is kept whatever the limits on bytes are, and its place, too.
    pub(crate) keeps_last: bool,
}

pub(crate) type Only = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
pub(crate) type OwnerOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
pub(crate) type ShareKeyOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
pub(crate) type AuthorizeResume =
    Arc<dyn Fn(&Parts, &crate::handle::StreamId) -> bool + Send + Sync>;
pub(crate) type GapEncoder = Arc<dyn Fn(&Gap) -> String + Send + Sync>;
pub(crate) type Rejection = Arc<dyn Fn() -> Response<Bytes> + Send + Sync>;

/// Where a stream's session is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionSource {
    Header(HeaderName),
    Cookie(String),
}

/// Where a stream's owner is named.
#[derive(Clone)]
pub(crate) enum OwnerSource {
    /// A hash of the `Authorization` header.
    Authorization,
    Header(HeaderName),
    Cookie(String),
    Closure(OwnerOf),
}

/// What tells a reconnection time before an end that the layer brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// A line, for clients that dispatch an empty event at each blank line.
    Line,
    /// A whole block, for clients that take notice of no other.
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "only presets want it"))]
    Block,
}

/// How a gap is told.
#[derive(Clone)]
pub(crate) enum GapSignal {
    Event(EventName),
    Closure(GapEncoder),
}

/// Who joins whose stream.
#[derive(Clone)]
pub(crate) struct Share {
    pub(crate) key: ShareKeyOf,
    pub(crate) across_owners: bool,
    pub(crate) start_at: StartAt,
}

/// All that the layer's methods set.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a knob of its own")]
pub(crate) struct Config {
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    pub(crate) linger: Linger,
    pub(crate) read_on: bool,
    pub(crate) marker: Marker,
    pub(crate) priming: Priming,
    pub(crate) on_missing: OnMissing,
    /// In place of the bare `410`.
    pub(crate) rejection: Option<Rejection>,
    pub(crate) on_finished: OnFinished,
    pub(crate) slow_reader: SlowReader,
    pub(crate) connections: Connections,
    /// Whether a `GET` without a position lets go of streams that linger for the same client.
    pub(crate) releases_lingering: bool,
    /// Whether only a `GET` resumes: what has another method is about something new, whatever position it names.
    pub(crate) only_gets_resume: bool,
    pub(crate) only: Option<Only>,
    pub(crate) methods: Vec<Method>,
    pub(crate) query: Option<String>,
    pub(crate) session: Option<SessionSource>,
    /// Sessions that are kept in a store.
    pub(crate) sessions: Option<Arc<Keeper>>,
    pub(crate) owner: OwnerSource,
    pub(crate) authorize_resume: Option<AuthorizeResume>,
    pub(crate) keep_headers: Vec<HeaderName>,
    pub(crate) gap_signal: GapSignal,
    pub(crate) retry: Option<Duration>,
    pub(crate) jitter: f64,
    pub(crate) max_connection_age: Option<Duration>,
    pub(crate) clean_close: bool,
    /// What tells a reconnection time before an end.
    pub(crate) closing: Closing,
    pub(crate) share: Option<Share>,
    /// Makes an exchange of what was stored of it.
    pub(crate) exchange: Revive,
    pub(crate) observer: Observer,
}

impl Default for Config {
    fn default() -> Self {
        let limits = Limits::new();
        Self {
            rules: Rules {
                retention: Retention::new(),
                frame_limit: limits.frame,
                dedupe_window: 100,
                ids: EventIds::Assign,
                embeds_inner_ids: true,
                swallows_empty_events: false,
                keeps_last: false,
            },
            limits,
            linger: Linger::default(),
            read_on: false,
            marker: Marker::default(),
            priming: Priming::Auto,
            on_missing: OnMissing::Signal,
            rejection: None,
            on_finished: OnFinished::Forward,
            slow_reader: SlowReader::Signal,
            connections: Connections::Many,
            releases_lingering: false,
            only_gets_resume: false,
            only: None,
            methods: vec![Method::GET],
            query: None,
            session: None,
            sessions: None,
            owner: OwnerSource::Authorization,
            authorize_resume: None,
            keep_headers: Vec::new(),
            gap_signal: GapSignal::Event(EventName::RESUME_GAP),
            retry: None,
            jitter: 0.25,
            max_connection_age: None,
            clean_close: false,
            closing: Closing::Line,
            share: None,
            exchange: |_| None,
            observer: Observer::default(),
        }
    }
}
