//! One case: an inner service, a layer, clients, and what happens to them.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};
use tower_sse_resume::{
    LayerHandle, Limits, Linger, Priming, ResumeBody, Retention, SseResume, SseResumeLayer,
};

use super::client::{Client, Connection, Held};
use super::frames::{Kinds, Universe};
use super::inner::{Habit, Habits, Said, Scripted, lock};
use super::oracle::{Bounds, Check, Streams, last_offset};
use super::random::Random;
use super::truth::{At, Stream};

pub(crate) struct Case {
    random: Random,
    size: usize,
    bounds: Bounds,
    linger: Option<Duration>,
    scripted: Scripted,
    app: SseResume<Scripted>,
    handle: LayerHandle,
    clients: Vec<Client>,
    streams: Streams,
    tell: bool,
}

const MS: Duration = Duration::from_millis(1);

/// Runs the case of a seed. The first ones are small.
pub(crate) fn run(seed: u64, tell: bool) {
    let mut random = Random::of(&[seed, 1]);
    let size = if seed < 20_000 { 1 + seed as usize / 500 } else { random.within(1, 60) };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut case = Case::new(seed, size, random, tell);
        for _ in 0..size {
            case.step().await;
        }
        case.let_all_come().await;
        case.leave_nothing().await;
    });
}

