//! The layer around a plain hyper service, without a framework.

use std::{convert::Infallible, env, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::{net::TcpListener, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower::{Layer, service_fn};
use tower_sse_resume::SseResumeLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let service = SseResumeLayer::new().layer(service_fn(count));

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/events", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        let builder = Builder::new(TokioExecutor::new());
        tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await });
    }
}

async fn count(
    _: Request<Incoming>,
) -> http::Result<Response<impl Body<Data = Bytes, Error = Infallible>>> {
    let ticks = IntervalStream::new(interval(Duration::from_millis(200))).enumerate();
    let events = ticks.map(|(n, _)| Ok(Frame::data(format!("data: {n}\n\n").into())));
    Response::builder().header("content-type", "text/event-stream").body(StreamBody::new(events))
}
