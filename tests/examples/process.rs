//! Examples as processes of their own, and clients of them.

use std::env;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use eventsource_stream::{Event, Eventsource};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// No step here takes long; a test that waits for more has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs an example to its end and returns what it printed.
pub(crate) async fn run_to_end(name: &str, arguments: &[&str]) -> String {
    let run = command(name).args(arguments).output();
    let output = timeout(PATIENCE, run).await.expect("it ends by itself").expect(NOT_BUILT);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An example that serves. It is killed when this is dropped.
pub(crate) struct Example {
    url: String,
    child: Child,
}

impl Example {
    /// Starts one on a free port and waits until it is ready.
    pub(crate) async fn start(name: &str) -> Self {
        let mut child = command(name)
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect(NOT_BUILT);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("it ended before it was ready");
        Self { url, child }
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) async fn interrupt(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    }

    pub(crate) async fn ended(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }

    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(&self.url);
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

const NOT_BUILT: &str = "the examples are built by `cargo test`, or by `cargo build --examples`";

/// Cargo puts examples beside the folder of the test executables.
fn command(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    Command::new(PathBuf::from(profile).join("examples").join(name))
}
