//! Clients of the proxy that share one response of the upstream, and those that must not.

use support::process::Server;
use support::socket::{Exchange, Upstream};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                      transfer-encoding: chunked\r\nconnection: close\r\n";

struct Shared {
    upstream: Upstream,
    proxy: Server,
}

impl Shared {
    async fn new() -> Self {
        let upstream = Upstream::new().await;
        let options = ["--share", "path", "--session-header", "x-session"];
        let proxy = Server::proxy(upstream.address, &options).await;
        Self { upstream, proxy }
    }

    /// A client that has sent this head.
    async fn ask(&self, lines: &[&str]) -> Exchange {
        let mut client = Exchange::with(self.proxy.address).await;
        client.send(&[lines, &["", ""]].concat().join("\r\n")).await;
        client
    }

    /// A client whose request goes to the upstream, which answers with these headers: with the heads that each of the
    /// two gets, and both ends.
    async fn call(&self, lines: &[&str], headers: &str) -> ([String; 2], [Exchange; 2]) {
        let mut client = self.ask(lines).await;
        let (request, mut upstream) = self.upstream.request().await;
        upstream.send(&[STREAM, headers, "\r\n"].concat()).await;
        let head = client.until("\r\n\r\n").await;
        ([request, head], [client, upstream])
    }

    /// A client that is answered without the upstream, since that accepts nobody meanwhile.
    async fn join(&self, lines: &[&str]) -> String {
        self.ask(lines).await.until("\r\n\r\n").await
    }
}

#[tokio::test]
async fn the_authority_of_a_target_is_the_host_that_counts_for_the_upstream_and_for_sharing() {
    let proxied = Shared::new().await;
    let forged = ["GET http://attacker.example/x HTTP/1.1", "host: victim.example"];
    let ([request, _], _forged) = proxied.call(&forged, "").await;
    assert!(request.contains("host: attacker.example\r\n"), "{request}");
    let honest = ["GET /x HTTP/1.1", "host: victim.example"];
    let ([request, _], _honest) = proxied.call(&honest, "").await;
    assert!(request.contains("host: victim.example\r\n"), "it is asked for the victim: {request}");
    let same = ["GET http://Victim.example/x HTTP/1.1", "host: VICTIM.example"];
    assert!(proxied.join(&same).await.contains("sse-resume: "));
}

#[tokio::test]
async fn a_request_with_two_hosts_is_answered_by_the_upstream_alone() {
    let proxied = Shared::new().await;
    let two = ["GET /x HTTP/1.1", "host: victim.example", "host: victim.example"];
    let (_, _first) = proxied.call(&two, "").await;
    let (_, _second) = proxied.call(&two, "").await;
    let (_, _honest) = proxied.call(&two[..2], "").await;
    proxied.join(&two[..2]).await;
}

#[tokio::test]
async fn a_joiner_gets_nothing_that_is_about_the_leader() {
    let proxied = Shared::new().await;
    let ask = ["GET /x HTTP/1.1", "host: a"];
    let own =
        "x-session: leaders\r\nset-cookie: sid=leaders\r\ncache-control: public, max-age=60\r\n";
    let ([_, head], _leader) = proxied.call(&ask, own).await;
    assert!(head.contains("leaders") && head.contains("cache-control: no-store\r\n"), "{head}");
    let head = proxied.join(&ask).await;
    assert!(head.contains("sse-resume: ") && !head.contains("leaders"), "{head}");
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
}

#[tokio::test]
async fn pages_of_each_origin_may_read_what_the_upstream_lets_them() {
    let proxied = Shared::new().await;
    let mut open = Vec::new();
    for origin in ["https://a.example", "https://b.example"] {
        let from = format!("origin: {origin}");
        let ask = ["GET /x HTTP/1.1", "host: a", &from];
        let allow = format!("access-control-allow-origin: {origin}\r\n");
        open.push(proxied.call(&ask, &allow).await);
        let head = proxied.join(&ask).await;
        assert!(head.contains(&allow), "{head}");
    }
    let head = proxied.join(&["GET /x HTTP/1.1", "host: a"]).await;
    assert!(!head.contains("access-control"), "{head}");
}
