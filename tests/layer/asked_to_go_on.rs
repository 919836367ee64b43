//! A client that had an ID, and for which the inner service is called: if that is not asked to go on from where the client
//! was, the client is told first, however the answer passes.

use std::time::Duration;

use http::{Method, Request};
use support::app::{App, TestClient, request, with};
use support::client::settle;
use support::event_stream;
use tower_sse_resume::{
    EventIds, Limits, Linger, OnFinished, Retention, SseResumeLayer, StartAt, StreamHandle,
};

/// How the inner service's answer passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// As a stream of the layer.
    Recorded,
    /// The handler opts out of recording.
    OptedOut,
    /// There is no room for a stream.
    NoRoom,
}

use Answer::{NoRoom, OptedOut, Recorded};

/// What a client comes back with, and what becomes of that.
struct Case {
    name: &'static str,
    layer: fn() -> SseResumeLayer,
    /// What the inner service said to the client before; `None`: the client comes from elsewhere.
    said: Option<&'static str>,
    /// How it ended.
    ends: bool,
    /// The request, by the ID that the client had last.
    comes: fn(&str) -> Request<()>,
    /// The ID that the inner service is called with.
    asked: Option<&'static str>,
    /// What the client is told first.
    told: Option<&'static str>,
}

/// An ID of the layer's form that no layer has given; it may embed one of the inner service.
fn forged(inner: &str) -> Request<()> {
    request(Method::GET, &format!("r1.AAAAAAAAAAAAAAAAAAAAAA.1.3{inner}"))
}

fn back(id: &str) -> Request<()> {
    request(Method::GET, id)
}

fn layer() -> SseResumeLayer {
    SseResumeLayer::new().linger(Linger::none())
}

fn ids_only() -> SseResumeLayer {
    layer().retention(Retention::ids_only())
}

fn preserve() -> SseResumeLayer {
    layer().event_ids(EventIds::Preserve).owner(|_| Some("me".to_owned()))
}

fn share() -> SseResumeLayer {
    layer().share(|_| Some("feed".to_owned())).start_at(StartAt::Live)
}

fn query() -> SseResumeLayer {
    layer().last_event_id_query("from")
}

