//! What the conformance suite of the Model Context Protocol wants of a server, with `rmcp`, bare or behind the layer.
//!
//! `mcp_conformance_server 127.0.0.1:0 [--layer [--max-connection-age MILLISECONDS]]`. What its tools say and ask is
//! in `script.json`.

mod rounds;
mod script;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower_sse_resume::SseResumeLayer;

use crate::server::Conformance;

#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    address: String,
    /// Behind the layer.
    #[arg(long)]
    layer: bool,
    /// How old a connection gets, in milliseconds.
    #[arg(long, requires = "layer")]
    max_connection_age: Option<u64>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let server = Conformance::default();
    let sessions = Arc::<LocalSessionManager>::default();
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let mut app = Router::new().route_service("/mcp", service);
    if arguments.layer {
        let mut layer = SseResumeLayer::mcp();
        if let Some(age) = arguments.max_connection_age {
            let age = Duration::from_millis(age);
            layer = layer.configure(|layer| layer.max_connection_age(age));
        }
        app = app.layer(layer);
    }
    let listener = tokio::net::TcpListener::bind(arguments.address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
