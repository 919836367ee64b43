//! An axum application: one line makes its event streams resumable.
//!
//! ```text
//! cargo run --example axum
//! curl -N http://127.0.0.1:3000/events
//! curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: <the last id that you saw>'
//! ```

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
    let app = Router::new().route("/events", get(count)).layer(SseResumeLayer::new());

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/events", listener.local_addr()?);
    axum::serve(listener, app).await
}

/// Counts for this client alone. Whoever comes back goes on where it was, not at zero.
async fn count() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(interval(Duration::from_millis(200)));
    Sse::new(ticks.enumerate().map(|(n, _)| Ok(Event::default().data(n.to_string()))))
}
