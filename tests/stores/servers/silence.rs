//! A connection is cut off without a word: both ends have it, and nothing comes through. The store makes another one.

use std::future::{pending, poll_fn};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tower_sse_resume::store::{Append, Piece, Store};

use super::restarts::{self, key, until_answered};
use support::store_server::Server;

/// A store that is cut off is asked, and somebody waits there for what another one writes. With a patience of a second,
/// and one connection for what is asked.
pub(crate) async fn outlives_silence<S: Store>(server: &Server, open: impl AsyncFn(u16) -> S) {
    let relay = Relay::start(server.port).await;
    let (writer, store) = (open(server.port).await, open(relay.port).await);
    restarts::create(&writer).await;
    let stream = key("stream");
    let seen = until_answered(async || store.record(&stream).await).await.extent;
    let mut waiting = pin!(until_answered(async || store.wait(&stream, &seen).await));
    poll_fn(|cx| {
        assert!(waiting.as_mut().poll(cx).is_pending(), "there is no news yet");
        Poll::Ready(())
    })
    .await;
    // These are answered after what the waiter asked for first, on the same connection.
    let answers = async {
        for _ in 0..10 {
            until_answered(async || store.record(&stream).await).await;
        }
    };
    tokio::select! {
        _ = &mut waiting => panic!("there is no news yet"),
        () = answers => {}
    }
    relay.silence();
    let pieces = vec![Piece::events(1, 1, "event")];
    let (progress, gap, end) = (None, None, None);
    let entry =
        Append { stream: stream.clone(), generation: 1, first: 1, pieces, progress, gap, end };
    writer.append(&[entry]).await.unwrap().remove(0).unwrap();
    let all = async { tokio::join!(waiting, until_answered(async || store.record(&stream).await)) };
    let (news, record) =
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("all go on");
    assert_eq!((news.next, record.extent.next), (2, 2));
}

/// Forwards to a server on this machine.
struct Relay {
    port: u16,
    silenced: watch::Sender<()>,
    accepting: AbortHandle,
}

impl Relay {
    async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let port = listener.local_addr().expect("its address").port();
        let silenced = watch::Sender::new(());
        let accepting = tokio::spawn(accept(listener, target, silenced.clone())).abort_handle();
        Self { port, silenced, accepting }
    }

    /// From now on nothing comes through the connections that there are.
    fn silence(&self) {
        self.silenced.send_replace(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, silenced: watch::Sender<()>) {
    let mut open = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        open.spawn(forward(client, target, silenced.subscribe()));
    }
}

async fn forward(mut client: TcpStream, target: u16, mut silenced: watch::Receiver<()>) {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.expect("the server");
    tokio::select! {
        // How a connection ends is the matter of those who have it.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = silenced.changed() => pending().await,
    }
}
