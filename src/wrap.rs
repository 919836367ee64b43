//! Makes an inner response a resumable stream.

use std::sync::{Arc, Weak};

use http::request::Parts;
use http::{HeaderMap, Response};
use http_body::Body;
use tokio::runtime::Handle;

use crate::answer::{self, Answer};
use crate::ask;
use crate::binding::{Binding, Page};
use crate::body::{Reader, ResumeBody};
use crate::config::{Config, StartAt};
use crate::driver::{self, InnerBody, Task};
use crate::error::BoxError;
use crate::exchange::{self, Exchange, Primer};
use crate::handle::StreamHandle;
use crate::jitter::jitter;
use crate::observer::Observation;
use crate::persistence::{OnOutage, Storage};
use crate::random;
use crate::registry::{LingerPermit, Registry, Shared};
use crate::resume::event_id::Token;
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::sse::encode;
use crate::stream::{Origin, Start, Stream};
use crate::time::Timer;

/// The most that is kept of a request and the head of its response, in bytes.
const KEPT: usize = 2 * 1024;

/// The store does not answer.
struct Outage;

/// What is known of a request while the inner service answers it.
pub(crate) struct Wrap {
    pub(crate) config: Arc<Config>,
    pub(crate) registry: Arc<Registry>,
    /// Held until the stream is there: who lets go of the layer last forgets all streams.
    _layer: Arc<Shared>,
    pub(crate) binding: Binding,
    pub(crate) page: Page,
    /// Whether others may join the stream.
    pub(crate) is_shared: bool,
    pub(crate) repeatable: bool,
    pub(crate) primer: Option<Primer>,
    exchange: Option<Arc<dyn Exchange>>,
    /// The last event ID that the inner service is called with.
    pub(crate) inner_id: Vec<u8>,
    pub(crate) answer: Answer,
    /// What the client is told first: set if it came back with an ID that is not known here.
    pub(crate) gap: Option<Gap>,
    /// The same if it joins a stream that is there: then the inner service is not asked to go on from its ID.
    pub(crate) gap_if_joined: Option<Gap>,
    pub(crate) handle: StreamHandle,
}

impl Wrap {
    /// What a request with these parts is about, whose position was taken out. The inner service gets the handle.
    pub(crate) fn of(
        parts: &mut Parts,
        binding: Binding,
        config: &Arc<Config>,
        layer: &Arc<Shared>,
    ) -> Self {
        let handle = StreamHandle::new();
        parts.extensions.insert(handle.clone());
        Self {
            config: Arc::clone(config),
            registry: Arc::clone(&layer.registry),
            _layer: Arc::clone(layer),
            binding,
            page: Page::of(&parts.headers, &layer.registry.keys),
            is_shared: false,
            repeatable: parts.method == http::Method::GET,
            primer: ask::primer(parts, config),
            exchange: exchange::of(&parts.extensions),
            inner_id: ask::inner_id(&parts.headers),
            answer: Answer::Fresh,
            gap: None,
            gap_if_joined: None,
            handle,
        }
    }

    /// Has its client told that it may miss something.
    pub(crate) fn tell(&mut self, gap: Gap) {
        self.gap = Some(gap);
        self.answer = Answer::Gap;
    }

