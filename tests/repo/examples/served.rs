//! Examples that run, and clients of them.

use bytes::Bytes;
use eventsource_stream::{Event, Eventsource};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use support::process::{PATIENCE, Process, example};

/// Runs an example to its end and returns what it printed.
pub(crate) async fn run_to_end(name: &str, arguments: &[&str]) -> String {
    let mut command = example(name);
    let run = command.args(arguments).output();
    let output = timeout(PATIENCE, run).await.expect("it ends by itself").unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An example that serves, and says its URL when it is ready.
pub(crate) struct Example {
    url: String,
    pub(crate) process: Process,
}

impl Example {
    /// Starts one on a free port and waits until it is ready.
    pub(crate) async fn start(name: &str) -> Self {
        let mut process = Process::start(example(name).arg("127.0.0.1:0"));
        Self { url: process.ready().await, process }
    }

    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.send(Request::get(&self.url), headers).await
    }

    pub(crate) async fn delete(&self, headers: &[(&str, &str)]) -> Answer {
        self.send(Request::delete(&self.url), headers).await
    }

    async fn send(&self, mut request: Builder, headers: &[(&str, &str)]) -> Answer {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn post(&self, body: &'static str) -> Answer {
        Answer::to(Request::post(&self.url).body(Full::from(body)).unwrap()).await
    }
}

/// A response that is being read. Its connection is closed when this is dropped.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    last_event_id: String,
    events: BoxStream<'static, Event>,
}

impl Answer {
    async fn to(request: Request<Full<Bytes>>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        let events = body.into_data_stream().eventsource();
        Self {
            status: parts.status,
            headers: parts.headers,
            last_event_id: String::new(),
            events: events.filter_map(async |event| event.ok()).boxed(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The data of the next so many events, or of fewer if it ends.
    pub(crate) async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        while data.len() < count {
            match timeout(PATIENCE, self.events.next()).await.expect("there is an event") {
                Some(event) => {
                    self.last_event_id = event.id;
                    data.push(event.data);
                }
                None => break,
            }
        }
        data
    }

    pub(crate) fn last_event_id(&self) -> String {
        self.last_event_id.clone()
    }
}
