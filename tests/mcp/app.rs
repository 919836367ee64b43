//! The protocol in process: a server that a test writes by hand, and the requests of its clients.

#![allow(
    clippy::needless_pass_by_value,
    reason = "layers and messages read better without a borrow"
)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::{LayerHandle, McpLayer, SseResumeLayer, StreamHandle};

use support::client::Client;
use support::scripted::{Failure, FedBody, Feed, Scripted};

/// The last version in which streams can be resumed, and the only one that has priming.
pub(crate) const PRIMED: &str = "2025-11-25";
/// The versions before it.
pub(crate) const UNPRIMED: [&str; 2] = ["2025-03-26", "2025-06-18"];
/// The version that removed all of it.
pub(crate) const REMOVED: &str = "2026-07-28";

pub(crate) const VERSION: &str = "mcp-protocol-version";
pub(crate) const SESSION: &str = "mcp-session-id";
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";

type Erased = UnsyncBoxBody<Bytes, String>;
pub(crate) type McpClient = Client<Erased>;

/// A scripted service that reads each request whole before it is called, as MCP servers do.
#[derive(Clone, Default)]
pub(crate) struct McpServer {
    pub(crate) scripted: Scripted,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What there was when the server was called.
#[derive(Clone)]
pub(crate) struct Seen {
    /// The request's body.
    pub(crate) text: String,
    /// Which bodies of calls before it had been let go of.
    pub(crate) dropped: Vec<bool>,
}

impl McpServer {
    pub(crate) fn seen(&self, call: usize) -> Seen {
        self.seen.lock().unwrap()[call].clone()
    }
}

impl<B> Service<Request<B>> for McpServer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Debug,
{
    type Response = Response<FedBody>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut server = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.expect("a body that is whole").to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let calls = 0..server.scripted.calls();
            let dropped = calls.map(|call| server.scripted.body(call).is_dropped()).collect();
            server.seen.lock().unwrap().push(Seen { text, dropped });
            Service::call(&mut server.scripted, Request::from_parts(parts, ())).await
        })
    }
}

/// The preset around such a server.
#[derive(Clone)]
pub(crate) struct Mcp {
    service: BoxCloneSyncService<Request<Erased>, Response<Erased>, Failure>,
    pub(crate) server: McpServer,
    pub(crate) handle: LayerHandle,
}

impl Mcp {
    /// With all defaults.
    pub(crate) fn new() -> Self {
        Self::with(|layer| layer)
    }

    pub(crate) fn with(configure: impl FnOnce(SseResumeLayer) -> SseResumeLayer) -> Self {
        Self::behind(SseResumeLayer::mcp().configure(configure))
    }

    pub(crate) fn behind(layer: McpLayer) -> Self {
        let server = McpServer::default();
        let service = layer.layer(server.clone());
        let service =
            ServiceExt::<Request<Erased>>::map_response(service, |response| response.map(erased));
        Self { service: BoxCloneSyncService::new(service), server, handle: layer.handle() }
    }

    pub(crate) async fn send(&mut self, ask: &Ask) -> McpClient {
        self.send_request(ask.request()).await
    }

    pub(crate) async fn send_request<B>(&mut self, request: Request<B>) -> McpClient
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: ToString,
    {
        let request = request.map(erased);
        Client::new(self.service.call(request).await.expect("a server that does not fail"))
    }

    /// Calls a tool, with this JSON-RPC id.
    pub(crate) async fn call(&mut self, id: impl Into<Value>) -> McpClient {
        self.send(&Ask::call(id)).await
    }

    /// Opens the standalone stream.
    pub(crate) async fn listen(&mut self) -> McpClient {
        self.send(&Ask::get()).await
    }

    pub(crate) async fn resume(&mut self, id: &str) -> McpClient {
        self.send(&Ask::get().after(id)).await
    }

    pub(crate) fn calls(&self) -> usize {
        self.server.scripted.calls()
    }

    /// What the server writes into its answer to the call with this number, from 0.
    pub(crate) fn body(&self, call: usize) -> Feed {
        self.server.scripted.body(call)
    }

