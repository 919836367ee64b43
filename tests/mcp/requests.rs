//! The bodies of requests: they pass, and the call's JSON-RPC id is learnt from them. (Requirement 18.)

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, Service};
use tower_sse_resume::{Retention, SseResumeLayer};

use crate::app::{Ask, Mcp, event, note, result, text};
use crate::{all, read_messages};
use support::client::{End, settle};
use support::scripted::Feed;

/// A server that notes what of a request's body comes when, and answers at its end.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<String>>>);

impl Noting {
    fn noted(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl<B> Service<Request<B>> for Noting
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: ToString,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let noted = Arc::clone(&self.0);
        let note = move |what| noted.lock().unwrap().push(what);
        Box::pin(async move {
            let mut body = Box::pin(request.into_body());
            note(format!("length {:?}", body.size_hint().exact()));
            while let Some(frame) = body.frame().await {
                note(match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => String::from_utf8_lossy(&data).into_owned(),
                        Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
                    },
                    Err(error) => error.to_string(),
                });
            }
            Ok(Response::new(Full::default()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_request_passes_piece_by_piece_as_it_comes() {
    let server = Noting::default();
    let mut service = SseResumeLayer::mcp().layer(server.clone());
    let feed = Feed::default();
    let answer = tokio::spawn(service.call(Ask::post("").request_with(feed.reading_end())));
    let pieces = ["{\"jsonrpc\":\"2.0\",\"id\"", ":1,\"method\":", "", "\"tools/call\"}", " \n"];
    let mut expected = vec!["length None".to_owned()];
    for piece in pieces {
        feed.send(piece);
        settle().await;
        expected.push(piece.to_owned());
        assert_eq!(server.noted(), expected);
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("checksum", "1".parse().unwrap());
    feed.trailers(trailers.clone());
    feed.end();
    answer.await.unwrap().unwrap();
    expected.push(format!("{trailers:?}"));
    assert_eq!(server.noted(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_breaks_off_for_the_server_too() {
    let server = Noting::default();
    let mut service = SseResumeLayer::mcp().layer(server.clone());
    let feed = Feed::default();
    feed.send("{\"jsonrpc\"");
    feed.fail();
    feed.end();
    service.call(Ask::post("").request_with(feed.reading_end())).await.unwrap();
    assert_eq!(server.noted(), ["length None", "{\"jsonrpc\"", "the inner body broke"]);
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_body_is_known_to_the_server_as_before() {
    let server = Noting::default();
    let mut service = SseResumeLayer::mcp().layer(server.clone());
    service.call(Ask::post("").request_with(Full::new(Bytes::from("{}")))).await.unwrap();
    assert_eq!(server.noted(), ["length Some(2)", "{}"]);
}

#[tokio::test(start_paused = true)]
async fn invalid_json_and_bytes_that_are_no_text_pass_untouched_and_the_server_answers() {
    let bodies: [&[u8]; 7] = [
        b"",
        b"{\"id\":",
        b"[[[[[[[[",
        b"\xff\xfe\x00{\"id\":1}",
        b"{\"id\":1}{\"id\":2}",
        b"}{",
        b"\"\\",
    ];
    for body in bodies {
        let server = Noting::default();
        let mut service = SseResumeLayer::mcp().layer(server.clone());
        let request = Ask::post("").request_with(Full::new(Bytes::from_static(body)));
        service.call(request).await.unwrap();
        assert_eq!(server.noted()[1..].concat(), String::from_utf8_lossy(body));
    }
}

/// The error that the client of a call with this body gets when its answer is lost.
async fn error_for(pieces: impl IntoIterator<Item = Bytes>) -> Vec<Value> {
    let mut app = Mcp::new();
    let feed = Feed::default();
    for piece in pieces {
        feed.send(piece);
    }
    feed.end();
    let mut client = app.send_request(Ask::post("").request_with(feed.reading_end())).await;
    app.say(0, &note(1));
    read_messages(&mut client, 1).await;
    let id = client.last_event_id();
    drop(client);
    app.body(0).fail();
    settle().await;
    let mut client = app.resume(&id).await;
    all(&mut client).await
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_call_is_learnt_wherever_it_stands_and_however_it_is_cut() {
    let tricky = json!({
        "jsonrpc": "2.0",
        "method": "tools/call \"id\":1",
        "params": { "id": 2, "list": [{ "id": 3 }, "\"id\":4", "}"], "\"id": 5, "text": "\\" },
    });
    let tricky = tricky.to_string();
    let behind = format!("{},\"id\":\"it\"}}", tricky.strip_suffix('}').unwrap());
    let before = format!("{{\"id\":\"it\",{}", tricky.strip_prefix('{').unwrap());
    let spaced =
        " {\n \"id\"\t:\r\n \"\\u0069t\" , \"method\" : \"a\", \"jsonrpc\":\"2.0\" } ".to_owned();
    for body in [behind, before, spaced] {
        for piece in [1, 2, 7, usize::MAX] {
            let pieces = body.as_bytes().chunks(piece.min(body.len()));
            let error = error_for(pieces.map(Bytes::copy_from_slice)).await;
            assert_eq!(error.len(), 1, "{body}");
            assert_eq!(error[0]["id"], "it", "{body} in pieces of {piece}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_behind_a_megabyte_of_parameters_is_learnt() {
    let large = "x".repeat(1024 * 1024);
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":{{\"a\":\"{large}\"}},\"id\":7}}"
    );
    let pieces = body.as_bytes().chunks(64 * 1024).map(Bytes::copy_from_slice);
    let error = error_for(pieces).await;
    assert_eq!(error[0]["id"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_number_comes_back_as_it_was_written() {
    for id in ["9007199254740993", "-0", "1.50", "1e3"] {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"a\"}}");
        let mut app = Mcp::new();
        let feed = Feed::default();
        feed.send(body);
        feed.end();
        let mut client = app.send_request(Ask::post("").request_with(feed.reading_end())).await;
        client.settle().await;
        let position = client.last_event_id();
        drop(client);
        app.body(0).fail();
        settle().await;
        let mut client = app.resume(&position).await;
        client.settle().await;
        let spelt = text(&client).replace(": ", ":");
        assert!(
            spelt.contains(&format!("\"id\":{id},")) || spelt.contains(&format!("\"id\":{id}}}")),
            "{spelt}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_whole_when_the_servers_response_ends() {
    let version = "2025-03-26";
    let batch = json!([crate::app::call(1), note(0), crate::app::call(2)]);
    let mut app = Mcp::with(|layer| layer.retention(Retention::new()));
    let mut client = app.send(&Ask::post(batch).version(version)).await;
    app.say(0, &result(1));
    read_messages(&mut client, 1).await;
    let id = client.last_event_id();
    drop(client);
    let back = |id: &str| Ask::get().version(version).after(id);
    let mut client = app.send(&back(&id)).await;
    client.settle().await;
    assert_eq!((client.status, client.end.clone()), (StatusCode::OK, End::Open));
    app.body(0).send(event(&result(2)));
    app.body(0).end();
    assert_eq!(all(&mut client).await, [result(2)]);
    assert_eq!(client.end, End::Clean);
    let client = app.send(&back(&client.last_event_id())).await;
    assert_eq!((client.status, app.calls()), (StatusCode::NO_CONTENT, 1));
}
