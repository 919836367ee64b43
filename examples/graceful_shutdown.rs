//! A server that stops: its clients are told when to come back, and resume at the next one.
//!
//! Without `drain`, a graceful shutdown waits for event streams that have no end.

use std::{convert::Infallible, env, time::Duration};

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse_resume::SseResumeLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let resumable = SseResumeLayer::new();
    let handle = resumable.handle();
    let app = Router::new().route("/events", get(count)).layer(resumable);

    let stop = async move {
        tokio::signal::ctrl_c().await.expect("signals can be caught");
        // Beside the shutdown, so that nobody comes back to a server that is about to go.
        tokio::spawn(async move { handle.drain(Duration::from_secs(10)).await });
    };
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/events", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn count() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(interval(Duration::from_millis(200)));
    Sse::new(ticks.enumerate().map(|(n, _)| Ok(Event::default().data(n.to_string()))))
}
