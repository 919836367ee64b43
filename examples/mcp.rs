//! A server of the Model Context Protocol, made with `rmcp`: who is cut off while its tool runs gets the result all the
//! same. `stateless` serves without sessions.
//!
//! ```text
//! cargo run --example mcp --features mcp -- 127.0.0.1:3000 [stateless]
//! ```

use std::{env, io, sync::Arc, time::Duration};

use axum::Router;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use tower_sse_resume::SseResumeLayer;

struct Kitchen;

#[tool_router(server_handler)]
impl Kitchen {
    #[tool(description = "Bakes a cake, in three seconds")]
    async fn bake(&self) -> String {
        tokio::time::sleep(Duration::from_secs(3)).await;
        "a cake".to_owned()
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let stateless = env::args().any(|argument| argument == "stateless");
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(!stateless);
    let sessions = Arc::<LocalSessionManager>::default();
    let server = StreamableHttpService::new(|| Ok(Kitchen), sessions, config);
    let app = Router::new().nest_service("/mcp", server).layer(SseResumeLayer::mcp());

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/mcp", listener.local_addr()?);
    axum::serve(listener, app).await
}
