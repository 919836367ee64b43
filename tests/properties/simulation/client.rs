//! A client: it connects somewhere, reads, is cut at some byte, and comes back with its last event ID.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;
use tower_sse_resume::ResumeBody;
use tower_sse_resume::store::{Key, Store};

use super::inner::{RequestNumber, Said};
use super::instance::{Instance, Instances};
use super::model::{Model, Position};
use super::plan::ms;
use support::client::{self as reader, End, Event};
use support::random::Random;

type Response = reader::Client<ResumeBody<Said>>;

/// How long a client that has no reason to leave waits for the head of a response.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    pub(crate) model: Model,
    pub(crate) last_event_id: String,
    pub(crate) instances: Arc<Instances>,
    pub(crate) random: Random,
    pub(crate) requests: u64,
}

impl Client {
    pub(crate) fn new(model: Model, instances: &Arc<Instances>, seed: u64) -> Self {
        let instances = Arc::clone(instances);
        Self {
            model,
            last_event_id: String::new(),
            instances,
            random: Random::new(seed),
            requests: 0,
        }
    }

    /// Another one that goes on from where this one is.
    pub(crate) fn fork(&self, who: usize, seed: u64) -> Self {
        let mut model = self.model.clone();
        model.who = who;
        let (last_event_id, instances) = (self.last_event_id.clone(), Arc::clone(&self.instances));
        Self { model, last_event_id, instances, random: Random::new(seed), requests: 0 }
    }

    /// Comes back until it has everything.
    pub(crate) async fn visit(&mut self) {
        let Some(instance) = self.instances.pick(&mut self.random) else {
            return sleep(ms(50)).await;
        };
        self.connect(&instance).await;
        let away = if self.model.world.is_calm() {
            self.random.pick(&[1, 100])
        } else {
            self.random.pick(&[1, 1, 10, 200, 1500, 8000])
        };
        sleep(Duration::from_micros(self.random.within(0..away * 1000))).await;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.model.is_done()
    }

    async fn connect(&mut self, instance: &Instance) {
        let world = Arc::clone(&self.model.world);
        self.requests += 1;
        let number = (self.model.who as u64) << 32 | self.requests;
        let mut request = Request::new(());
        *request.uri_mut() = format!("/topic/{}", self.model.topic).parse().unwrap();
        request.extensions_mut().insert(RequestNumber(number));
        if !self.last_event_id.is_empty() {
            request.headers_mut().insert("last-event-id", self.last_event_id.parse().unwrap());
        }
        let (who, id) = (self.model.who, self.last_event_id.clone());
        world.tell(|| format!("client {who}: request {number} to {} with {id:?}", instance.number));
        let is_calm = world.is_calm();
        let leaves = !is_calm && self.random.one_in(10);
        let patience = if leaves { ms(self.random.within(1..300)) } else { PATIENCE };
        let Some(mut service) = instance.service() else { return };
        let response = tokio::select! {
            biased;
            () = instance.way.died() => None,
            response = timeout(patience, service.call(request)) => Some(response),
        };
        drop(service);
        let response = match response {
            Some(Ok(Ok(response))) => reader::Client::new(response),
            Some(Err(_)) if !leaves => {
                return self.model.violated(format!("request {number} has no answer"));
            }
            _ => return,
        };
        let answer = response.header("sse-resume").unwrap_or_default().to_owned();
        let from = response.header("sse-resume-from").map(str::to_owned);
        let status = response.status;
        world.tell(|| format!("client {who}: {status} {answer} {from:?}"));
        if status != 200 {
            return;
        }
        let is_first = self.last_event_id.is_empty();
        self.model.begins(number, &answer, from.as_deref(), is_first);
        // Else it would have nothing to come back with until the first event.
        if let (Some(from), true) = (from, is_first) {
            self.last_event_id = from;
        }
        self.read(response, instance).await;
    }

    async fn read(&mut self, mut response: Response, instance: &Instance) {
        let world = Arc::clone(&self.model.world);
        let is_calm = world.is_calm();
        let cut = match self.random.within(0..4) {
            _ if is_calm => usize::MAX,
            0 => usize::MAX,
            1 => self.random.within(0..150) as usize,
            _ => self.random.within(0..3000) as usize,
        };
        let until = if is_calm {
            None
        } else {
            let most = self.random.pick(&[300, 3000, 30_000]);
            let leaves = Instant::now() + ms(self.random.within(0..most));
            Some(leaves.min(world.began + world.plan.calm_at))
        };
        let mut seen = 0;
        while response.end == End::Open && response.received.len() < cut {
            let mut some = std::pin::pin!(poll_fn(|cx| {
                if response.poll(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
            }));
            let went_on = tokio::select! {
                biased;
                () = instance.way.died() => false,
                () = some.as_mut() => true,
                () = until_then(until) => false,
            };
            if !went_on {
                break;
            }
            response.received.truncate(cut);
            if response.received.len() == cut {
                response.end = End::Open;
            }
            self.take(&response, &mut seen).await;
        }
        let (who, end, len) = (self.model.who, &response.end, response.received.len());
        world.tell(|| format!("client {who}: {end:?} after {len} bytes at {}", self.last_event_id));
        if response.end == End::Clean {
            self.model.ends();
        }
    }

    async fn take(&mut self, response: &Response, seen: &mut usize) {
        let events = response.events();
        for event in events.iter().skip(*seen) {
            let who = self.model.who;
            self.model.world.tell(|| format!("client {who}: {event:?}"));
            self.model.takes(event);
            if !event.id.is_empty() {
                self.last_event_id.clone_from(&event.id);
            }
            if self.model.world.plan.commits_first && event.event != "resume-gap" {
                self.is_stored(event).await;
            }
        }
        *seen = events.len();
    }

    /// The store has what the client was sent.
    async fn is_stored(&self, event: &Event) {
        let Some(at) = Position::parse(&event.id) else { return };
        let world = &self.model.world;
        let Some(key) = world.key(&at.token) else { return };
        let record = match world.store.record(&Key::new(key).unwrap()).await {
            Ok(record) => record,
            // What a client had not read yet when it was purged, or expired.
            Err(_) if world.plan.chaos.purges || world.plan.small_retention => return,
            Err(error) => return self.model.violated(format!("{error:?}: {event:?}")),
        };
        let generation = record.generations.iter().rev().find(|known| known.first <= at.offset);
        let is_there = at.offset < record.extent.next;
        if !is_there || generation.is_none_or(|known| known.number != at.generation) {
            self.model.violated(format!("the store does not have {event:?}: {:?}", record.extent));
        }
    }
}

async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
