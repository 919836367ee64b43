//! A compression layer outside: what it compresses is what the layer made, so that events are still sent one by one, and
//! can be resumed.

use http::{Method, Request, Response};
use http_body::Body;
use support::app::with;
use support::{Client, Scripted, request};
use tower::{Layer, Service};
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{CompressionBody, CompressionLayer};
use tower_http::decompression::{DecompressionBody, DecompressionLayer};
use tower_sse_resume::{ResumeBody, SseResumeLayer};

type Compressed = CompressionBody<ResumeBody<support::scripted::FedBody>>;

fn gzip(last_event_id: &str) -> Request<()> {
    with(request(Method::GET, last_event_id), "accept-encoding", "gzip")
}

/// By default `CompressionLayer` leaves event streams alone.
fn compresses_all() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(0))
}

/// The response as a client sees it that decompresses.
async fn get<S>(service: &mut S, last_event_id: &str) -> Client<DecompressionBody<Compressed>>
where
    S: Service<Request<()>, Response = Response<Compressed>> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut service = DecompressionLayer::new().layer(service.clone());
    Client::new(service.call(gzip(last_event_id)).await.unwrap())
}

#[tokio::test]
async fn events_pass_a_compression_layer_outside_one_by_one_and_are_resumed() {
    let inner = Scripted::new();
    let mut service = compresses_all().layer(SseResumeLayer::new().layer(inner.clone()));
    let mut client = get(&mut service, "").await;
    for n in ["1", "2", "3"] {
        inner.body(0).send(format!("data: {n}\n\n"));
        client.read();
        assert_eq!(client.data().last().map(String::as_str), Some(n), "it is flushed");
    }
    let id = client.last_event_id();
    drop(client);
    inner.body(0).send("data: 4\n\n");
    let mut client = get(&mut service, &id).await;
    client.read_events(1).await;
    inner.body(0).send("data: 5\n\n");
    inner.body(0).end();
    client.read_to_end().await;
    assert_eq!(client.header("sse-resume"), Some("replay"));
    assert_eq!((client.data(), client.end), (vec!["4".into(), "5".into()], support::End::Clean));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn first_and_resumed_responses_are_compressed_alike() {
    let inner = Scripted::new();
    let mut service = compresses_all().layer(SseResumeLayer::new().layer(inner.clone()));
    let first = service.call(gzip("")).await.unwrap();
    let id = first.headers()["sse-resume-from"].to_str().unwrap().to_owned();
    let second = service.call(gzip(&id)).await.unwrap();
    for response in [first, second] {
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert!(response.body().size_hint().exact().is_none());
    }
}

#[tokio::test]
async fn with_its_defaults_a_compression_layer_leaves_event_streams_alone() {
    let inner = Scripted::new();
    let mut service = CompressionLayer::new().layer(SseResumeLayer::new().layer(inner.clone()));
    let mut client = Client::new(service.call(gzip("")).await.unwrap());
    inner.body(0).send("data: 1\n\n");
    client.read();
    assert_eq!((client.header("content-encoding"), client.data()), (None, vec!["1".into()]));
}
