//! Streams that belong to a user: the layer lies inside authentication and asks it who a request is from.

use std::{convert::Infallible, env, time::Duration};

use axum::http::{StatusCode, request::Parts};
use axum::middleware::{Next, from_fn};
use axum::response::{Response, sse::Event, sse::Sse};
use axum::{Router, extract::Request, routing::get};
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse_resume::SseResumeLayer;

#[derive(Clone)]
struct User(String);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let owner = |parts: &Parts| parts.extensions.get().map(|User(id)| id.clone());
    let events = get(count).layer(SseResumeLayer::new().owner(owner)).layer(from_fn(authenticate));

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/events", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/events", events)).await
}

/// Tokens look like `ada-1`, `ada-2`: a renewed one is of the same user, and resumes the same streams.
async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let token = request.headers().get("authorization").and_then(|token| token.to_str().ok());
    let user = token.and_then(|token| token.split('-').next()).map(str::to_owned);
    request.extensions_mut().insert(User(user.ok_or(StatusCode::UNAUTHORIZED)?));
    Ok(next.run(request).await)
}

async fn count() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(interval(Duration::from_millis(200)));
    Sse::new(ticks.enumerate().map(|(n, _)| Ok(Event::default().data(n.to_string()))))
}
