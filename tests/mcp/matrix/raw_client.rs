//! A client that does what the specification asks and shows every byte of its event streams.
//!
//! Beside what all clients tell: `{"head": {"last-event-id": …, "status": …, HEADER: …}}` for each response of the
//! stream, and `{"frame": TEXT}` for each frame in it.

use std::future::pending;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value, json};

use super::client::{Out, Task, Tool};
use super::frame::Frame;

/// The version that is asked for.
const VERSION: &str = "2025-11-25";
/// No test cuts as often; a client that comes back for ever gets nothing new.
const MOST_RETURNS: usize = 20;

struct RawClient {
    http: Http<HttpConnector, Full<Bytes>>,
    url: String,
    session: Option<String>,
    out: Out,
}

pub(crate) async fn run(task: Task, out: Out) {
    let http = Http::builder(TokioExecutor::new()).build_http();
    let mut client = RawClient { http, url: task.url.clone(), session: None, out };
    client.initialize().await;
    let call = call(&task);
    match task.tool {
        Tool::Count => {
            let standalone = client.unheard();
            tokio::select! {
                () = client.stream(Method::POST, Some(call), |message| message["id"] == 2) => {}
                () = standalone.stand() => {}
            }
        }
        Tool::Subscribe => {
            let ends = |message: &Value| {
                message["params"]["uri"].as_str().is_some_and(|uri| uri.ends_with("/end"))
            };
            tokio::join!(client.stream(Method::GET, None, ends), async {
                let answer = client.answer(call).await;
                client.tell(&answer);
            });
        }
    }
    client.answer(json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).await;
    client.out.say(json!({"pong": true}));
    let deleted = client.send(Method::DELETE, None, None).await;
    drop(deleted);
}

impl RawClient {
    /// The same client, and nobody listens to what it tells.
    fn unheard(&self) -> Self {
        let Self { http, url, session, .. } = self;
        Self { http: http.clone(), url: url.clone(), session: session.clone(), out: Out::nowhere() }
    }

    /// Keeps the standalone stream open for ever, if there is one.
    async fn stand(&self) {
        self.stream(Method::GET, None, |_| false).await;
        pending::<()>().await;
    }

    async fn initialize(&mut self) {
        let params = json!({
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1.0.0"},
        });
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let response = self.send(Method::POST, Some(&message), None).await;
        let session = response.headers().get("mcp-session-id");
        self.session = session.map(|session| session.to_str().expect("ASCII").to_owned());
        let answer = answer_in(response).await;
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = self.send(Method::POST, Some(&initialized), None).await;
        assert_eq!(accepted.status(), 202);
        self.out.say(json!({"connected": answer["result"]["protocolVersion"]}));
    }

    async fn answer(&self, message: Value) -> Value {
        answer_in(self.send(Method::POST, Some(&message), None).await).await
    }

    /// Reads a stream to the message that ends it, and comes back to it as often as it breaks off.
    async fn stream(&self, method: Method, message: Option<Value>, ends: impl Fn(&Value) -> bool) {
        let mut position: Option<String> = None;
        let mut response = self.try_send(method, message.as_ref(), None).await;
        for _ in 0..MOST_RETURNS {
            if let Ok(response) = response {
                self.tell_head(&response, position.as_deref());
                if !response.status().is_success() {
                    return;
                }
                if self.read(response, &mut position, &ends).await {
                    return self.return_after_the_end(position.as_deref()).await;
                }
            }
            if position.is_none() && message.is_some() {
                return self.out.say(json!({"error": "broken off without a position"}));
            }
            response = self.try_send(Method::GET, None, position.as_deref()).await;
        }
        self.out.say(json!({"error": "came back too often"}));
    }

    /// Whether the message came that ends the stream.
    async fn read(
        &self,
        response: Response<Incoming>,
        position: &mut Option<String>,
        ends: impl Fn(&Value) -> bool,
    ) -> bool {
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(Ok(part)) = body.frame().await {
            bytes.extend_from_slice(&part.into_data().unwrap_or_default());
            while let Some(frame) = Frame::take(&mut bytes) {
                self.out.say(json!({"frame": frame.text}));
                *position = frame.id().or(position.take());
                let Some(message) = frame.message() else { continue };
                self.tell(&message);
                if ends(&message) {
                    return true;
                }
            }
        }
        false
    }

    /// A client whose last response broke off behind the last event does not know that it was the last.
    async fn return_after_the_end(&self, position: Option<&str>) {
        if let Some(position) = position {
            let response = self.send(Method::GET, None, Some(position)).await;
            self.tell_head(&response, Some(position));
        }
    }

    fn tell(&self, message: &Value) {
        if let Some(progress) = message["params"].get("progress") {
            assert!(progress.is_number());
            self.out.say(json!({"progress": message["params"]["message"]}));
        } else if let Some(uri) = message["params"].get("uri") {
            self.out.say(json!({"updated": uri}));
        } else if let Some(content) = message["result"].get("content") {
            self.out.say(json!({"result": content[0]["text"]}));
        } else {
            self.out.say(json!({"error": message}));
        }
    }

    fn tell_head(&self, response: &Response<Incoming>, position: Option<&str>) {
        let mut head: Map<_, _> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().expect("ASCII"))))
            .collect();
        head.insert("status".to_owned(), json!(response.status().as_u16()));
        head.insert("last-event-id".to_owned(), json!(position));
        self.out.say(json!({"head": head}));
    }

    async fn send(
        &self,
        method: Method,
        message: Option<&Value>,
        position: Option<&str>,
    ) -> Response<Incoming> {
        self.try_send(method, message, position).await.expect("a response")
    }

    async fn try_send(
        &self,
        method: Method,
        message: Option<&Value>,
        position: Option<&str>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(&self.url)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        if message.is_none_or(|message| message["method"] != "initialize") {
            request = request.header("mcp-protocol-version", VERSION);
        }
        if let Some(position) = position {
            request = request.header("last-event-id", position);
        }
        let body = message.map(Value::to_string).unwrap_or_default();
        self.http.request(request.body(Full::from(body)).expect("a request")).await
    }
}

fn call(task: &Task) -> Value {
    let arguments = json!({"run": task.run, "to": task.to});
    let meta = json!({"progressToken": "token"});
    let params = json!({"name": task.tool.name(), "arguments": arguments, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
}

/// The response in a body, which is JSON or an event stream.
async fn answer_in(response: Response<Incoming>) -> Value {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let mut bytes = body.to_vec();
    let mut messages = std::iter::from_fn(|| Frame::take(&mut bytes)).filter_map(|f| f.message());
    messages.find(|message| message.get("id").is_some()).unwrap_or_else(|| {
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("no answer in {body:?}"))
    })
}
