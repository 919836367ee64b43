//! A feed with event IDs of its own that its clients read: they stay as they are.
//!
//! ```text
//! cargo run --example preserve
//! curl -N http://127.0.0.1:3000/prices
//! curl -N http://127.0.0.1:3000/prices -H 'Last-Event-ID: 3'    # 4, 5, 6 …
//! ```

use std::{convert::Infallible, env, time::Duration};

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse_resume::{EventIds, SseResumeLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // IDs such as `3` say nothing of whose they are: a shared key, an owner or a session does.
    let resumable = SseResumeLayer::new()
        .event_ids(EventIds::Preserve)
        .share(|parts| Some(parts.uri.path().to_owned()));
    let app = Router::new().route("/prices", get(prices)).layer(resumable);

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/prices", listener.local_addr()?);
    axum::serve(listener, app).await
}

async fn prices() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(interval(Duration::from_millis(200))).enumerate();
    let price =
        |n: usize| Event::default().id((n + 1).to_string()).data(format!("{}.99", 100 + n % 7));
    Sse::new(ticks.map(move |(n, _)| Ok(price(n))))
}
