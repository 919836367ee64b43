//! Sessions with a state: `POST` begins one, each `GET` is counted, and `DELETE` ends it with its event streams.

use std::{convert::Infallible, env};

use axum::http::{StatusCode, header::SET_COOKIE};
use axum::response::{IntoResponse, sse::Event, sse::Sse};
use axum::{Extension, Router, routing::get};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{SessionAccess, SessionHandle, Sessions, SseResumeLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let sessions = Sessions::new(MemoryStore::new());
    let layer = SseResumeLayer::new().session_cookie("sid").sessions(sessions);
    let routes = get(visit).post(begin).delete(end).layer(layer);
    let listener = TcpListener::bind(env::args().nth(1).unwrap_or("127.0.0.1:3000".into())).await?;
    println!("http://{}/events", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/events", routes)).await
}

async fn begin(sessions: Extension<SessionAccess>) -> Result<impl IntoResponse, StatusCode> {
    let session = sessions.create("").await.or(Err(StatusCode::SERVICE_UNAVAILABLE))?;
    Ok([(SET_COOKIE, format!("sid={}; HttpOnly", session.name()))])
}

async fn visit(session: Extension<SessionHandle>) -> Result<impl IntoResponse, StatusCode> {
    let before = session.get("visits").await.or(Err(StatusCode::UNAUTHORIZED))?.unwrap_or_default();
    let visits = String::from_utf8_lossy(&before).parse().unwrap_or(0) + 1;
    session.set("visits", visits.to_string()).await.or(Err(StatusCode::UNAUTHORIZED))?;
    let event = Event::default().data(format!("visit {visits}"));
    Ok(Sse::new(stream::iter([Ok::<_, Infallible>(event)]).chain(stream::pending())))
}

async fn end(session: Extension<SessionHandle>) -> Result<(), StatusCode> {
    session.end().await.map(drop).or(Err(StatusCode::SERVICE_UNAVAILABLE))
}
