//! Real clients, whose connections are cut, get every event once and in order from real servers through the
//! proxy; without it the same clients do not.
//!
//! Server (`tests/servers`) ← proxy (`examples/proxy`) ← cutter (`tests/support/cutter.rs`) ← client
//! (`tests/clients`). That takes Node, Python and Chromium with some packages: `tests/run` brings them and runs
//! these tests; a plain `cargo test` reports them as ignored.

mod support;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::cutter::{Cut, Cutter, How};
use support::process::{Process, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

macro_rules! each_event_once {
    ($($test:ident: $client:expr, $server:expr;)*) => { $(
        #[tokio::test]
        #[ignore = "needs Node, Python and Chromium: run tests/run"]
        async fn $test() {
            each_event_once($client, $server).await;
        }
    )* };
}

each_event_once! {
    a_browser_gets_each_event_once_from_node: BROWSER, NODE;
    a_browser_gets_each_event_once_from_python: BROWSER, PYTHON;
    eventsource_gets_each_event_once_from_node: EVENTSOURCE, NODE;
    eventsource_gets_each_event_once_from_python: EVENTSOURCE, PYTHON;
    fetch_event_source_gets_each_event_once_from_node: FETCH_EVENT_SOURCE, NODE;
    fetch_event_source_gets_each_event_once_from_python: FETCH_EVENT_SOURCE, PYTHON;
    httpx_sse_gets_each_event_once_from_node: HTTPX_SSE, NODE;
    httpx_sse_gets_each_event_once_from_python: HTTPX_SSE, PYTHON;
    curl_gets_each_event_once_from_node: CURL, NODE;
    curl_gets_each_event_once_from_python: CURL, PYTHON;
    curl_over_http2_gets_each_event_once_from_node: CURL_HTTP2, NODE;
    curl_over_http2_gets_each_event_once_from_python: CURL_HTTP2, PYTHON;
}

async fn each_event_once(client: Client, server: Program) {
    for (seed, variant) in (1..).zip(VARIANTS) {
        let server = serve(server).await;
        let proxy = Server::proxy(server.address, &[]).await;
        let cutter = Cutter::start(proxy.address, script(seed)).await;
        let got =
            client.read(cutter.address(), &format!("/feed?n={N}&seed={seed}&{variant}")).await;
        assert_each_once(&got, &expected(seed), &format!("{client:?}, {variant}"));
        assert_eq!(cutter.cuts(), script(seed).len(), "{variant}: no cut was left out");
        let stats = stats(&server).await;
        assert_eq!(stats["started"], 1, "{variant}: the handler ran once: {stats}");
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn the_same_without_the_layer_loses_events() {
    for client in [BROWSER, EVENTSOURCE, FETCH_EVENT_SOURCE, HTTPX_SSE, CURL] {
        let server = serve(NODE).await;
        let cutter = Cutter::start(server.address, script(1)).await;
        let got = client.read(cutter.address(), &format!("/feed?n={N}&seed=1")).await;
        let lost = &BTreeSet::from_iter(expected(1)) - &BTreeSet::from_iter(got);
        assert!(lost.len() > script(1).len(), "{client:?} lost only {lost:?}");
        assert!(stats(&server).await["started"].as_u64() > Some(1));
    }
}

#[tokio::test]
#[ignore = "needs Node, Python and Chromium: run tests/run"]
async fn the_same_without_cuts_and_layer_gets_each_event_once() {
    for client in [BROWSER, EVENTSOURCE, FETCH_EVENT_SOURCE, HTTPX_SSE, CURL] {
        for server in [NODE, PYTHON] {
            let server = serve(server).await;
            for (seed, variant) in (1..).zip(VARIANTS) {
                let mut got = client
                    .read(server.address, &format!("/ticks?n={N}&seed={seed}&{variant}"))
                    .await;
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

/// Cuts between events, inside them and before any answer, by FIN and RST; the first one when an event with its id
/// has come. None is inside a response's head: Chromium takes the half of it for the whole, finds no content type,
/// and gives up for good.
fn script(seed: u64) -> Vec<Cut> {
    let mut script = vec![
        Cut::after_blank_lines(6, How::Rst),
        Cut::after_blank_lines(4, How::Fin),
        Cut::after_bytes(0, How::Fin),
    ];
    script.extend(Cut::random(seed, 3, 800..2000));
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
    let words: Vec<_> = include_str!("servers/words.txt").trim_end().split('\n').collect();
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

/// A program in `tests/clients`, and what comes behind the URL on its command line.
#[derive(Clone, Copy, Debug)]
struct Client(Program, &'static [&'static str]);

const BROWSER: Client = Client("clients/browser.cjs", &[]);
const EVENTSOURCE: Client = Client("clients/eventsource.cjs", &[]);
const FETCH_EVENT_SOURCE: Client = Client("clients/fetch-event-source.cjs", &[]);
const HTTPX_SSE: Client = Client("clients/httpx-sse.py", &[]);
const CURL: Client = Client("clients/curl.sh", &[]);
const CURL_HTTP2: Client = Client("clients/curl.sh", &["--http2-prior-knowledge"]);

impl Client {
    /// All that the client dispatches until it stops by itself.
    async fn read(self, server: SocketAddr, target: &str) -> Vec<Event> {
        let Self(program, arguments) = self;
        let url = format!("http://{server}{target}");
        let mut process = Process::start(command(program).arg(url).args(arguments));
        let mut events = Vec::new();
        let all = async {
            while let Some(line) = process.line().await {
                let event: Value = serde_json::from_str(&line).expect("a line of JSON");
                let text = |name: &str| event[name].as_str().expect("a string").to_owned();
                events.push((text("event"), text("data")));
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
