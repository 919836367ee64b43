//! One feed for everybody: the handler runs once, is recorded once, and every client reads that.

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
    // Who asks for the same path reads the same stream, if the owner is the same, too.
    let shared = SseResumeLayer::new().share(|parts| Some(parts.uri.path().to_owned()));
    let app = Router::new().route("/news", get(news)).layer(shared);

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/news", listener.local_addr()?);
    axum::serve(listener, app).await
}

async fn news() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    eprintln!("the handler was called");
    let ticks = IntervalStream::new(interval(Duration::from_millis(200)));
    Sse::new(ticks.enumerate().map(|(n, _)| Ok(Event::default().data(format!("news {n}")))))
}
