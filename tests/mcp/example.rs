//! The example: a server of `rmcp` over HTTP, with sessions and without.
//!
//! `cargo test` builds it; `cargo test --test mcp` takes what was built before.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::time::timeout;

use crate::app::{Ask, SESSION, call, initialize};
use crate::rmcp_types::messages;
use support::client::Client;
use support::process::{PATIENCE, Process, example};

/// The example, and a client of it.
struct Served {
    url: String,
    session: Option<String>,
    http: HttpClient<HttpConnector, Full<Bytes>>,
    _process: Process,
}

impl Served {
    async fn start(options: &[&str]) -> Self {
        let mut process = Process::start(example("mcp").arg("127.0.0.1:0").args(options));
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        let url = process.ready().await;
        let mut served = Self { url, session: None, http, _process: process };
        let mut answer = served.send(Ask::post(initialize())).await;
        read_until(&mut answer, |client| !messages(client).is_empty()).await;
        served.session = answer.header(SESSION).map(str::to_owned);
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(served.send(Ask::post(initialized)).await.status, 202);
        served
    }

    async fn send(&self, ask: Ask) -> Client<Incoming> {
        let ask = match &self.session {
            Some(session) => ask.session(session),
            None => ask.without(SESSION),
        };
        let mut request = ask.without("host").request();
        *request.uri_mut() = self.url.parse().unwrap();
        let response = timeout(PATIENCE, self.http.request(request)).await;
        Client::new(response.expect("an answer").unwrap())
    }
}

async fn read_until(client: &mut Client<Incoming>, until: impl FnMut(&Client<Incoming>) -> bool) {
    timeout(PATIENCE, client.read_until(until)).await.expect("it goes on");
}

async fn a_call_outlives_its_connection(options: &[&str]) {
    let served = Served::start(options).await;
    let ask = Ask::post(call(1));
    let mut client = served.send(ask).await;
    assert_eq!(client.headers[CONTENT_TYPE], "text/event-stream");
    read_until(&mut client, |client| !client.last_event_id().is_empty()).await;
    let id = client.last_event_id();
    // This closes the connection.
    drop(client);
    let mut client = served.send(Ask::get().after(id)).await;
    read_until(&mut client, |client| !messages(client).is_empty()).await;
    let [answer] = &*messages(&client) else { panic!("{:?}", client.received) };
    assert_eq!(
        (&answer["id"], &answer["result"]["content"][0]["text"]),
        (&json!(1), &json!("a cake"))
    );
}

#[tokio::test]
async fn a_call_of_the_example_outlives_its_connection() {
    a_call_outlives_its_connection(&[]).await;
}

#[tokio::test]
async fn a_call_of_the_example_without_sessions_outlives_its_connection() {
    a_call_outlives_its_connection(&["stateless"]).await;
}
