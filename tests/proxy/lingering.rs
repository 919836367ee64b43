//! The proxy's open files: as many as the system allows, and what lingers makes room before they run short.

use support::process::{Server, example};
use support::socket::{Exchange, Upstream};
use tokio::process::Command;

const EVENT_STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                            9\r\ndata: 1\n\n\r\n";

/// The proxy, with these soft and hard limits on open files.
async fn proxy(upstream: &Upstream, soft: u32, hard: u32, options: &[&str]) -> Server {
    let program = example("proxy");
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(program.as_std().get_program());
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(["--upstream", &format!("http://{}", upstream.address)]);
    Server::start(command.args(options)).await
}

/// A client that has one event, and its upstream.
async fn open(proxy: &Server, upstream: &Upstream) -> (Exchange, Exchange) {
    let mut client = Exchange::with(proxy.address).await;
    client.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (_, mut answer) = upstream.request().await;
    answer.send(EVENT_STREAM).await;
    client.until("data: 1").await;
    (client, answer)
}

#[cfg(unix)]
#[tokio::test]
async fn the_proxy_may_open_as_many_files_as_the_system_allows() {
    let upstream = Upstream::new().await;
    let proxy = proxy(&upstream, 40, 400, &[]).await;
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(open(&proxy, &upstream).await);
    }
    assert!(proxy.process.stderr().contains("at most 133 responses are read on"));
    assert_eq!(proxy.process.stderr().lines().count(), 1, "{}", proxy.process.stderr());
}

#[cfg(unix)]
#[tokio::test]
async fn what_lingers_longest_makes_room_for_clients_when_files_run_short() {
    let upstream = Upstream::new().await;
    let proxy = proxy(&upstream, 120, 120, &["--linger", "10m"]).await;
    let mut upstreams = Vec::new();
    // Those that linger, and after them clients that stay: together more than there are files for.
    for _ in 0..40 {
        let (client, answer) = open(&proxy, &upstream).await;
        drop(client);
        upstreams.push(answer);
    }
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(open(&proxy, &upstream).await);
    }
    assert_eq!(clients.len(), 40);
}
