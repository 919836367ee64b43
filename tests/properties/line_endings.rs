//! Arbitrary lines with arbitrary endings in arbitrary pieces: whatever way they take through the layer, a client
//! dispatches what it would have dispatched without it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::iter;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::app::{App, TestClient};
use support::client::{End, settle};
use support::frames::cut;
use support::reference;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{
    EventIds, Persistence, Retention, SseReconnectLayer, SseResumeLayer, StartAt,
};

/// What an event is to a client, less its ID.
type Dispatched = (Vec<u8>, Vec<u8>);

fn dispatched(stream: &[u8]) -> Vec<Dispatched> {
    reference::events(stream).into_iter().map(|event| (event.name, event.data)).collect()
}

/// A stream, and the sizes of the pieces that it comes in.
#[derive(Clone, Debug)]
struct Said {
    stream: Vec<u8>,
    sizes: Vec<usize>,
}

impl Said {
    fn pieces(&self) -> impl Iterator<Item = Bytes> {
        cut(&self.stream, &self.sizes).into_iter().map(Bytes::copy_from_slice)
    }
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        5 => Just(""),
        4 => select(vec!["data: a", "data", "data:b", "data: id: 1", "data: \u{FEFF}"]),
        3 => select(vec!["id: 1", "id", "id:2", "id: a\0b", "id: 3"]),
        2 => select(vec!["event: e", "event", "event:f"]),
        2 => select(vec![": note", ":", "retry: 5", "retry: x", "ids: 1", "other"]),
        2 => select(vec!["\u{FEFF}", "\u{FEFF}data: dead", "\u{FEFF}id: 4", "\u{FEFF}:"]),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let ending = select(vec!["\n", "\n", "\r\n", "\r"]);
    let lines = prop::collection::vec((line(), ending), 0..40);
    let mark = select(vec!["", "", "\u{FEFF}", "\u{FEFF}\u{FEFF}"]);
    let sizes = prop_oneof![Just(vec![usize::MAX]), prop::collection::vec(1..30_usize, 1..5)];
    (mark, lines, sizes).prop_map(|(mark, lines, sizes)| {
        let lines = lines.into_iter().flat_map(|(line, ending)| [line, ending]);
        let stream = [mark].into_iter().chain(lines).collect::<String>().into_bytes();
        Said { stream, sizes }
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(work)
}

/// Everything that is said, and the end, to a client that reads as it comes.
async fn say(app: &App, said: &Said, client: &mut TestClient) {
    for piece in said.pieces() {
        app.body().send(piece);
        client.read();
    }
    settle().await;
    client.read();
}

async fn end(client: &mut TestClient) -> Vec<Dispatched> {
    client.read_to_end().await;
    assert_eq!(client.end, End::Clean);
    dispatched(&client.received)
}

/// The position before the first event of a response.
fn start_of(client: &TestClient) -> String {
    client.header("sse-resume-from").unwrap().to_owned()
}

fn layer(ids: EventIds) -> SseResumeLayer {
    SseResumeLayer::new().event_ids(ids)
}

proptest! {
    #[test]
    fn a_client_of_the_layer_dispatches_what_was_said(said in said(), preserve: bool, ids_only: bool) {
        let expected = dispatched(&said.stream);
        let ids = if preserve { EventIds::Preserve } else { EventIds::Assign };
        let mut layer = layer(ids);
        if ids_only {
            layer = layer.retention(Retention::ids_only());
        }
        let received = run(async {
            let mut app = App::with(layer);
            let mut client = app.get("").await;
            say(&app, &said, &mut client).await;
            app.body().end();
            end(&mut client).await
        });
        prop_assert_eq!(received, expected);
    }

    #[test]
    fn so_does_one_that_comes_back_anywhere(said in said(), preserve: bool, at: Index) {
        let expected = dispatched(&said.stream);
        let ids = if preserve { EventIds::Preserve } else { EventIds::Assign };
        let (all, after, begun) = run(async {
            let mut app = App::with(layer(ids));
            let mut first = app.get("").await;
            let start = start_of(&first);
            say(&app, &said, &mut first).await;
            // A position that was given: not where the ID is one of the inner service, which may be anybody's.
            let given = reference::events(&first.received).into_iter().map(|event| event.last_event_id);
            let given: Vec<_> = given.map(|id| String::from_utf8(id).unwrap()).collect();
            let begun = at.index(given.len() + 1);
            let ours = begun.checked_sub(1).map_or(&start, |last| &given[last]);
            let begun = if ours.starts_with("r1.") { begun } else { 0 };
            let mut second = app.get(if begun == 0 { &start } else { ours }).await;
            let mut third = app.get(&start).await;
            app.body().end();
            (end(&mut third).await, end(&mut second).await, begun)
        });
        prop_assert_eq!(&after[..], &expected[begun..]);
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn so_do_those_who_share_a_stream(said in said(), late: Index) {
        let expected = dispatched(&said.stream);
        let received = run(async {
            let share = SseResumeLayer::new().share(|_| Some("feed".to_owned()));
            let mut app = App::with(share.start_at(StartAt::Earliest));
            let mut clients = vec![app.get("").await];
            let pieces: Vec<_> = said.pieces().collect();
            let late = late.index(pieces.len());
            for (number, piece) in pieces.into_iter().enumerate() {
                app.body().send(piece);
                settle().await;
                if number == late {
                    clients.push(app.get("").await);
                }
                for client in &mut clients {
                    client.read();
                }
            }
            assert_eq!(app.inner.calls(), 1);
            app.body().end();
            let mut received = Vec::new();
            for client in &mut clients {
                received.push(end(client).await);
            }
            received
        });
        for received in received {
            prop_assert_eq!(&received, &expected);
        }
    }

    #[test]
    fn so_does_one_that_reads_it_from_a_store(said in said(), ends_first: bool, at: Index) {
        let expected = dispatched(&said.stream);
        let (received, begun) = run(async {
            let store = MemoryStore::new();
            let instance = || {
                let persistence = Persistence::with_secret(store.clone(), [7; 32]);
                App::with(SseResumeLayer::new().store(persistence))
            };
            let (mut producer, mut other) = (instance(), instance());
            let mut first = producer.get("").await;
            let start = start_of(&first);
            say(&producer, &said, &mut first).await;
            if ends_first {
                producer.body().end();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let events = reference::events(&first.received);
            let begun = at.index(events.len() + 1);
            let id = begun.checked_sub(1).map(|last| events[last].last_event_id.clone());
            let id = id.map_or(start, |id| String::from_utf8(id).unwrap());
            let mut second = other.get(&id).await;
            settle().await;
            second.read();
            producer.body().end();
            first.read_to_end().await;
            assert_eq!(other.inner.calls(), 0);
            (end(&mut second).await, begun)
        });
        prop_assert_eq!(&received[..], &expected[begun..]);
    }

    #[test]
    fn so_does_one_of_a_service_that_the_layer_reconnects_to(said in said(), resends: bool, cut_at: Index) {
        let expected = reference::events(&said.stream);
        let pieces: Vec<_> = said.pieces().map(|piece| Ok(Frame::data(piece))).collect();
        // One that breaks off and says all of it again, to a client that has had nothing with an ID to go on from.
        let broken = Said { stream: said.stream[..cut_at.index(said.stream.len() + 1)].to_vec(), ..said.clone() };
        // What has no position cannot be gone on from.
        let has_ids = broken.stream.windows(2).any(|two| two == b"id");
        let can_resend = resends && !has_ids && reference::events(&broken.stream).is_empty();
        let mut bodies = vec![pieces];
        if can_resend {
            let broken = broken.pieces().map(|piece| Ok(Frame::data(piece)));
            bodies.push(broken.chain([Err("broken off")]).collect());
        }
        let received = run(async {
            let bodies = Arc::new(Mutex::new(bodies));
            let service = service_fn(move |_: Request<Empty<Bytes>>| {
                let body = bodies.lock().unwrap().pop().unwrap();
                let response = Response::builder().header("content-type", "text/event-stream");
                let response = response.body(StreamBody::new(iter(body))).unwrap();
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let request = Request::get("/").header("last-event-id", "start").body(Empty::new());
            let response = SseReconnectLayer::new().layer(service).oneshot(request.unwrap());
            response.await.unwrap().into_body().collect().await.unwrap().to_bytes()
        });
        prop_assert_eq!(reference::events(&received), expected);
    }
}

/// The inner service says this in one piece, and then in single bytes.
fn assert_dispatched(stream: &str, expected: &[(&str, &str)]) {
    let expected: Vec<Dispatched> =
        expected.iter().map(|(name, data)| ((*name).into(), (*data).into())).collect();
    for sizes in [vec![usize::MAX], vec![1], vec![2], vec![3]] {
        let said = Said { stream: stream.as_bytes().to_vec(), sizes };
        assert_eq!(dispatched(&said.stream), expected, "the expectation");
        for ids in [EventIds::Assign, EventIds::Preserve] {
            let received = run(async {
                let mut app = App::with(layer(ids));
                let mut client = app.call(Method::GET, "").await;
                say(&app, &said, &mut client).await;
                app.body().end();
                end(&mut client).await
            });
            assert_eq!(received, expected, "{stream:?} in pieces of {:?}", said.sizes);
        }
    }
}

#[test]
fn a_cut_id_line_does_not_join_a_cr_with_the_lf_of_the_blank_line() {
    assert_dispatched("event: e\rid: 1\n\ndata: x\n\n", &[("message", "x")]);
    assert_dispatched("event: e\rid: 1\rid: 2\n\ndata: x\n\n", &[("message", "x")]);
    assert_dispatched("event: e\rid: 1\r\n\ndata: x\n\n", &[("message", "x")]);
    assert_dispatched("event: e\rid\nid: 1\n\r\ndata: x\n\n", &[("message", "x")]);
    assert_dispatched("data: a\rid: 1\n\ndata: x\n\n", &[("message", "a"), ("message", "x")]);
    assert_dispatched(": c\rid: 1\n\nevent: e\rid\n\n\ndata: x\r\r", &[("message", "x")]);
}
