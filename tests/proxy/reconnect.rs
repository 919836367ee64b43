//! The proxy with `--reconnect-upstream`: a client does not see that the upstream was away.

use support::process::Server;
use support::socket::{Exchange, Upstream};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_called_again_for_the_same_response() {
    let upstream = Upstream::new().await;
    let proxy = Server::proxy(upstream.address, &["--reconnect-upstream"]).await;
    let mut client = Exchange::with(proxy.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, mut first) = upstream.request().await;
    assert!(!head.contains("last-event-id"));
    first.send(HEAD).await;
    first.send(&chunk("retry: 0\nid: a\ndata: 1\n\nid: b\nda")).await;
    client.until("data: 1\n").await;
    drop(first);
    let (head, mut second) = upstream.request().await;
    assert!(head.to_ascii_lowercase().contains("\r\nlast-event-id: a\r\n"), "{head}");
    second.send(HEAD).await;
    second.send(&chunk("id: a\ndata: 1\n\nid: b\ndata: 2\n\n")).await;
    second.send("0\r\n\r\n").await;
    let rest = client.until("0\r\n\r\n").await;
    assert_eq!(rest.matches("data: ").count(), 1, "{rest}");
    assert!(rest.contains("data: 2\n"), "{rest}");
}
