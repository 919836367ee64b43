//! What a response says just before it ends with an error reaches its client over real connections: servers drop what
//! they have not written when a body fails.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower_sse_resume::SseResumeLayer;

/// Two events, and then the body fails at once.
async fn fails() -> Response {
    let said = [Ok("data: 1\n\ndata: 2\n\n"), Err(std::io::Error::other("the end"))];
    let body = Body::from_stream(stream::iter(said));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let layer = SseResumeLayer::new().methods([Method::GET, Method::POST]);
    let app = Router::new().route("/", any(fails)).layer(layer);
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// All that arrives of a response, and whether it has a clean end.
async fn read(request: Request<Empty<Bytes>>, http2: bool) -> (String, bool) {
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let mut body = client.request(request).await.expect("the head arrives").into_body();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (String::from_utf8(all).unwrap(), false) };
        all.extend_from_slice(&frame.into_data().unwrap());
    }
    (String::from_utf8(all).unwrap(), true)
}

async fn events_and_gap_come_before_the_error(http2: bool) {
    let address = serve().await;
    for _ in 0..20 {
        let request = Request::post(format!("http://{address}/")).body(Empty::new()).unwrap();
        let (first, is_clean) = read(request, http2).await;
        assert!(first.ends_with(".2\n\n") && !is_clean, "{first:?}");
        let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let request = Request::get(format!("http://{address}/")).header("last-event-id", id);
        let (second, is_clean) = read(request.body(Empty::new()).unwrap(), http2).await;
        assert!(second.starts_with("data: 2\n"), "{second:?}");
        assert!(second.contains("producer-lost") && !is_clean, "{second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_and_the_gap_before_an_error_arrive_over_http1() {
    events_and_gap_come_before_the_error(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_and_the_gap_before_an_error_arrive_over_http2() {
    events_and_gap_come_before_the_error(true).await;
}
