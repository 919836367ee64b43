//! The servers, with the layer and without, and what a test tells them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::AbortHandle;
use tower_sse_resume::SseResumeLayer;

use super::counter::Counter;
use super::program::command;
use support::process::Server as Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RmcpStateful,
    RmcpStateless,
    TypeScript,
    /// It has IDs and a history of its own.
    TypeScriptWithEventStore,
    Python,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    With,
    Without,
}

/// After which time rmcp's server has clients come back; as it is they wait for three seconds.
const RETRY: Duration = Duration::from_millis(100);

/// A running server.
pub(crate) struct Server {
    /// Where clients find it: behind the layer, if there is one.
    pub(crate) address: SocketAddr,
    control: SocketAddr,
    _running: Running,
}

#[allow(dead_code, reason = "they are kept so that they run on")]
enum Running {
    Here(AbortHandle),
    Programs(Vec<Process>),
}

impl Server {
    pub(crate) async fn start(kind: Kind, layer: Layer) -> Self {
        match kind {
            Kind::RmcpStateful => Self::rmcp(true, layer).await,
            Kind::RmcpStateless => Self::rmcp(false, layer).await,
            Kind::TypeScript => Self::program(&mut typescript(), layer).await,
            Kind::TypeScriptWithEventStore => {
                Self::program(typescript().arg("event-store"), layer).await
            }
            Kind::Python => Self::program(&mut command("servers/mcp_python.py"), layer).await,
        }
    }

    async fn rmcp(stateful: bool, layer: Layer) -> Self {
        let counter = Counter::default();
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(stateful)
            .with_sse_retry(Some(RETRY));
        let handler = counter.clone();
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.sse_retry = Some(RETRY);
        let service =
            StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(sessions), config);
        let mcp = Router::new().route_service("/mcp", service);
        let mcp = match layer {
            Layer::With => mcp.layer(SseResumeLayer::mcp()),
            Layer::Without => mcp,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let app = counter.control().merge(mcp);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, control: address, _running: Running::Here(serving.abort_handle()) }
    }

    async fn program(program: &mut Command, layer: Layer) -> Self {
        let server = Process::start(program).await;
        let control = server.address;
        if layer == Layer::Without {
            return Self { address: control, control, _running: Running::Programs(vec![server]) };
        }
        let proxy = Process::proxy(control, &["--preset", "mcp"]).await;
        let address = proxy.address;
        Self { address, control, _running: Running::Programs(vec![proxy, server]) }
    }

    /// Lets the tool of this run go on.
    pub(crate) async fn step(&self, run: &str, times: usize) {
        self.ask("POST", &format!("/step?run={run}&times={times}")).await;
    }

    /// Has the server end the response of this run's call before it is answered.
    pub(crate) async fn end(&self, run: &str) {
        self.ask("POST", &format!("/end?run={run}")).await;
    }

    /// Tells what has changed on the sessions' standalone streams.
    pub(crate) async fn announce(&self, run: &str, text: &str) {
        self.ask("POST", &format!("/announce?run={run}&text={text}")).await;
    }

    /// How often the tool started, finished and was cancelled.
    pub(crate) async fn tally(&self, run: &str) -> Value {
        self.ask("GET", &format!("/tally?run={run}")).await
    }

    /// Waits until the tool has finished or was cancelled.
    pub(crate) async fn finished(&self, run: &str) {
        self.ask("GET", &format!("/finished?run={run}")).await;
    }

    async fn ask(&self, method: &str, target: &str) -> Value {
        let mut connection = TcpStream::connect(self.control).await.expect("a connection");
        let request =
            format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("a request");
        let mut response = String::new();
        connection.read_to_string(&mut response).await.expect("a response");
        let json = response.find('{').zip(response.rfind('}'));
        let (start, end) = json.unwrap_or_else(|| panic!("{target}: {response}"));
        serde_json::from_str(&response[start..=end]).expect("JSON")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Here(serving) = self {
            serving.abort();
        }
    }
}

fn typescript() -> Command {
    command("servers/mcp_typescript.cjs")
}
