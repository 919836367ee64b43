//! Each option of the proxy's command line has its effect on event streams.
//!
//! Both ends of the proxy are sockets on which a test says every byte.

use std::env;
use std::fs;
use std::time::Duration;

use support::process::{Server, example};
use support::socket::{Exchange, Upstream};
use tokio::time::timeout;

/// Each connection of the upstream is for one response.
const EVENT_STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
/// The end of a response that is whole.
const CLEAN_END: &str = "\r\n0\r\n\r\n";

struct Proxied {
    upstream: Upstream,
    proxy: Server,
}

impl Proxied {
    async fn with(options: &[&str]) -> Self {
        let upstream = Upstream::new().await;
        let proxy = Server::proxy(upstream.address, options).await;
        Self { upstream, proxy }
    }

    /// A client that has sent its request.
    async fn ask(&self, line: &str, headers: &[&str]) -> Exchange {
        ask(&self.proxy, line, headers).await
    }

    /// A client and the upstream, in the middle of an event stream.
    async fn open(&self, headers: &[&str]) -> (Exchange, Exchange) {
        self.open_with("GET /events", headers, EVENT_STREAM).await
    }

    async fn open_with(&self, line: &str, headers: &[&str], answer: &str) -> (Exchange, Exchange) {
        let mut client = self.ask(line, headers).await;
        let (_, mut upstream) = self.upstream.request().await;
        upstream.send(answer).await;
        client.until("\r\n\r\n").await;
        (client, upstream)
    }

    /// A client that comes back, with the head of what it is answered.
    async fn back(&self, id: &str, headers: &[&str]) -> (String, Exchange) {
        self.back_with("GET /events", id, headers).await
    }

    async fn back_with(&self, line: &str, id: &str, headers: &[&str]) -> (String, Exchange) {
        let mut client = self.ask(line, &with_id(id, headers)).await;
        (client.until("\r\n\r\n").await, client)
    }

    /// The same for one whose request goes to the upstream; with the head of that.
    async fn back_to_upstream(&self, id: &str, headers: &[&str]) -> (String, String, Exchange) {
        let mut client = self.ask("GET /events", &with_id(id, headers)).await;
        let (request, mut upstream) = self.upstream.request().await;
        upstream.send(EVENT_STREAM).await;
        (request, client.until("\r\n\r\n").await, client)
    }
}

async fn ask(proxy: &Server, line: &str, headers: &[&str]) -> Exchange {
    let mut client = Exchange::with(proxy.address).await;
    let line = format!("{line} HTTP/1.1");
    let head = [&[&*line, "host: a"], headers, &["", ""]].concat();
    client.send(&head.join("\r\n")).await;
    client
}

