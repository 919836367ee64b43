//! The inner service: what it says depends on the path, the last event ID, and the seed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;
use tower_sse_resume::StreamHandle;

use super::plan::{Topic, ms};
use super::world::{Call, World};
use support::random::Random;

/// Which request led to a call.
#[derive(Clone, Copy)]
pub(crate) struct RequestNumber(pub(crate) u64);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) world: Arc<World>,
    pub(crate) instance: usize,
}

/// The service failed, without a response.
#[derive(Debug)]
pub(crate) struct Failure;

/// The name and the data of an event. Without IDs each call has its own.
pub(crate) fn event(
    topic: usize,
    has_ids: bool,
    call: usize,
    number: u64,
) -> (&'static str, String) {
    let call = if has_ids { 0 } else { call };
    let mut random = Random::new((topic as u64) << 40 ^ (call as u64) << 20 ^ number);
    let name = random.pick(&["message", "message", "tick"]);
    let mut data = format!("{topic}/{call}/{number}");
    for _ in 0..random.pick(&[0, 0, 1, 3]) {
        data.push('\n');
        data.extend(std::iter::repeat_n('x', random.within(0..40) as usize));
    }
    (name, data)
}

impl Inner {
    fn answer(&self, request: &Request<()>) -> Result<Response<Said>, Failure> {
        let world = &self.world;
        let topic = request.uri().path().trim_start_matches("/topic/").parse::<usize>().unwrap();
        let given = request.headers().get("last-event-id");
        let given = given.map(|id| id.to_str().unwrap().parse::<u64>().unwrap());
        let RequestNumber(number) = *request.extensions().get().unwrap();
        let habits = world.plan.topics[topic].clone();
        let mut random = Random::new(world.plan.seed ^ number << 8 ^ 0x4D);
        let start = match given {
            // It goes on from a checkpoint: so a later call never says what was before the first one of a stream.
            Some(given) if habits.has_ids => given - given % habits.checkpoints + 1,
            _ => 1,
        };
        let call = world.called(Call {
            topic,
            instance: self.instance,
            request: number,
            given,
            start,
            key: None,
            said: 0,
            ended: false,
            claims: 0,
        });
        world.tell(|| format!("inner: call {call} for request {number} at {} of topic {topic} with {given:?}: from {start}", self.instance));
        if !world.is_calm() && random.within(0..1000) < habits.refuses {
            world.tell(|| format!("inner: call {call} is refused"));
            if random.one_in(2) {
                return Err(Failure);
            }
            let mut response = Response::new(Said { body: None });
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response);
        }
        let handle = request.extensions().get::<StreamHandle>().cloned();
        let body = Saying {
            world: Arc::clone(world),
            habits,
            topic,
            call,
            next: start,
            random,
            handle,
            sleep: Box::pin(sleep_until(Instant::now())),
        };
        let mut response = Response::new(Said { body: Some(body) });
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }
}

impl Service<Request<()>> for Inner {
    type Response = Response<Said>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Said>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let inner = self.clone();
        Box::pin(async move {
            if let Some(RequestNumber(number)) = request.extensions().get() {
                let mut random = Random::new(inner.world.plan.seed ^ number << 8 ^ 0x4E);
                if random.one_in(3) {
                    tokio::time::sleep(ms(random.within(1..200))).await;
                }
            }
            inner.answer(&request)
        })
    }
}

/// A response body.
pub(crate) struct Said {
    body: Option<Saying>,
}

struct Saying {
    world: Arc<World>,
    habits: Topic,
    topic: usize,
    call: usize,
    next: u64,
    random: Random,
    handle: Option<StreamHandle>,
    sleep: Pin<Box<Sleep>>,
}

impl Saying {
    fn bind(&mut self) {
        if let Some(id) = self.handle.as_ref().and_then(StreamHandle::id) {
            self.world.binds(self.call, &id.to_string());
            self.handle = None;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.bind();
        ready!(self.sleep.as_mut().poll(cx));
        let Self { habits, random, world, .. } = self;
        let is_calm = world.is_calm();
        let call = self.call;
        if !is_calm && random.within(0..1000) < habits.fails {
            world.tell(|| format!("inner: call {call} fails"));
            return Poll::Ready(Some(Err("the inner body broke".to_owned())));
        }
        if self.next > habits.events || !is_calm && random.within(0..1000) < habits.ends {
            world.tell(|| format!("inner: call {call} ends"));
            world.call(call, |call| call.ended = true);
            return Poll::Ready(None);
        }
        let mut out = String::new();
        let count = if habits.bursts { random.within(1..6) } else { 1 };
        for _ in 0..count.min(habits.events + 1 - self.next) {
            let (name, data) = event(self.topic, habits.has_ids, call, self.next);
            if random.one_in(8) {
                out.push_str(": a comment\n\n");
            }
            if name != "message" {
                out.extend(["event: ", name, "\n"]);
            }
            if habits.has_ids {
                out.extend(["id: ", &self.next.to_string(), "\n"]);
            }
            data.split('\n').for_each(|line| out.extend(["data: ", line, "\n"]));
            out.push('\n');
            self.next += 1;
        }
        let said = self.next;
        world.call(call, |call| call.said = said - call.start);
        world.tell(|| format!("inner: call {call} has said all before {said}"));
        let pause = if random.one_in(4) { 0 } else { habits.pause.as_micros() as u64 };
        let pause = std::time::Duration::from_micros(random.within(0..pause + 1));
        self.sleep.as_mut().reset(Instant::now() + pause);
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        self.bind();
        let call = self.call;
        self.world.tell(|| format!("inner: call {call} is dropped"));
    }
}

impl Body for Said {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        match &mut self.body {
            Some(body) => body.poll(cx),
            None => Poll::Ready(None),
        }
    }
}