    /// The response to the client: resumable, if it is an event stream. Its readers drive the inner body.
    pub(crate) fn response<B>(self, response: Response<B>) -> Response<ResumeBody<B>>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let stream = self.stream_of(&response);
        self.open(response, stream, place).0
    }

    /// The same where the store has to have the stream first.
    pub(crate) async fn stored_response<B>(self, response: Response<B>) -> Response<ResumeBody<B>>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let stream = self.stream_of(&response);
        match self.store_first(stream.as_ref()).await {
            Ok(()) => self.open(response, stream, place).0,
            Err(Outage) => self.without_store(response),
        }
    }

    /// The same for a stream that others join: the caller drives the inner body in a task.
    pub(crate) fn shared_response<B>(
        self,
        response: Response<B>,
    ) -> (Response<ResumeBody<B>>, Option<Task>)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let stream = self.stream_of(&response);
        self.open(response, stream, keep)
    }

    /// The same where the store has to have the stream first.
    pub(crate) async fn stored_shared_response<B>(
        self,
        response: Response<B>,
    ) -> (Response<ResumeBody<B>>, Option<Task>)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let stream = self.stream_of(&response);
        match self.store_first(stream.as_ref()).await {
            Ok(()) => self.open(response, stream, keep),
            Err(Outage) => (self.without_store(response), None),
        }
    }

    /// Whether the store has to have a stream before its client gets anything.
    pub(crate) fn commits_first(&self) -> bool {
        let commits_first = |storage: &Arc<Storage>| storage.commits_first();
        self.config.rules.retention.payload
            && self.registry.storage.as_ref().is_some_and(commits_first)
    }

    /// Has the store have a new stream.
    async fn store_first(&self, stream: Option<&Arc<Stream>>) -> Result<(), Outage> {
        if let (Some(stream), Some(storage)) = (stream, &self.registry.storage) {
            storage.ensure_tasks(&self.registry, &self.config);
            storage.create_now(stream).await.map_err(|_| Outage)?;
            stream.created();
        }
        Ok(())
    }

    /// What a client gets whose stream is to be in the store first, while that is away.
    fn without_store<B>(&self, response: Response<B>) -> Response<ResumeBody<B>> {
        self.config.observer.tell(Observation::Refused);
        let on_outage = self.registry.storage.as_ref().map(|storage| storage.options.on_outage);
        if on_outage == Some(OnOutage::Refuse) {
            return answer::unavailable();
        }
        self.pass_off(response)
    }

    /// An event stream that cannot be resumed. Its client is told what it was to be told all the same.
    fn pass_off<B>(&self, mut response: Response<B>) -> Response<ResumeBody<B>> {
        response.headers_mut().insert(answer::SSE_RESUME, Answer::Off.value());
        answer::passed(response, self.gap.as_ref(), &self.config)
    }

    /// The new stream of a response, if that is to be one.
    fn stream_of<B>(&self, response: &Response<B>) -> Option<Arc<Stream>> {
        let is_one = answer::is_event_stream(response) && !self.handle.is_opted_out();
        is_one.then(|| self.stream(response)).flatten()
    }

    fn open<B, T>(
        self,
        response: Response<B>,
        stream: Option<Arc<Stream>>,
        begin: impl FnOnce(&Arc<Stream>, InnerBody) -> T,
    ) -> (Response<ResumeBody<B>>, Option<T>)
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if !answer::is_event_stream(&response) || self.handle.is_opted_out() {
            return (answer::passed(response, self.gap.as_ref(), &self.config), None);
        }
        // Its reader comes first: a stream without one would be the first to be evicted.
        let from = Position { generation: 1, offset: 0 };
        let room = stream
            .map(|stream| (self.reader(&stream, from, from.generation), stream))
            .filter(|(_, stream)| self.registry.insert(stream).is_ok());
        let Some((reader, stream)) = room else {
            self.config.observer.tell(Observation::Refused);
            return (self.pass_off(response), None);
        };
        let (mut parts, body) = response.into_parts();
        answer::wrap_headers(&mut parts.headers);
        let begun = begin(&stream, driver::erase(body));
        answer::describe(&mut parts.headers, self.answer, &stream.id_of(from));
        self.handle.bind(&stream);
        stream.observe(Observation::Opened);
        (Response::from_parts(parts, ResumeBody::stream(reader)), Some(begun))
    }

    /// Where a client begins that joins a stream which is there, and what it is told first.
    ///
    /// One that goes on from elsewhere begins where the stream did, if the inner service was called with the same ID
    /// for it. Else it may have missed something, and is told so.
    pub(crate) fn place_in(&self, stream: &Stream) -> (Position, Option<Gap>) {
        let goes_on = self.answer == Answer::Forwarded || !self.inner_id.is_empty();
        if goes_on && stream.origin.inner_id.as_deref() == Some(&*self.inner_id) {
            return (Position { generation: 1, offset: 0 }, None);
        }
        let start_at = self.config.share.as_ref().map_or(StartAt::Live, |share| share.start_at);
        let reason = GapReason::Unknown;
        let missed = Gap { requested: None, resumed: 0, missed: None, reason };
        let gap = goes_on.then(|| self.gap_if_joined.unwrap_or(missed));
        (stream.start_of(start_at), gap.or(self.gap))
    }

    /// Whether the client may join a stream which is there.
    pub(crate) fn may_join(&self, stream: &Stream) -> bool {
        answer::may_join(&stream.origin, self.page)
    }

    /// The same request, which shares a stream with pages of its origin alone.
    pub(crate) fn by_page(self) -> Self {
        Self { binding: self.binding.of_page(self.page, &self.registry.keys), ..self }
    }

    /// The response to a client that joins a stream which is there.
    pub(crate) fn joined<B>(mut self, stream: &Arc<Stream>) -> Response<ResumeBody<B>> {
        let (from, gap) = self.place_in(stream);
        if gap.is_some() {
            self.answer = Answer::Gap;
        }
        self.gap = gap;
        let mut headers = answer::later_headers(&stream.origin, self.page);
        answer::describe(&mut headers, self.answer, &stream.id_of(from));
        let mut response =
            Response::new(ResumeBody::stream(self.reader(stream, from, from.generation)));
        *response.headers_mut() = headers;
        response
    }

    /// Asks whether the inner service may go on being called for a leader that has left, and until when.
    pub(crate) fn permit_linger(&self, runtime: &Handle) -> Option<(LingerPermit, Timer)> {
        let linger = self.config.linger.0.filter(|_| self.config.rules.retention.payload)?;
        let (owner, limits) = (self.binding.owner, &self.config.limits);
        let permit = self.registry.permit_linger(owner, limits, Weak::new()).ok()?;
        Some((permit, Timer::after(runtime, linger)))
    }

    /// What a response begins with, now that the inner service has answered.
    pub(crate) fn primer(&self) -> Option<Primer> {
        match &self.exchange {
            Some(exchange) => exchange.primer(),
            None => self.primer,
        }
    }

    /// What is kept of the request, and of these headers of its response.
    fn kept(&self, headers: &HeaderMap) -> Kept<'_> {
        let exchange = self.exchange.as_deref().map_or(0, Exchange::heap_bytes);
        let room = KEPT.saturating_sub(exchange);
        // It is kept twice: as it was, and as the one in force.
        let inner_id = Some(&*self.inner_id).filter(|id| id.len() <= room / 4);
        let room = room - 2 * inner_id.map_or(0, <[u8]>::len);
        let headers = answer::kept_headers(headers, &self.config, self.is_shared, room);
        Kept { headers, inner_id }
    }

    fn stream<B>(&self, response: &Response<B>) -> Option<Arc<Stream>> {
        let mut headers = response.headers().clone();
        answer::wrap_headers(&mut headers);
        let kept = self.kept(&headers);
        let named = |binding: Binding| {
            binding.named_by(response.headers(), &self.config, &self.registry.keys)
        };
        let origin = Origin {
            binding: if self.is_shared { self.binding } else { named(self.binding) },
            is_shared: self.is_shared,
            inner_id: kept.inner_id.map(Box::from),
            repeatable: self.repeatable,
            headers: self.registry.intern(&kept.headers, &self.config),
            page: Some(self.page),
            exchange: self.exchange.clone(),
        };
        let mut bytes = [0; 12];
        // Without random bytes no stream can be named, and the response passes as without the layer.
        random::fill(&mut bytes).ok()?;
        let token = Token::sign(bytes, &self.registry.keys);
        let (config, registry) = (Arc::clone(&self.config), Arc::clone(&self.registry));
        let inner_id = kept.inner_id.unwrap_or_default();
        let stream = Arc::new(Stream::new(token, origin, config, registry, inner_id));
        if let Some(storage) = &self.registry.storage {
            if self.config.rules.retention.payload && stream.runtime.is_some() {
                stream.begin_storing(storage.commits_first());
                storage.produces(&stream);
            }
        }
        Some(stream)
    }

    fn reader(&self, stream: &Arc<Stream>, from: Position, told: u32) -> Reader {
        let start = Start { next: from.offset + 1, told, retry_due: from.offset > 0 };
        let mut reader = Reader::new(Arc::clone(stream), start);
        if self.is_shared {
            reader.leaves_stream_running();
        }
        send_retry(&mut reader);
        // Once the position is named, a client that is cut off comes back without a gap.
        if let Some(gap) = &self.gap {
            reader.send_gap_first(gap, from);
        }
        reader.prime(self.primer(), Some(from));
        reader
    }
}

/// What is kept of a request and of the head of its response. What is longer than that is not.
struct Kept<'a> {
    headers: HeaderMap,
    /// The ID that the inner service was called with. Without it, going on with the stream is told as a loss.
    inner_id: Option<&'a [u8]>,
}

/// Puts the inner body where it is driven.
fn place(stream: &Arc<Stream>, body: InnerBody) {
    // Who reads on for slow clients must not depend on their sockets, and who waits for the store not on that.
    let by_task = stream.config.read_on || stream.commits_first();
    if by_task && stream.runtime.is_some() {
        stream.drive_by_task();
        driver::spawn(stream, body, 1);
    } else {
        stream.place(body);
    }
}

/// Leaves it to the caller to drive the inner body in a task.
fn keep(stream: &Arc<Stream>, body: InnerBody) -> Task {
    stream.drive_by_task();
    Task::new(stream, body, 1)
}

/// Begins a response with the reconnection time that is configured.
pub(crate) fn send_retry(reader: &mut Reader) {
    let config = &reader.of().config;
    if let Some(retry) = config.retry {
        let jittered = jitter(retry, config.jitter);
        reader.send_first(&encode::retry(jittered.as_millis() as u64));
    }
}
