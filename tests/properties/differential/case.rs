//! One case: an inner service, the layer in one of its modes, and clients that are cut.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_util::FutureExt;
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use tower_sse_resume::{Durability, Priming};

use super::client::{Client, Place, is_empty, position};
use super::formless;
use super::inner::{Answer, Inner};
use super::mode::{Deployment, Erased, Mode, Settings};
use super::script::Script;
use super::spoken::Spoken;
use support::client::{Client as Connection, End, settle};
use support::random::Random;
use support::reference;

/// Longer than any wait of the layer in a case.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long what an aborted stream was is known for certain.
const REMEMBERED: Duration = Duration::from_secs(250);

/// An inner service that says these bytes, whatever it is asked, and ends.
pub(crate) fn formless(seed: u64, tell: bool) {
    run(seed, tell, Case::formless);
}

/// An inner service that goes on from its own IDs, and breaks off.
pub(crate) fn spoken(seed: u64, tell: bool) {
    run(seed, tell, Case::spoken);
}

fn run(seed: u64, tell: bool, new: fn(&mut Random, bool) -> Case) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    tower_sse_resume::repeat_random(seed);
    runtime.block_on(async {
        let mut random = Random::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0xD1FF);
        let mut case = new(&mut random, tell);
        case.random = random;
        for _ in 0..case.random.within(0..60) {
            case.step().await;
        }
        case.let_all_come().await;
    });
}

struct Case {
    random: Random,
    inner: Inner,
    deployment: Deployment,
    script: Arc<Script>,
    clients: Vec<Client>,
    began: Instant,
    /// Whether streams were forgotten on purpose.
    forgot: bool,
    tell: bool,
}