    /// Lets the server say a message in its answer to the call with this number.
    pub(crate) fn say(&self, call: usize, message: &Value) {
        self.body(call).send(event(message));
    }

    pub(crate) fn handle_of(&self, call: usize) -> StreamHandle {
        let extensions = self.server.scripted.call(call).extensions;
        extensions.get::<StreamHandle>().expect("a handle for the handler").clone()
    }
}

fn erased<B>(body: B) -> Erased
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: ToString,
{
    body.map_err(|error| error.to_string()).boxed_unsync()
}

/// A request of a client, which has a session and speaks [`PRIMED`] if not said otherwise.
#[derive(Clone)]
pub(crate) struct Ask {
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: String,
}

impl Ask {
    fn new(method: Method, body: String) -> Self {
        let headers = [
            ("host", "mcp.example"),
            ("accept", "application/json, text/event-stream"),
            (VERSION, PRIMED),
            (SESSION, "session-one"),
        ];
        let headers = headers.map(|(name, value)| (name, value.as_bytes().to_vec())).to_vec();
        Self { method, path: "/mcp", headers, body }
    }

    pub(crate) fn get() -> Self {
        Self::new(Method::GET, String::new())
    }

    pub(crate) fn delete() -> Self {
        Self::new(Method::DELETE, String::new())
    }

    pub(crate) fn post(message: impl ToString) -> Self {
        let post = Self::new(Method::POST, message.to_string());
        post.with("content-type", "application/json")
    }

    /// A call of a tool, with this JSON-RPC id.
    pub(crate) fn call(id: impl Into<Value>) -> Self {
        Self::post(call(id))
    }

    pub(crate) fn after(self, id: impl AsRef<[u8]>) -> Self {
        self.with(LAST_EVENT_ID, id)
    }

    /// The same in this version.
    pub(crate) fn version(self, version: &str) -> Self {
        self.with(VERSION, version)
    }

    /// The same of this session.
    pub(crate) fn session(self, session: &str) -> Self {
        self.with(SESSION, session)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self = self.without(name);
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    pub(crate) fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The request, whose body is there as a whole.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        self.request_with(Full::new(Bytes::from(self.body.clone())))
    }

    /// The request with another body.
    pub(crate) fn request_with<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse().unwrap();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        request
    }
}

pub(crate) fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": PRIMED, "capabilities": {}, "clientInfo": { "name": "test", "version": "1" }
    } })
}

pub(crate) fn call(id: impl Into<Value>) -> Value {
    let params = json!({ "name": "bake", "arguments": {}, "_meta": { "progressToken": 1 } });
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params })
}

pub(crate) fn result(id: impl Into<Value>) -> Value {
    let content = json!([{ "type": "text", "text": "a cake" }]);
    json!({ "jsonrpc": "2.0", "id": id.into(), "result": { "content": content } })
}

/// A notification, which bears this number.
pub(crate) fn note(number: u64) -> Value {
    let params = json!({ "progressToken": 1, "progress": number });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

pub(crate) fn cancelled(id: impl Into<Value>) -> Value {
    let params = json!({ "requestId": id.into() });
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
}

pub(crate) fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

/// The JSON-RPC messages that a client got so far: clients skip events without data, and events of other names.
pub(crate) fn messages(client: &McpClient) -> Vec<Value> {
    let events = client.events().into_iter();
    let events = events.filter(|event| event.event == "message" && !event.data.is_empty());
    events.map(|event| serde_json::from_str(&event.data).expect("a message is JSON")).collect()
}

/// How many priming frames there were so far.
pub(crate) fn primings(client: &McpClient) -> usize {
    client.events().iter().filter(|event| event.data.is_empty()).count()
}

/// The blocks of a stream, each without its blank line; what is unfinished comes last.
pub(crate) fn blocks(client: &McpClient) -> Vec<String> {
    String::from_utf8_lossy(&client.received).split("\n\n").map(str::to_owned).collect()
}

pub(crate) fn text(client: &McpClient) -> String {
    String::from_utf8_lossy(&client.received).into_owned()
}
