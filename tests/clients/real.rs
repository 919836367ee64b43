//! Real clients, whose connections are cut, get every event once and in order from real servers through the
//! proxy; without it the same clients do not.
//!
//! Server (`tests/servers`) ← proxy (`examples/proxy`) ← for HTTP/2: TLS (`tests/support/src/tls.rs`) ← cutter
//! (`tests/support/src/cutter.rs`) ← client (`tests/clients`). That takes Node, Python, Chromium, curl and openssl, with
//! some packages: `tests/run` brings them and runs these tests; a plain `cargo test` reports them as ignored.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::cutter::{Cut, Cutter, How};
use support::process::{Process, Server};
use support::tls::TlsTerminator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use Protocol::{Http1, Http2, Http2WithoutTls};

macro_rules! each_event_once {
    ($($test:ident: $client:expr, $protocol:expr, $server:expr;)*) => { $(
        #[tokio::test]
        #[ignore = "needs Node, Python and Chromium: run tests/run"]
        async fn $test() {
            each_event_once($client, $protocol, $server).await;
        }
    )* };
}

each_event_once! {
    a_browser_gets_each_event_once_from_node: BROWSER, Http1, NODE;
    a_browser_gets_each_event_once_from_python: BROWSER, Http1, PYTHON;
    a_browser_gets_each_event_once_over_http2_from_node: BROWSER, Http2, NODE;
    a_browser_gets_each_event_once_over_http2_from_python: BROWSER, Http2, PYTHON;
    eventsource_gets_each_event_once_from_node: EVENTSOURCE, Http1, NODE;
    eventsource_gets_each_event_once_from_python: EVENTSOURCE, Http1, PYTHON;
    eventsource_gets_each_event_once_over_http2_from_node: EVENTSOURCE, Http2, NODE;
    eventsource_gets_each_event_once_over_http2_from_python: EVENTSOURCE, Http2, PYTHON;
    fetch_event_source_gets_each_event_once_from_node: FETCH_EVENT_SOURCE, Http1, NODE;
    fetch_event_source_gets_each_event_once_from_python: FETCH_EVENT_SOURCE, Http1, PYTHON;
    fetch_event_source_gets_each_event_once_over_http2_from_node: FETCH_EVENT_SOURCE, Http2, NODE;
    fetch_event_source_gets_each_event_once_over_http2_from_python: FETCH_EVENT_SOURCE, Http2, PYTHON;
    httpx_sse_gets_each_event_once_from_node: HTTPX_SSE, Http1, NODE;
    httpx_sse_gets_each_event_once_from_python: HTTPX_SSE, Http1, PYTHON;
    httpx_sse_gets_each_event_once_over_http2_from_node: HTTPX_SSE, Http2, NODE;
    httpx_sse_gets_each_event_once_over_http2_from_python: HTTPX_SSE, Http2, PYTHON;
    curl_gets_each_event_once_from_node: CURL, Http1, NODE;
    curl_gets_each_event_once_from_python: CURL, Http1, PYTHON;
    curl_gets_each_event_once_over_http2_from_node: CURL, Http2, NODE;
    curl_gets_each_event_once_over_http2_from_python: CURL, Http2, PYTHON;
    curl_gets_each_event_once_over_http2_without_tls_from_node: CURL, Http2WithoutTls, NODE;
    curl_gets_each_event_once_over_http2_without_tls_from_python: CURL, Http2WithoutTls, PYTHON;
}

