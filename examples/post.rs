//! An answer that is streamed to a POST, as language models give it: who is cut off gets the rest with a GET.
//!
//! ```text
//! cargo run --example post
//! curl -N http://127.0.0.1:3000/answers -d 'Where were we?'
//! curl -N http://127.0.0.1:3000/answers -H 'Last-Event-ID: <the last id that you saw>'
//! ```

use std::{convert::Infallible, env, time::Duration};

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::post;
use futures_util::stream::{Stream, StreamExt, iter};
use http::Method;
use tokio::{net::TcpListener, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse_resume::{OnFinished, SseResumeLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let resumable = SseResumeLayer::new()
        .methods([Method::GET, Method::POST]) // the GET is the one that comes back
        .on_finished(OnFinished::NoContent); // an answer ends once
    let app = Router::new().route("/answers", post(answer)).layer(resumable);

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/answers", listener.local_addr()?);
    axum::serve(listener, app).await
}

async fn answer(question: String) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let words = question.split(' ').map(|word| Event::default().data(word)).collect::<Vec<_>>();
    let pace = IntervalStream::new(interval(Duration::from_millis(200)));
    Sse::new(pace.zip(iter(words)).map(|(_, word)| Ok(word)))
}