const CASES: [Case; 18] = [
    Case {
        name: "an ID of nobody",
        layer,
        said: None,
        ends: false,
        comes: |_| forged(""),
        asked: None,
        told: Some("unknown"),
    },
    Case {
        name: "an ID of nobody with the inner service's own",
        layer,
        said: None,
        ends: false,
        comes: |_| forged(".7"),
        asked: Some("7"),
        told: None,
    },
    Case {
        name: "a malformed ID",
        layer,
        said: None,
        ends: false,
        comes: |_| request(Method::GET, "r1.x"),
        asked: None,
        told: Some("unknown"),
    },
    Case {
        name: "two IDs of the inner service",
        layer,
        said: None,
        ends: false,
        comes: |_| with(request(Method::GET, "7"), "last-event-id", "8"),
        asked: None,
        told: Some("unknown"),
    },
    Case {
        name: "two IDs in the query, one of them of the layer's form",
        layer: query,
        said: None,
        ends: false,
        comes: |_| Request::get("/events?from=7&from=r1.x").body(()).unwrap(),
        asked: None,
        told: Some("unknown"),
    },
    Case {
        name: "an ID of the inner service",
        layer,
        said: None,
        ends: false,
        comes: |_| request(Method::GET, "7"),
        asked: Some("7"),
        told: None,
    },
    Case {
        name: "an ID of nobody on a shared feed",
        layer: share,
        said: None,
        ends: false,
        comes: |_| forged(""),
        asked: None,
        told: Some("unknown"),
    },
    Case {
        name: "an aborted stream",
        layer,
        said: Some("id: 7\ndata: 1\n\n"),
        ends: false,
        comes: back,
        asked: Some("7"),
        told: None,
    },
    Case {
        name: "an aborted stream without inner IDs",
        layer,
        said: Some("data: 1\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "an aborted stream whose inner ID was taken back",
        layer,
        said: Some("id: 7\ndata: 1\n\nid\ndata: 2\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "an aborted stream with an inner ID that no header can hold",
        layer,
        said: Some("id: a\u{1}\ndata: 1\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "the same where no payload is kept",
        layer: ids_only,
        said: Some("id: a\u{1}\ndata: 1\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "the same where the inner service's IDs stay",
        layer: preserve,
        said: Some("id: a\u{1}\ndata: 1\n\ndata: 2\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "an aborted stream where no payload is kept",
        layer: ids_only,
        said: Some("id: 7\ndata: 1\n\n"),
        ends: false,
        comes: back,
        asked: Some("7"),
        told: None,
    },
    Case {
        name: "an aborted shared feed, by one that was in it",
        layer: share,
        said: Some("data: 1\n\n"),
        ends: false,
        comes: back,
        asked: None,
        told: Some("producer-lost"),
    },
    Case {
        name: "an aborted shared feed, by one that comes from elsewhere",
        layer: share,
        said: Some("id: 7\ndata: 1\n\n"),
        ends: false,
        comes: |_| forged(""),
        asked: Some("7"),
        told: Some("unknown"),
    },
    Case {
        name: "a stream that is over, and was to the end",
        layer,
        said: Some("id: 7\ndata: 1\n\n"),
        ends: true,
        comes: back,
        asked: Some("7"),
        told: None,
    },
    Case {
        name: "the same with an inner ID that no header can hold",
        layer,
        said: Some("id: a\u{1}\ndata: 1\n\n"),
        ends: true,
        comes: back,
        asked: None,
        told: Some("unknown"),
    },
];

/// The ID that a client had last whose stream then broke off, or ended and was delivered to the end.
async fn had(app: &mut App, said: &str, ends: bool) -> String {
    let mut client = app.get("").await;
    app.body().send(said.to_owned());
    settle().await;
    client.read();
    if ends {
        app.body().end();
        client.read_to_end().await;
        let id = client.last_event_id();
        // The first return gets the end.
        app.get(&id).await.read_to_end().await;
        return id;
    }
    app.body().fail();
    client.read_to_end().await;
    client.last_event_id()
}

async fn answered(app: &mut App, request: Request<()>, answer: Answer) -> TestClient {
    if answer != OptedOut {
        return app.send(request).await;
    }
    let (gate, call) = (app.inner.hold_next(event_stream()), app.inner.calls());
    let response = tower::Service::call(&mut app.service, request);
    let response = tokio::spawn(response);
    settle().await;
    let handle = app.inner.call(call).extensions.get::<StreamHandle>().cloned();
    assert!(handle.is_some_and(|handle| handle.do_not_record()));
    gate.open();
    support::Client::new(response.await.unwrap().unwrap())
}

#[tokio::test]
async fn who_is_not_asked_for_what_comes_next_is_told_first() {
    for case in CASES {
        for answer in [Recorded, OptedOut, NoRoom] {
            if answer == NoRoom && case.said.is_some() && !case.ends {
                // The stream is there.
                continue;
            }
            let limits = Limits::new().streams(usize::from(answer != NoRoom || case.ends) * 8);
            let layer = (case.layer)().limits(limits).on_finished(OnFinished::Forward);
            let mut app = App::with(layer);
            let id = match case.said {
                Some(said) => had(&mut app, said, case.ends).await,
                None => String::new(),
            };
            let calls = app.inner.calls();
            let mut client = answered(&mut app, (case.comes)(&id), answer).await;
            let about = format!("{}, {answer:?}", case.name);
            assert_eq!(app.inner.calls(), calls + 1, "{about}");
            assert_eq!(app.inner.call(calls).last_event_id().as_deref(), case.asked, "{about}");
            app.body().send("id: 8\ndata: next\n\n");
            client.read_until(|client| client.data().contains(&"next".to_owned())).await;
            let told = client.gaps();
            assert_eq!(told.len(), usize::from(case.told.is_some()), "{about}: {told:?}");
            if let Some(reason) = case.told {
                assert_eq!(client.events()[0].event, "resume-gap", "{about}");
                assert!(told[0].contains(&format!(r#""reason":"{reason}""#)), "{about}: {told:?}");
            }
            assert_eq!(client.header("content-length"), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_opts_out_tells_of_what_has_expired() {
    let retention = Retention::new().age(Duration::from_secs(10));
    let mut app = App::with(layer().retention(retention));
    let mut other = app.get("").await;
    app.body().send("id: 1\ndata: 1\n\n");
    other.read();
    let id = other.last_event_id();
    app.body().send("id: 2\ndata: 2\n\n");
    other.read();
    tokio::time::sleep(Duration::from_secs(30)).await;
    drop(other);
    // A replay is a gap signal here, so the answer is not passed on before that has reached the client.
    let first = answered(&mut app, back(&id), OptedOut).await;
    assert_eq!(first.header("sse-resume"), Some("takeover"));
    let mut first = first;
    first.read_to_end().await;
    assert!(first.is_broken() && first.gaps()[0].contains("expired"));
    let mut client = answered(&mut app, back(&first.last_event_id()), OptedOut).await;
    app.body().send("data: next\n\n");
    client.read_until(|client| !client.data().is_empty()).await;
    assert_eq!(client.data(), ["next"]);
}

#[tokio::test]
async fn what_is_no_event_stream_has_no_signal_in_it() {
    for id in ["r1.x", "r1.AAAAAAAAAAAAAAAAAAAAAA.1.3"] {
        let mut app = App::new();
        let json = http::Response::builder().header("content-type", "application/json");
        app.inner.answer_next(json.header("content-length", "2").body(()).unwrap());
        let mut client = app.get(id).await;
        app.body().send("{}");
        app.body().end();
        client.read_to_end().await;
        assert_eq!((client.received.as_ref(), client.headers.len()), (&b"{}"[..], 2));
    }
}

#[tokio::test]
async fn after_a_signal_a_byte_order_mark_does_not_hide_the_first_event() {
    let mut app = App::with(SseResumeLayer::new().limits(Limits::new().streams(0)));
    let mut client = app.send(forged("")).await;
    app.body().send("\u{feff}data: 1\n\n");
    client.read();
    assert_eq!(client.data()[1..], ["1"]);
}