async fn each_event_once(client: Client, protocol: Protocol, server: Program) {
    for (seed, variant) in (1..).zip(VARIANTS) {
        let server = serve(server).await;
        let proxy = Server::proxy(server.address, &[]).await;
        let script = script(protocol, seed);
        let way = Way::to(proxy.address, protocol, script.clone()).await;
        let got = way.read(client, &format!("/feed?n={N}&seed={seed}&{variant}")).await;
        let what = format!("{client:?}, {protocol:?}, {variant}");
        assert_each_once(&got, &expected(seed), &what);
        assert_eq!(way.cutter.cuts(), script.len(), "{what}: no cut was left out");
        let stats = stats(&server).await;
        assert_eq!(stats["started"], 1, "{what}: the handler ran once: {stats}");
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn the_same_without_the_layer_loses_events() {
    for client in CLIENTS {
        let server = serve(NODE).await;
        loses_events(client, Http1, &server, server.address).await;
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn the_same_over_http2_without_the_layer_loses_events() {
    for client in CLIENTS {
        let server = serve(NODE).await;
        // It speaks no HTTP/2 itself: the proxy does, and leaves these streams as they are.
        let proxy = Server::proxy(server.address, &["--methods", "POST"]).await;
        loses_events(client, Http2, &server, proxy.address).await;
    }
}

async fn loses_events(client: Client, protocol: Protocol, server: &Server, target: SocketAddr) {
    let script = script(protocol, 1);
    let way = Way::to(target, protocol, script.clone()).await;
    let got = way.read(client, &format!("/feed?n={N}&seed=1")).await;
    let lost = &BTreeSet::from_iter(expected(1)) - &BTreeSet::from_iter(got);
    assert!(lost.len() > script.len(), "{client:?} lost only {lost:?}");
    assert!(stats(server).await["started"].as_u64() > Some(1));
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn what_is_called_http2_here_is_nothing_else() {
    let server = serve(NODE).await;
    let proxy = Server::proxy(server.address, &[]).await;
    let tls = TlsTerminator::start(proxy.address).await;
    for (option, gets_an_answer) in [("--http2", true), ("--http1.1", false), ("--no-alpn", false)]
    {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", option]).arg(format!("https://{}/stats", tls.address));
        let output = curl.output().await.expect("curl");
        assert_eq!(output.status.success(), gets_an_answer, "{option}: {output:?}");
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn the_same_without_cuts_and_layer_gets_each_event_once() {
    for client in CLIENTS {
        for server in [NODE, PYTHON] {
            let server = serve(server).await;
            for (seed, variant) in (1..).zip(VARIANTS) {
                let url = format!("http://{}/ticks?n={N}&seed={seed}&{variant}", server.address);
                let mut got = client.read(&url, Http1, || ()).await;
                got.retain(|(event, data)| event != "message" || !data.is_empty()); // see `comments`
                assert_each_once(&got, &expected(seed), &format!("{client:?}, {variant}"));
            }
        }
    }
}

/// How many events a stream has.
const N: u64 = 100;

/// Streams of every kind that the servers can make: both line endings, with ids and without, and with comments
/// as blocks of their own, at which some clients dispatch an empty event unless the layer joins them to the next.
const VARIANTS: [&str; 2] = ["every_ms=20", "every_ms=20&crlf=1&ids=1&comments=1"];

/// Cuts between events, inside them and before any answer, by FIN and RST. The first one stalls until the client has an
/// event with its ID, and [`Way::read`] then resets it: who has no ID yet would start over.
fn script(protocol: Protocol, seed: u64) -> Vec<Cut> {
    let (mut script, bytes) = match protocol {
        // None is inside a response's head: Chromium takes the half of it for the whole, finds no content type, and
        // gives up for good.
        Http1 | Http2WithoutTls => (
            vec![Cut::after_blank_lines(6, How::Stall), Cut::after_blank_lines(4, How::Fin)],
            800..2000,
        ),
        // The handshake takes the first kilobyte: one is inside it, those after it are anywhere.
        Http2 => {
            let places = [(8_000, How::Stall), (2_500, How::Fin), (500, How::Rst)];
            (places.map(|(n, how)| Cut::after_bytes(n, how)).into(), 1_000..4_000)
        }
    };
    script.push(Cut::after_bytes(0, How::Fin));
    script.extend(Cut::random(seed, 3, bytes));
    script
}

/// An event's type and data.
type Event = (String, String);

fn expected(seed: u64) -> Vec<Event> {
    let event = |i| (if i % 5 == 0 { "tick" } else { "message" }.to_owned(), content(seed, i));
    (1..=N).map(event).chain([("end".to_owned(), N.to_string())]).collect()
}

/// Fails at the first event that is not the expected one, with the few before and after it.
fn assert_each_once(got: &[Event], expected: &[Event], what: &str) {
    let short = |events: &[Event], at: usize| -> Vec<String> {
        let events = events.iter().skip(at.saturating_sub(2)).take(5);
        events
            .map(|(event, data)| format!("{event} {}", data.chars().take(20).collect::<String>()))
            .collect()
    };
    let Some(at) = (0..got.len().max(expected.len())).find(|&at| got.get(at) != expected.get(at))
    else {
        return;
    };
    let (got_here, expected_here) = (short(got, at), short(expected, at));
    panic!(
        "{what}: {} events for {}, wrong from place {at} on\n     got {got_here:#?}\nexpected {expected_here:#?}",
        got.len(),
        expected.len(),
    );
}

/// The data of event `i`: what `content` of `tests/servers` makes.
fn content(seed: u64, i: u64) -> String {
    let words: Vec<_> = include_str!("../servers/words.txt").trim_end().split('\n').collect();
    let mix = |k: u64| {
        let x = (seed * 7919 + i * 104_729 + k * 1_299_709) % 65_521;
        x * x % 65_521
    };
    let line = |l| {
        let word = words[usize::try_from(mix(l + 1)).expect("small") % words.len()];
        let times = if mix(l + 4) % 8 == 0 { 60 } else { 3 };
        format!("{i}.{l}{}", format!(" {word}").repeat(times))
    };
    (0..=mix(0) % 3).map(line).collect::<Vec<_>>().join("\n")
}

/// A program in `tests/servers`.
type Program = &'static str;

const NODE: Program = "servers/node_server.mjs";
const PYTHON: Program = "servers/python_server.py";

/// What a client speaks.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    /// With TLS, as nearly all who speak it want it; nothing else gets an answer.
    Http2,
    /// With prior knowledge.
    Http2WithoutTls,
}

/// What is between a client and its server.
struct Way {
    protocol: Protocol,
    cutter: Cutter,
    _tls: Option<TlsTerminator>,
}

impl Way {
    async fn to(server: SocketAddr, protocol: Protocol, script: Vec<Cut>) -> Self {
        let tls = match protocol {
            Http2 => Some(TlsTerminator::start(server).await),
            Http1 | Http2WithoutTls => None,
        };
        let target = tls.as_ref().map_or(server, |tls| tls.address);
        Self { protocol, cutter: Cutter::start(target, script).await, _tls: tls }
    }

    /// All that the client dispatches. Its first connection is reset once there is something.
    async fn read(&self, client: Client, target: &str) -> Vec<Event> {
        let scheme = if matches!(self.protocol, Http2) { "https" } else { "http" };
        let url = format!("{scheme}://{}{target}", self.cutter.address());
        client.read(&url, self.protocol, || self.cutter.pull_the_cable()).await
    }
}

/// A program in `tests/clients`.
#[derive(Clone, Copy, Debug)]
struct Client(Program);

const BROWSER: Client = Client("clients/browser.cjs");
const EVENTSOURCE: Client = Client("clients/eventsource.cjs");
const FETCH_EVENT_SOURCE: Client = Client("clients/fetch-event-source.cjs");
const HTTPX_SSE: Client = Client("clients/httpx-sse.py");
const CURL: Client = Client("clients/curl.sh");

const CLIENTS: [Client; 5] = [BROWSER, EVENTSOURCE, FETCH_EVENT_SOURCE, HTTPX_SSE, CURL];

impl Client {
    /// All that the client dispatches until it stops by itself.
    async fn read(self, url: &str, protocol: Protocol, at_the_first: impl FnOnce()) -> Vec<Event> {
        let mut command = command(self.0);
        command.arg(url);
        if matches!(protocol, Http2WithoutTls) {
            command.arg("--http2-prior-knowledge");
        }
        let mut process = Process::start(&mut command);
        let mut at_the_first = Some(at_the_first);
        let mut events = Vec::new();
        let all = async {
            while let Some(line) = process.line().await {
                let event: Value = serde_json::from_str(&line).expect("a line of JSON");
                let text = |name: &str| event[name].as_str().expect("a string").to_owned();
                events.push((text("event"), text("data")));
                if let Some(call) = at_the_first.take() {
                    call();
                }
            }
            assert!(process.exit().await.success(), "{self:?} failed");
        };
        let ended = timeout(Duration::from_secs(60), all).await.is_ok();
        assert!(
            ended,
            "{self:?} did not end; it got {} events, at last {:?}",
            events.len(),
            events.last()
        );
        events
    }
}

fn command(program: Program) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(program);
    let mut command = match path.extension().and_then(OsStr::to_str) {
        Some("py") => Command::new(setting("SSE_RESUME_PYTHON")),
        Some("sh") => Command::new("bash"),
        _ => Command::new(setting("SSE_RESUME_NODE")),
    };
    command.arg(path).env("NODE_PATH", setting("SSE_RESUME_NODE_MODULES"));
    command
}

async fn serve(program: Program) -> Server {
    Server::start(&mut command(program)).await
}

async fn stats(server: &Server) -> Value {
    let mut connection = TcpStream::connect(server.address).await.expect("a connection");
    let request = "GET /stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await.expect("a request");
    let mut response = String::new();
    connection.read_to_string(&mut response).await.expect("a response");
    let start = response.find('{').expect("a body of JSON");
    let end = response.rfind('}').expect("a body of JSON");
    serde_json::from_str(&response[start..=end]).expect("JSON")
}

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run these tests with tests/run"))
}