impl Case {
    fn new(seed: u64, size: usize, mut random: Random, tell: bool) -> Self {
        let limit = random.one_in(4).then(|| random.within(40, 120));
        let bounds = Bounds {
            events: if random.one_in(3) { 10_000 } else { random.within(1, 20) as u64 },
            bytes: if random.one_in(4) { random.within(1, 2_000) } else { 1 << 20 },
            age: Duration::from_millis(*random.pick(&[100, 1_000, 300_000])),
            read_on: random.one_in(3),
            oversize: limit.is_some(),
            retry_alone: random.one_in(2),
        };
        let linger = *random.pick(&[None, Some(5), Some(50), Some(400)]);
        let linger = linger.map(Duration::from_millis);
        let retention = Retention::new().events(bounds.events).bytes(bounds.bytes).age(bounds.age);
        let mut layer = SseResumeLayer::new()
            .secret([7; 32])
            .retention(retention)
            .linger(linger.map_or(Linger::none(), Linger::from))
            .read_on(bounds.read_on)
            .dedupe_window(10_000)
            .priming(*random.pick(&[Priming::Always, Priming::Never]))
            .methods([Method::GET, Method::POST]);
        if let Some(limit) = limit {
            layer = layer.limits(Limits::new().frame(limit));
        }
        if random.one_in(5) {
            layer = layer.max_connection_age(random.within(1, 300) as u32 * MS);
        }
        // A frame over the limit is not known again where the inner service resends it: then it goes on exactly.
        let ids = *random.pick(if limit.is_some() { &[0, 12][..] } else { &[0, 4, 8, 12] });
        let habits = [Habit::GoesOn, Habit::Resends, Habit::Restarts, Habit::Varies];
        let kinds = Kinds {
            seed,
            ids,
            resets: random.one_in(4),
            retry_in_events: !bounds.retry_alone,
            oversize: limit,
        };
        let service = Habits {
            kinds,
            habit: if limit.is_some() { Habit::GoesOn } else { *random.pick(&habits) },
            most_events: random.within(1, 1 + size),
            refuses: *random.pick(&[3, 20]),
            piece: *random.pick(&[1, 7, 40, 400]),
        };
        if tell {
            println!("{bounds:?} linger {linger:?}\n{service:?}");
        }
        let scripted = Scripted::new(service, Random::of(&[seed, 2]));
        let (app, handle) = (layer.layer(scripted.clone()), layer.handle());
        let clients = (0..random.within(1, 4))
            .map(|_| Client { post: random.one_in(5), ..Client::default() })
            .collect();
        let streams = Streams::new();
        Self { random, size, bounds, linger, scripted, app, handle, clients, streams, tell }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{}", what());
        }
    }

    async fn step(&mut self) {
        let who = self.random.within(0, self.clients.len() - 1);
        match self.random.within(0, 99) {
            0..=1 => self.purge(),
            2..=11 => self.pause().await,
            12..=31 => self.allow(),
            32..=41 => tokio::task::yield_now().await,
            _ if self.clients[who].connection.is_none() => self.connect(who).await,
            42..=53 => self.cut(who),
            54..=75 => self.poll(who),
            _ => self.read(who).await,
        }
    }

    fn purge(&mut self) {
        self.tell(|| "purge".into());
        self.handle.purge_all();
        self.streams.values_mut().for_each(|stream| stream.purged = true);
    }

    async fn pause(&mut self) {
        let linger = self.linger.unwrap_or_default();
        let longest = [MS, 30 * MS, linger + MS, self.bounds.age / 4, self.bounds.age * 2];
        let pause = *self.random.pick(&longest);
        self.tell(|| format!("pause {pause:?}"));
        sleep(pause).await;
    }

    fn allow(&mut self) {
        let pieces = self.random.within(1, 1 + self.size);
        let calls = lock(&self.scripted.0).calls.clone();
        if !calls.is_empty() {
            let call = self.random.within(0, calls.len() - 1);
            self.tell(|| format!("call {call} may say {pieces} more"));
            lock(&calls[call]).allow(pieces);
        }
    }

    fn poll(&mut self, who: usize) {
        for _ in 0..self.random.within(1, 5) {
            let Some(connection) = &mut self.clients[who].connection else { return };
            connection.poll(Waker::noop());
        }
        self.tell(|| format!("client {who} polls"));
        self.take_end(who);
    }

    async fn read(&mut self, who: usize) {
        let wait = self.random.within(0, 20) as u32 * MS;
        self.tell(|| format!("client {who} reads for {wait:?}"));
        if let Some(connection) = &mut self.clients[who].connection {
            connection.read_for(wait).await;
        }
        self.take_end(who);
    }

    fn take_end(&mut self, who: usize) {
        let ended = |connection: &Connection| connection.end.is_some();
        if self.clients[who].connection.as_ref().is_some_and(ended) {
            self.close(who, usize::MAX);
        }
    }

    /// The client goes, and has lost the end of what it was sent.
    fn cut(&mut self, who: usize) {
        let Some(connection) = &self.clients[who].connection else { return };
        let length = connection.received.len();
        let kept = if self.random.one_in(2) { length } else { self.random.within(0, length) };
        self.close(who, kept);
    }

    fn close(&mut self, who: usize, kept: usize) {
        self.streams.values_mut().for_each(Stream::forget_unanswered);
        self.note_what_was_sent();
        let client = &mut self.clients[who];
        let Some(connection) = client.connection.take() else { return };
        let kept = kept.min(connection.received.len());
        if self.tell {
            let received = connection.received.escape_ascii();
            println!("client {who} kept {kept} of {received} end {:?}", connection.end);
            println!("  of {}", self.streams[&connection.start.token].in_short());
        }
        let post = client.post;
        let held =
            Check::run(&mut self.streams, self.bounds, post, &client.held, &connection, kept);
        client.held = held;
        if self.tell {
            println!("  and holds {:?}", client.held);
        }
    }

    fn note_what_was_sent(&mut self) {
        for connection in self.clients.iter().filter_map(|client| client.connection.as_ref()) {
            let stream = self.streams.get_mut(&connection.start.token).unwrap();
            stream.sent = stream.sent.max(last_offset(&connection.received));
        }
    }

    async fn connect(&mut self, who: usize) {
        self.streams.values_mut().for_each(Stream::forget_unanswered);
        let is_new = self.clients[who].held.at.is_none();
        if self.clients[who].done {
            self.clients[who].held = Held::default();
            self.clients[who].done = false;
        } else if is_new && self.random.one_in(2) {
            // Joins the stream of another client.
            let held = self.clients[self.random.within(0, self.clients.len() - 1)].held.clone();
            if held
                .at
                .as_ref()
                .is_some_and(|at| self.streams[&at.token].is_for(self.clients[who].post))
            {
                self.clients[who].held = held;
            }
        }
        let token = self.clients[who].held.at.as_ref().map(|at| at.token.clone());
        let universes = token.map(|token| self.universes(&token)).unwrap_or_default();
        let client = &self.clients[who];
        let method = if client.post { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(method).uri("/events");
        if let Some(id) = &client.held.last_event_id {
            request = request.header("last-event-id", id);
        }
        let calls = {
            let mut inner = lock(&self.scripted.0);
            inner.asked_from = universes;
            inner.calls.len()
        };
        let response = self.app.call(request.body(()).unwrap()).await.unwrap();
        let called = lock(&self.scripted.0).calls.get(calls..).map(<[_]>::to_vec).unwrap();
        assert!(called.len() <= 1, "one request, several calls");
        let called = called.into_iter().next();
        self.tell(|| {
            let (status, headers) = (response.status(), response.headers());
            let called = called.as_ref().map(|call| lock(call).in_short());
            format!("client {who} connects: {status} {headers:?}, which calls {called:?}")
        });
        match response.status() {
            StatusCode::OK => self.opened(who, response, called),
            StatusCode::SERVICE_UNAVAILABLE => assert!(!lock(&called.unwrap()).is_stream),
            StatusCode::NO_CONTENT => self.told_the_end(who),
            StatusCode::GONE => self.told_unknown(who),
            other => panic!("an answer with status {other}"),
        }
    }

    /// The universes that a stream was in, each with the first number that the stream has of it. The newest that there
    /// are events of is the last one; those without, where a service may begin meanwhile, come before all others.
    fn universes(&mut self, token: &str) -> Vec<(Universe, usize)> {
        let Some(stream) = self.streams.get_mut(token) else { return Vec::new() };
        let (mut silent, mut spoken) = (Vec::new(), Vec::<(Universe, usize)>::new());
        for generation in 1..=stream.generation() {
            let is_silent = stream.spoken(generation).is_empty();
            let call = lock(stream.call(generation));
            if is_silent {
                silent.push((call.universe, call.first));
                continue;
            }
            let before = spoken.iter().find(|(universe, _)| *universe == call.universe);
            let first = before.map_or(call.first, |(_, first)| call.first.min(*first));
            spoken.push((call.universe, first));
        }
        silent.extend(spoken);
        silent
    }

    fn opened(
        &mut self,
        who: usize,
        response: Response<ResumeBody<Said>>,
        called: Option<Arc<std::sync::Mutex<super::inner::Call>>>,
    ) {
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (answer, start) = (header("sse-resume"), At::parse(&header("sse-resume-from")));
        let held = self.clients[who].held.at.clone();
        let mut unknown = None;
        if self.streams.contains_key(&start.token) {
            let at = held.expect("a known stream without an ID");
            let same = |at: &At| (at.token.clone(), at.generation, at.offset);
            assert_eq!(same(&start), same(&at), "goes on somewhere else");
            assert_eq!(called.is_some(), answer == "takeover", "{answer}");
            if let Some(call) = called.filter(|call| lock(call).is_stream) {
                self.streams.get_mut(&start.token).unwrap().go_on(call);
            }
        } else {
            let call = called.expect("a new stream is a new call");
            assert!(lock(&call).is_stream);
            assert_eq!((start.generation, start.offset), (1, 0));
            if let Some(at) = held {
                unknown = self.began_anew(&at, &answer, &lock(&call).last_event_id);
            } else {
                assert_eq!(answer, "fresh");
            }
            self.streams.insert(start.token.clone(), Stream::new(call, self.clients[who].post));
        }
        let connection = Connection::new(start, unknown, response.into_body());
        self.clients[who].connection = Some(connection);
    }

    /// A client that was on a stream is on a new one. Returns the offset that it must be told is unknown.
    fn began_anew(&mut self, at: &At, answer: &str, sent: &[u8]) -> Option<u64> {
        let age = self.bounds.age;
        let stream = self.streams.get_mut(&at.token).unwrap();
        if answer == "forwarded" {
            assert!(stream.finished(), "forwarded although the stream has not finished");
            return None;
        }
        assert!(stream.may_be_gone(age), "a stream that is there is not known");
        assert_eq!(
            sent, at.inner,
            "the inner service was called with another ID than the client's"
        );
        let (gap, fresh) = (answer == "gap", answer == "fresh");
        assert_eq!((gap, fresh), (at.inner.is_empty(), !at.inner.is_empty()));
        gap.then_some(at.offset)
    }

    /// `204`: the client has all, or knows that it cannot have the rest.
    fn told_the_end(&mut self, who: usize) {
        let held = self.clients[who].held.clone();
        let at = held.at.clone().expect("an end without a stream");
        let stream = self.streams.get_mut(&at.token).unwrap();
        let lost = at.generation > stream.generation();
        // Nobody calls the inner service for the stream of a `POST`.
        assert!(
            lost || stream.post || self.clients[who].post,
            "a GET is not told that there is no more"
        );
        if !lost {
            assert!(stream.finished());
            Check::waiting(&mut self.streams, self.bounds, held, at);
        }
        self.clients[who].done = true;
    }

    /// `410`: the stream is not known any more.
    fn told_unknown(&mut self, who: usize) {
        let at = self.clients[who].held.at.clone().expect("gone without a stream");
        assert!(self.clients[who].post, "a GET is never rejected");
        assert!(self.streams[&at.token].may_be_gone(self.bounds.age), "a known stream is rejected");
        self.clients[who].done = true;
    }

    /// The inner service says all that it has, and each client gets all of it.
    async fn let_all_come(&mut self) {
        let calls = {
            let mut inner = lock(&self.scripted.0);
            inner.unbounded = true;
            inner.calls.clone()
        };
        for call in &calls {
            lock(call).allow(usize::MAX);
        }
        for who in 0..self.clients.len() {
            for _ in 0..4 {
                if self.clients[who].connection.is_none() {
                    self.connect(who).await;
                }
                let Some(connection) = &mut self.clients[who].connection else { break };
                connection.read_for(Duration::from_secs(1)).await;
                if connection.end.is_none() {
                    self.is_up_to_date(who);
                    break;
                }
                self.take_end(who);
            }
        }
    }

    /// A client that waits has all that was said, and there is nothing that it should not wait for.
    fn is_up_to_date(&mut self, who: usize) {
        let token = self.clients[who].connection.as_ref().unwrap().start.token.clone();
        let call = Arc::clone(self.streams[&token].last_call());
        self.tell(|| {
            let received = &self.clients[who].connection.as_ref().unwrap().received;
            format!("client {who} waits after {}", received.escape_ascii())
        });
        assert!(lock(&call).ended.is_none(), "the response stays open though the stream is over");
        assert!(lock(&call).is_silent(), "the inner body is not read");
        let start = self.clients[who].connection.as_ref().unwrap().start.clone();
        let before = self.clients[who].held.clone();
        self.close(who, usize::MAX);
        let held = self.clients[who].held.clone();
        let is_of_stream = |held: &Held| held.at.as_ref().is_some_and(|at| at.token == token);
        if is_of_stream(&held) {
            let at = held.at.clone().unwrap();
            Check::waiting(&mut self.streams, self.bounds, held, at);
        } else {
            // It has got no ID, for nothing was said.
            assert_eq!(held.last_event_id, before.last_event_id);
            Check::waiting(&mut self.streams, self.bounds, Held::default(), start);
        }
    }

    /// When everybody has left and the time is over, nothing is left.
    async fn leave_nothing(&mut self) {
        for who in 0..self.clients.len() {
            self.cut(who);
        }
        let before = Instant::now();
        sleep(self.linger.unwrap_or_default() + 2 * self.bounds.age + 100 * MS).await;
        let stats = self.handle.stats();
        let left = (stats.streams, stats.bytes, stats.clients, stats.lingering);
        assert_eq!(left, (0, 0, 0, 0), "{stats:?} after {:?}", before.elapsed());
        for call in &lock(&self.scripted.0).calls {
            assert!(lock(call).is_dropped, "an inner body was kept");
        }
    }
}
