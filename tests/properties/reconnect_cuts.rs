//! `SseReconnectLayer` over an inner service that breaks off anywhere and resends what it likes: the client sees each
//! event once and in order.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{Iter, iter};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use proptest::prelude::*;
use proptest::sample::Index;
use support::reference;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::SseReconnectLayer;

/// What the first request comes with.
const START: &str = "start";

/// One event of the inner service, as it writes it.
#[derive(Clone, Debug)]
struct Written {
    id: Option<String>,
    block: String,
}

/// One response of the inner service that breaks off.
#[derive(Clone, Debug)]
struct Broken {
    /// Where it begins: any event that it could resend.
    from: Index,
    /// Where it breaks off.
    cut: Index,
    /// The sizes of the pieces that it comes in.
    pieces: Vec<usize>,
    mark: bool,
}

fn written(number: usize, kind: u8, ending: &str, has_id: bool) -> Written {
    let id = has_id.then(|| format!("{number}"));
    let id_line = id.iter().map(|id| format!("id: {id}")).collect::<Vec<_>>();
    let data = format!("data: {number}");
    let mut lines = match kind {
        0 => vec![data],
        1 => vec!["event: tick".to_owned(), data, "data".to_owned()],
        2 => vec![": note".to_owned(), data, "other: x".to_owned()],
        3 => vec!["retry: 0".to_owned(), data, "data:  x\u{feff}".to_owned()],
        _ => vec![": alive".to_owned(), String::new(), data],
    };
    let at = if kind % 2 == 0 { lines.len() } else { 0 };
    lines.splice(at..at, id_line);
    let block = lines.join(ending) + ending + ending;
    Written { id, block }
}

fn events() -> impl Strategy<Value = Vec<Written>> {
    let ending = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    let event = (0..5_u8, prop::bool::weighted(0.7));
    (ending, prop::collection::vec(event, 1..30)).prop_map(|(ending, events)| {
        let events = events.into_iter().enumerate();
        events.map(|(number, (kind, has_id))| written(number, kind, ending, has_id)).collect()
    })
}

fn breaks() -> impl Strategy<Value = Vec<Broken>> {
    let pieces = prop::collection::vec(1..40_usize, 1..6);
    let broken = (any::<Index>(), any::<Index>(), pieces, any::<bool>());
    let broken = broken.prop_map(|(from, cut, pieces, mark)| Broken { from, cut, pieces, mark });
    prop::collection::vec(broken, 0..12)
}

/// An inner service that knows its events, and breaks off as it is told.
#[derive(Clone)]
struct Feed {
    events: Arc<Vec<Written>>,
    breaks: Arc<Mutex<VecDeque<Broken>>>,
}

impl Feed {
    /// The events from which on a response after `id` may begin: the next one, or an earlier one that has an ID. One
    /// without cannot be known as a resent one.
    fn beginnings(&self, id: &str) -> Vec<usize> {
        let known = self.events.iter().position(|event| event.id.as_deref() == Some(id));
        assert!(known.is_some() || id == START, "{id}");
        let next = known.map_or(0, |known| known + 1);
        let has_id = |number: &usize| self.events[*number].id.is_some();
        (0..next).filter(has_id).chain([next]).collect()
    }

    fn from(&self, number: usize) -> Vec<u8> {
        self.events[number..].iter().flat_map(|event| event.block.bytes()).collect()
    }

    fn frames(&self, id: &str) -> Vec<Result<Frame<Bytes>, &'static str>> {
        let beginnings = self.beginnings(id);
        let Some(broken) = self.breaks.lock().unwrap().pop_front() else {
            let rest = self.from(beginnings[beginnings.len() - 1]);
            return vec![Ok(Frame::data(rest.into()))];
        };
        let mut text = if broken.mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        text.extend(self.from(*broken.from.get(&beginnings)));
        text.truncate(broken.cut.index(text.len() + 1));
        let mut text = Bytes::from(text);
        let mut frames = Vec::new();
        for size in broken.pieces.iter().cycle() {
            if text.is_empty() {
                break;
            }
            frames.push(Ok(Frame::data(text.split_to((*size).min(text.len())))));
        }
        frames.push(Err("broken off"));
        frames
    }
}

impl Service<Request<Empty<Bytes>>> for Feed {
    type Response =
        Response<StreamBody<Iter<std::vec::IntoIter<Result<Frame<Bytes>, &'static str>>>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let id = request.headers()["last-event-id"].to_str().unwrap();
        let response = Response::builder().header("content-type", "text/event-stream");
        ready(Ok(response.body(StreamBody::new(iter(self.frames(id)))).unwrap()))
    }
}

/// All bytes that a client of this service gets until the clean end.
fn received(feed: Feed) -> Bytes {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let request = Request::get("/").header("last-event-id", START).body(Empty::new()).unwrap();
        let layer = SseReconnectLayer::new().attempts(20);
        let response = layer.layer(feed).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    })
}

proptest! {
    #[test]
    fn each_event_comes_once_and_in_order_wherever_the_inner_body_breaks(
        events in events(),
        breaks in breaks(),
    ) {
        let feed = Feed { events: Arc::new(events), breaks: Arc::new(Mutex::new(breaks.into())) };
        let unbroken = feed.from(0);
        prop_assert_eq!(reference::events(&received(feed)), reference::events(&unbroken));
    }
}
