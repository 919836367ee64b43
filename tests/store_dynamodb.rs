//! The store in DynamoDB does what a store promises, against a private substitute for the service.

#![allow(unreachable_pub)]

#[path = "stores/restarts.rs"]
mod restarts;
#[path = "stores/server.rs"]
mod server;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use server::Server;
use tower_sse_resume::store::{DynamoDbOptions, DynamoDbStore};

/// The server that most tests share, each with a prefix of its own.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("dynamodb"))
}

fn options(server: &Server) -> DynamoDbOptions {
    DynamoDbOptions::new("test")
        .endpoint(format!("http://127.0.0.1:{}", server.port))
        .credentials("key", "secret")
        .patience(Duration::from_secs(30))
        .poll(Duration::from_millis(20))
}

fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn connected(options: &DynamoDbOptions) -> DynamoDbStore {
    options.clone().connect().await.expect("it connects")
}

fn fresh() -> impl AsyncFn() -> DynamoDbStore {
    let options = options(server()).key_prefix(prefix());
    async move || connected(&options).await
}

tower_sse_resume::store_conformance!(dynamodb_service, fresh());
tower_sse_resume::session_store_conformance!(dynamodb_sessions, fresh());

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_and_comes_back_loses_nothing() {
    let server = Server::start("dynamodb");
    let options = options(&server);
    Box::pin(restarts::survives_restarts(&server, async || connected(&options).await)).await;
}