impl Case {
    fn formless(random: &mut Random, tell: bool) -> Self {
        let modes = [
            Mode::Assign,
            Mode::Assign,
            Mode::Preserve,
            Mode::Share,
            Mode::Reconnect,
            Mode::ReconnectInside,
            Mode::Mirrored(Durability::WriteBehind),
            Mode::Mirrored(Durability::CommitFirst),
            Mode::Mcp,
        ];
        let mode = random.pick(&modes);
        let mut said = formless::stream(random);
        if mode.is_mcp() {
            said.extend_from_slice(b"\n\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
        }
        let bounded = !mode.is_mirrored() && random.one_in(3);
        let settings = Settings {
            events: if bounded { random.within(1..12) } else { 10_000 },
            linger: Duration::from_secs(3600),
            read_on: random.one_in(3),
            priming: random.pick(&[Priming::Always, Priming::Never]),
        };
        let events = reference::events(&said).into_iter();
        let events = events.filter(|event| !(mode.is_mcp() && is_empty(event))).collect();
        if tell {
            println!("{mode:?} {settings:?}\n{}", said.escape_ascii());
        }
        let script = Script::Formless { said, events };
        let clients = if mode.is_mcp() { 1 } else { random.within(1..4) as usize };
        Self::new(random, script, &[], mode, settings, clients, tell)
    }

    fn spoken(random: &mut Random, tell: bool) -> Self {
        let mode = random.pick(&[
            Mode::Assign,
            Mode::Assign,
            Mode::Preserve,
            Mode::IdsOnly,
            Mode::IdsOnly,
            Mode::Share,
            Mode::ShareIdsOnly,
            Mode::Reconnect,
            Mode::ReconnectInside,
            Mode::Mirrored(Durability::WriteBehind),
            Mode::Mirrored(Durability::CommitFirst),
        ]);
        let settings = Settings {
            events: if random.one_in(3) { random.within(1..12) } else { 10_000 },
            linger: random.pick(&[
                Duration::ZERO,
                Duration::from_millis(500),
                Duration::from_secs(20),
            ]),
            read_on: random.one_in(3),
            priming: random.pick(&[Priming::Always, Priming::Never]),
        };
        // What reconnects by itself has no patience of its own: its client's is meant.
        let waits = matches!(mode, Mode::Reconnect | Mode::ReconnectInside);
        let faults: &[Answer] = match random.within(u64::from(waits)..6) {
            0 => &[Answer::Silent],
            1 => &[Answer::Panics],
            2 => &[Answer::Unrecorded],
            3 => &[Answer::Unavailable, Answer::Fails],
            4 if !waits => &[
                Answer::Silent,
                Answer::Panics,
                Answer::Unrecorded,
                Answer::Unavailable,
                Answer::Fails,
            ],
            _ => &[],
        };
        // Only what a stream has of its own is known again: neither what reconnects by itself, nor a stream that goes on
        // from where an unrecorded response was, nor an instance that takes over a short history, has what was before.
        let is_known = !waits && !faults.contains(&Answer::Unrecorded);
        let is_known = is_known && !(mode.is_mirrored() && settings.events < 10_000);
        let spoken = Spoken::new(random, is_known);
        if tell {
            let said = spoken.from(0);
            println!("{mode:?} {settings:?} {faults:?}\n{}", said.escape_ascii());
        }
        let clients = random.within(1..4) as usize;
        Self::new(random, Script::Spoken(spoken), faults, mode, settings, clients, tell)
    }

    fn new(
        random: &mut Random,
        script: Script,
        faults: &[Answer],
        mode: Mode,
        settings: Settings,
        clients: usize,
        tell: bool,
    ) -> Self {
        let script = Arc::new(script);
        let inner = Inner::new(&script, random.clone(), faults, random.pick(&[2, 4]), tell);
        let instances = random.within(2..4) as usize;
        Self {
            random: random.clone(),
            deployment: Deployment::new(mode, settings, &inner, instances),
            inner,
            script,
            clients: (0..clients).map(|_| Client::default()).collect(),
            began: Instant::now(),
            forgot: false,
            tell,
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{}", what());
        }
    }

    async fn step(&mut self) {
        let who = self.random.within(0..self.clients.len() as u64) as usize;
        match self.random.within(0..100) {
            0..3 if self.script.may_be_forgotten() => self.forget(),
            3..15 => self.pause().await,
            15..45 => self.speak(),
            45..55 => settle().await,
            _ if self.clients[who].is_done => {}
            _ if self.clients[who].connection.is_none() => self.connect(who).await,
            55..70 => self.cut(who),
            70..85 => {
                self.tell(|| format!("{who} polls"));
                (0..self.random.within(1..6)).for_each(|_| self.poll(who));
            }
            _ => self.read(who).await,
        }
    }

    fn forget(&mut self) {
        self.tell(|| "all is forgotten".to_owned());
        self.forgot = true;
        self.deployment.forget();
    }

    async fn pause(&mut self) {
        let longest = if matches!(*self.script, Script::Spoken(_)) { 25_000 } else { 1_500 };
        let pause = Duration::from_millis(self.random.pick(&[1, 60, 700, longest]));
        self.tell(|| format!("pause {pause:?}"));
        sleep(pause).await;
    }

    /// Some call says some of what it has to say.
    fn speak(&mut self) {
        let calls = self.inner.calls();
        if calls > 0 {
            let call = self.random.within(0..calls as u64) as usize;
            let pieces = self.random.pick(&[1, 2, 5, 1000]);
            self.tell(|| format!("call {call} says {pieces} pieces"));
            self.inner.say(call, pieces);
        }
    }

    fn poll(&mut self, who: usize) {
        if let Some(connection) = &mut self.clients[who].connection {
            let poll = catch_unwind(AssertUnwindSafe(|| connection.poll(Waker::noop())));
            if poll.is_err() {
                connection.end = End::Broken("a panic".to_owned());
            }
        }
        self.take_end(who);
    }

    async fn read(&mut self, who: usize) {
        let wait = Duration::from_millis(self.random.pick(&[0, 1, 60]));
        self.tell(|| format!("{who} reads for {wait:?}"));
        self.read_for(who, wait).await;
    }

    async fn read_for(&mut self, who: usize, wait: Duration) {
        if let Some(connection) = &mut self.clients[who].connection {
            let read = timeout(wait, AssertUnwindSafe(connection.read_to_end()).catch_unwind());
            if let Ok(Err(_)) = read.await {
                connection.end = End::Broken("a panic".to_owned());
            }
        }
        self.take_end(who);
    }

    /// The response has ended: all of it is kept.
    fn take_end(&mut self, who: usize) {
        let Some(connection) = &self.clients[who].connection else { return };
        if connection.end == End::Open {
            return;
        }
        let (end, kept) = (connection.end.clone(), connection.received.len());
        let place = self.close(who, kept);
        let has_all = self.is_done(place) || place.next.is_none() || place.is_told;
        assert!(end != End::Clean || has_all, "a clean end at {place:?}");
        self.clients[who].is_done = end == End::Clean || self.is_done(place);
    }

    fn cut(&mut self, who: usize) {
        let Some(connection) = &self.clients[who].connection else { return };
        let length = connection.received.len();
        let part = self.random.within(0..length as u64 + 1) as usize;
        let kept = if self.random.one_in(2) { length } else { part };
        self.close(who, kept);
    }

    fn close(&mut self, who: usize, kept: usize) -> Place {
        if let (true, Some(connection)) = (self.tell, &self.clients[who].connection) {
            let received = connection.received.escape_ascii();
            println!("{who} keeps {kept} of {received} end {:?}", connection.end);
        }
        let mode = self.deployment.mode;
        let place = self.clients[who].close(mode, kept, &*self.script);
        let client = &self.clients[who];
        let id = client.last_event_id.escape_ascii();
        self.tell(|| format!("{who} is at {place:?}, and at {:?} by {id}", client.place));
        place
    }

    async fn connect(&mut self, who: usize) {
        if self.deployment.mode.is_mirrored() {
            // What was just begun is on its way to the store.
            sleep(Duration::from_millis(200)).await;
        }
        let id = self.clients[who].resume_from();
        let instance = self.random.within(0..self.deployment.instances() as u64) as usize;
        let request = self.deployment.mode.request(&id);
        self.tell(|| format!("{who} connects to {instance} with {}", id.escape_ascii()));
        let service = self.deployment.instance(instance);
        let call = timeout(PATIENCE, AssertUnwindSafe(service.oneshot(request)).catch_unwind());
        let response = match call.await {
            Ok(Ok(Ok(response))) => response,
            other => {
                let why = other.map(|it| it.map(|it| it.map(drop)).map_err(drop));
                self.tell(|| format!("{who} gets no response: {why:?}"));
                return;
            }
        };
        self.tell(|| format!("{who} gets {} {:?}", response.status(), response.headers()));
        match response.status() {
            StatusCode::OK => self.opened(who, response),
            StatusCode::NO_CONTENT => {
                let place = self.clients[who].place;
                assert!(self.is_done(place), "204 at {place:?}");
                self.clients[who].is_done = true;
            }
            StatusCode::SERVICE_UNAVAILABLE if matches!(*self.script, Script::Spoken(_)) => {}
            other => panic!("an answer with status {other}"),
        }
    }

    fn opened(&mut self, who: usize, response: Response<Erased>) {
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        let answer = header("sse-resume").unwrap_or("off").to_owned();
        let start = header("sse-resume-from").and_then(position);
        let (was, had) = (self.clients[who].place, self.clients[who].token());
        let goes_on = match (&had, &start) {
            (Some(had), Some((token, _))) => had == token,
            _ => matches!(&*answer, "replay" | "gap" | "takeover"),
        };
        // The end was delivered: the inner service is called as without the layer. Where it cannot be told from where, its
        // client is told so. One that does not know where it is may have all.
        let has_all = self.is_done(was) && !was.is_told;
        assert!(answer != "forwarded" || has_all || was.next.is_none() || was.is_told);
        if !goes_on && has_all {
            self.clients[who].is_done = true;
            return;
        }
        // Where no payload is kept, a stream may go back to before where some client is.
        let goes_back = matches!(self.deployment.mode, Mode::IdsOnly | Mode::ShareIdsOnly);
        let is_remembered = self.began.elapsed() < REMEMBERED && !self.forgot && !goes_back;
        assert!(
            goes_on || had.is_none() || start.is_none() || !is_remembered || answer == "forwarded",
            "a stream that is known is begun anew: {answer}"
        );
        let client = &mut self.clients[who];
        match &*self.script {
            Script::Formless { .. } if !goes_on => {
                let next = start.filter(|_| self.deployment.mode.assigns()).map_or(0, |it| it.1);
                client.place = Place { next: Some(next), ..Place::default() };
            }
            Script::Formless { .. } => {
                // The preset takes events without data for none, and counts those that it passes on.
                let mode = self.deployment.mode;
                let offset = start.filter(|_| mode.assigns() && !mode.is_mcp()).map(|it| it.1);
                let same = offset.is_none() || was.next.is_none() || was.next == offset;
                assert!(same, "goes on at {offset:?}, not at {was:?}");
            }
            Script::Spoken(spoken) => {
                // What a service that is called as without the layer says again, it says.
                let again = spoken.may_repeat() && !goes_on;
                client.place.is_told |= again && was.next.is_some();
            }
        }
        client.connection = Some(Connection::new(response));
        self.poll(who);
    }

    fn is_done(&self, place: Place) -> bool {
        place.next.is_some_and(|next| self.script.is_all(next.max(place.had)))
    }

    /// Nothing goes wrong any more: each client gets all that it has not.
    async fn let_all_come(&mut self) {
        self.tell(|| "calm".to_owned());
        self.inner.be_well();
        for who in 0..self.clients.len() {
            let began = Instant::now();
            while !self.clients[who].is_done {
                let place = self.clients[who].place;
                assert!(
                    began.elapsed() < PATIENCE * 30,
                    "{who} does not get what follows {place:?}"
                );
                if self.clients[who].connection.is_none() {
                    sleep(Duration::from_secs(1)).await;
                    self.connect(who).await;
                }
                self.wait_for_all(who).await;
            }
        }
    }

    /// A client waits for what it lacks, but not for ever.
    async fn wait_for_all(&mut self, who: usize) {
        let began = Instant::now();
        while self.clients[who].connection.is_some() {
            self.inner.say_all();
            self.read_for(who, Duration::from_secs(3)).await;
            let place = self.clients[who].place_now(self.deployment.mode, &*self.script);
            let has_all = self.is_done(place);
            if has_all {
                // Perhaps more comes, which must not.
                self.read_for(who, Duration::from_secs(1)).await;
            }
            if has_all || began.elapsed() > PATIENCE {
                let connection = self.clients[who].connection.as_ref();
                let kept = connection.map_or(0, |it| it.received.len());
                self.close(who, kept);
                self.clients[who].is_done |= has_all;
            }
        }
    }
}