fn with_id<'a>(id: &'a str, headers: &[&'a str]) -> Vec<&'a str> {
    let mut all = headers.to_vec();
    all.push(id);
    all
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Sends events with these data, and waits for them at the client. Returns for each the header to come back with.
async fn pass(upstream: &mut Exchange, client: &mut Exchange, data: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for data in data {
        upstream.send(&chunk(&format!("data: {data}\n\n"))).await;
        client.until(&format!("data: {data}\n")).await;
        let frame = client.until("\n\n").await;
        let id = frame.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
        ids.push(format!("last-event-id: {id}"));
    }
    ids
}

/// The `SSE-Resume` header.
fn came_about(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("sse-resume: ")).unwrap_or_default()
}

#[tokio::test]
async fn ids_preserve_leaves_the_upstreams_ids_and_finds_streams_by_them() {
    let proxied = Proxied::with(&["--ids", "preserve"]).await;
    let owner = &["authorization: Bearer a"];
    let (mut client, mut upstream) = proxied.open(owner).await;
    upstream.send(&chunk("id: 7\ndata: seven\n\nid: 8\ndata: eight\n\n")).await;
    assert!(client.until("data: seven\n").await.contains("id: 7\n"));
    client.until("data: eight\n").await;
    drop(client);
    let (head, mut client) = proxied.back("last-event-id: 7", owner).await;
    assert_eq!(came_about(&head), "replay");
    assert!(client.until("data: eight\n").await.contains("id: 8\n"));
}

#[tokio::test]
async fn methods_names_those_whose_event_streams_are_resumable() {
    let proxied = Proxied::with(&["--methods", "get,POST"]).await;
    let (mut client, mut upstream) = proxied.open_with("POST /events", &[], EVENT_STREAM).await;
    let ids = pass(&mut upstream, &mut client, &["1", "2"]).await;
    drop(client);
    let (head, mut client) = proxied.back(&ids[0], &[]).await;
    assert_eq!(came_about(&head), "replay");
    client.until("data: 2\n").await;
    let other = Proxied::with(&[]).await;
    let (mut client, mut upstream) = other.open_with("POST /events", &[], EVENT_STREAM).await;
    upstream.send(&chunk("data: 1\n\n")).await;
    assert!(client.until("data: 1\n\n").await.starts_with("9\r\n"), "it passes as it is");
}

#[tokio::test]
async fn events_and_bytes_say_how_much_is_kept() {
    let data = ["1", "2", "3", "4", "5"].map(|number| number.repeat(400));
    for options in [["--events", "2"], ["--bytes", "1KiB"]] {
        let proxied = Proxied::with(&options).await;
        let (mut client, mut upstream) = proxied.open(&[]).await;
        let ids = pass(&mut upstream, &mut client, &data.each_ref().map(String::as_str)).await;
        drop(client);
        let (head, mut client) = proxied.back(&ids[0], &[]).await;
        assert_eq!(came_about(&head), "gap");
        let gap = client.until("\n\n").await;
        assert!(gap.contains(r#""missed":2,"reason":"evicted""#), "{options:?}: {gap}");
        let next = client.until("\n\n").await;
        assert!(next.contains(&data[3]), "{options:?}: {next}");
    }
}

#[tokio::test]
async fn age_says_how_long_an_event_is_kept() {
    let proxied = Proxied::with(&["--age", "100ms"]).await;
    let (mut client, mut upstream) = proxied.open(&[]).await;
    let ids = pass(&mut upstream, &mut client, &["1", "2"]).await;
    let expired = async {
        loop {
            let (head, client) = proxied.back(&ids[0], &[]).await;
            if came_about(&head) == "gap" {
                return client;
            }
        }
    };
    let mut client = timeout(Duration::from_secs(20), expired).await.expect("events expire");
    assert!(client.until("\n\n").await.contains(r#""reason":"expired""#));
}

#[tokio::test]
async fn linger_says_how_long_the_upstream_is_read_without_a_client() {
    for linger in ["0", "50ms"] {
        let proxied = Proxied::with(&["--linger", linger]).await;
        let (mut client, mut upstream) = proxied.open(&[]).await;
        pass(&mut upstream, &mut client, &["1"]).await;
        drop(client);
        upstream.closed().await;
    }
}

#[tokio::test]
async fn on_missing_reject_answers_410_for_events_that_are_gone_and_ids_that_are_unknown() {
    let proxied = Proxied::with(&["--on-missing", "reject", "--events", "1"]).await;
    let (mut client, mut upstream) = proxied.open(&[]).await;
    let ids = pass(&mut upstream, &mut client, &["1", "2", "3"]).await;
    for id in [&ids[0], "last-event-id: r1.nonsense"] {
        let (head, _) = proxied.back(id, &[]).await;
        assert!(head.starts_with("HTTP/1.1 410 "), "{head}");
    }
    let (head, _) = proxied.back(&ids[1], &[]).await;
    assert_eq!(came_about(&head), "replay");
}

#[tokio::test]
async fn on_finished_says_what_a_client_gets_after_the_end() {
    for (option, forwards) in [("no-content", false), ("forward", true)] {
        let proxied = Proxied::with(&["--on-finished", option]).await;
        let (mut client, mut upstream) = proxied.open(&[]).await;
        let ids = pass(&mut upstream, &mut client, &["1"]).await;
        upstream.send("0\r\n\r\n").await;
        client.until("0\r\n\r\n").await;
        let (head, mut client) = proxied.back(&ids[0], &[]).await;
        if !forwards {
            assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
            continue;
        }
        assert_eq!(came_about(&head), "replay");
        assert_eq!(
            client.until("0\r\n\r\n").await,
            "0\r\n\r\n",
            "the end, in case it was not seen"
        );
        let (request, head, _) = proxied.back_to_upstream(&ids[0], &[]).await;
        assert!(!request.contains("last-event-id"), "{request}");
        assert_eq!(came_about(&head), "forwarded");
    }
}

/// With these headers the stream is one's own; with those it is somebody else's.
async fn assert_bound(options: &[&str], first: &[&str], own: &[&str], other: &[&str]) {
    let proxied = Proxied::with(options).await;
    let (mut client, mut upstream) = proxied.open(first).await;
    let ids = pass(&mut upstream, &mut client, &["1", "2"]).await;
    let (head, mut client) = proxied.back(&ids[0], own).await;
    assert_eq!(came_about(&head), "replay", "{options:?}");
    client.until("data: 2\n").await;
    let (_, head, mut client) = proxied.back_to_upstream(&ids[0], other).await;
    assert_eq!(came_about(&head), "gap", "{options:?}");
    assert!(client.until("\n\n").await.contains(r#""reason":"unknown""#), "{options:?}");
}

#[tokio::test]
async fn session_header_binds_a_stream_to_the_session_that_it_names() {
    let (one, two) = (&["x-session: one"], &["x-session: two"]);
    assert_bound(&["--session-header", "X-Session"], one, one, two).await;
}

#[tokio::test]
async fn a_session_may_be_named_by_the_answer_that_begins_it() {
    let proxied = Proxied::with(&["--session-header", "x-session"]).await;
    let answer = EVENT_STREAM.replace("\r\n\r\n", "\r\nx-session: one\r\n\r\n");
    let (mut client, mut upstream) = proxied.open_with("GET /events", &[], &answer).await;
    let ids = pass(&mut upstream, &mut client, &["1"]).await;
    let (head, _) = proxied.back(&ids[0], &["x-session: one"]).await;
    assert_eq!(came_about(&head), "replay");
    assert!(head.contains("x-session: one\r\n"), "{head}");
}

#[tokio::test]
async fn owner_header_names_whose_a_stream_is_instead_of_authorization() {
    let first = &["x-user: ada", "authorization: Bearer 1"];
    let renewed = &["x-user: ada", "authorization: Bearer 2"];
    let other = &["x-user: bob", "authorization: Bearer 1"];
    assert_bound(&["--owner-header", "x-user"], first, renewed, other).await;
}

#[tokio::test]
async fn owner_cookie_names_whose_a_stream_is() {
    let (ada, bob) = (&["cookie: theme=dark; sid=ada"], &["cookie: theme=dark; sid=bob"]);
    assert_bound(&["--owner-cookie", "sid"], ada, &["cookie: sid=ada; theme=light"], bob).await;
}

#[tokio::test]
async fn last_event_id_query_names_a_parameter_that_may_carry_the_position() {
    let proxied = Proxied::with(&["--last-event-id-query", "lastEventId"]).await;
    let (mut client, mut upstream) = proxied.open_with("GET /events?a=1", &[], EVENT_STREAM).await;
    let ids = pass(&mut upstream, &mut client, &["1", "2"]).await;
    let id = ids[0].strip_prefix("last-event-id: ").unwrap();
    let mut client = proxied.ask(&format!("GET /events?a=1&lastEventId={id}"), &[]).await;
    assert_eq!(came_about(&client.until("\r\n\r\n").await), "replay");
    client.until("data: 2\n").await;
    let _client = proxied.ask(&format!("GET /other?a=1&lastEventId={id}"), &[]).await;
    let (request, _) = proxied.upstream.request().await;
    assert!(request.starts_with("GET /other?a=1 "), "{request}");
}

#[tokio::test]
async fn share_path_lets_requests_join_one_response() {
    let proxied = Proxied::with(&["--share", "path"]).await;
    let (mut first, mut upstream) = proxied.open(&[]).await;
    let mut second = proxied.ask("GET /events", &[]).await;
    // It has joined when it is answered: the upstream answers nobody else.
    second.until("\r\n\r\n").await;
    let ids = pass(&mut upstream, &mut first, &["1"]).await;
    let frame = second.until("\n\n").await;
    assert!(frame.contains("data: 1\n") && frame.contains(&ids[0]["last-event-id: ".len()..]));
}

#[tokio::test]
async fn max_connection_age_ends_responses_for_their_clients_to_come_back() {
    let proxied = Proxied::with(&["--max-connection-age", "100ms"]).await;
    let (mut client, mut upstream) = proxied.open(&[]).await;
    let ids = pass(&mut upstream, &mut client, &["1"]).await;
    assert!(!client.rest().await.contains(CLEAN_END));
    upstream.send(&chunk("data: 2\n\n")).await;
    let (head, mut client) = proxied.back(&ids[0], &[]).await;
    assert_eq!(came_about(&head), "replay");
    client.until("data: 2\n").await;
}

#[tokio::test]
async fn proxies_with_one_secret_file_go_on_with_each_others_ids() {
    let file = env::temp_dir().join(format!("tower-sse-resume-{}", std::process::id()));
    fs::write(&file, "5a".repeat(32)).unwrap();
    let options = ["--secret-file", file.to_str().unwrap()];
    let upstream = Upstream::new().await;
    let (one, two) = tokio::join!(
        Server::proxy(upstream.address, &options),
        Server::proxy(upstream.address, &options),
    );
    fs::remove_file(&file).unwrap();
    let mut client = ask(&one, "GET /events", &[]).await;
    let (_, mut first) = upstream.request().await;
    first.send(&[EVENT_STREAM, &chunk("id: a/b\ndata: 1\n\n")].concat()).await;
    client.until("id: ").await;
    let id = client.until("\n").await;
    let mut client =
        ask(&two, "GET /events", &[&format!("last-event-id: {}", id.trim_end())]).await;
    let (request, mut second) = upstream.request().await;
    assert!(request.contains("last-event-id: a/b\r\n"), "{request}");
    second.send(&[EVENT_STREAM, &chunk("id: c\ndata: 2\n\n")].concat()).await;
    let answer = client.until("\n\n").await;
    assert!(answer.contains("data: 2\n") && !answer.contains("resume-gap"), "{answer}");
}

#[tokio::test]
async fn a_secret_file_that_has_no_secret_is_an_error() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let options = ["--upstream", "http://127.0.0.1:1", "--secret-file", file];
    let output = example("proxy").args(options).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("expected 32 bytes"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_sends_the_clients_of_event_streams_away_and_ends_the_proxy_with_0() {
    let mut proxied = Proxied::with(&[]).await;
    let (mut client, mut upstream) = proxied.open(&[]).await;
    pass(&mut upstream, &mut client, &["1"]).await;
    proxied.proxy.process.signal("TERM").await;
    let rest = client.rest().await;
    assert!(rest.contains("retry: ") && !rest.contains(CLEAN_END), "{rest:?}");
    assert!(proxied.proxy.process.exit().await.success());
}

#[tokio::test]
async fn an_upstream_that_dies_within_a_stream_is_called_again_when_the_client_comes_back() {
    let proxied = Proxied::with(&[]).await;
    let (mut client, mut upstream) = proxied.open(&[]).await;
    upstream.send(&chunk("id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\nda")).await;
    client.until("data: 2\nid: ").await;
    let id = client.until("\n").await;
    drop(upstream);
    let rest = client.rest().await;
    assert!(!rest.contains(CLEAN_END), "no client takes it for the end: {rest:?}");
    let id = format!("last-event-id: {}", id.trim_end());
    let mut client = proxied.ask("GET /events", &[&id]).await;
    let (request, mut upstream) = proxied.upstream.request().await;
    assert!(request.contains("last-event-id: b\r\n"), "{request}");
    upstream.send(&[EVENT_STREAM, &chunk("id: b\ndata: 2\n\nid: c\ndata: 3\n\n")].concat()).await;
    let answer = client.until("\n\n").await;
    assert_eq!(came_about(&answer), "takeover");
    assert!(answer.contains("data: 3\n") && !answer.contains("data: 2\n"), "{answer}");
}
