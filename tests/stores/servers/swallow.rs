//! A proxy before an HTTP server, which swallows answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Swallow {
    pub(crate) port: u16,
    swallowed: Arc<AtomicUsize>,
}

impl Swallow {
    /// Forwards all to a port on this machine. Of requests that have `what` in their head, the connection is closed
    /// when the server has answered.
    pub(crate) async fn start(server: u16, what: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallowed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&swallowed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, what, Arc::clone(&count)));
            }
        });
        Self { port, swallowed }
    }

    /// How many answers were swallowed.
    pub(crate) fn swallowed(&self) -> usize {
        self.swallowed.load(Ordering::SeqCst)
    }
}

async fn serve(client: TcpStream, server: u16, what: &str, swallowed: Arc<AtomicUsize>) {
    let mut client = BufReader::new(client);
    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let mut server = BufReader::new(server);
    while let Some(request) = message(&mut client).await {
        server.write_all(&request).await.unwrap();
        let Some(answer) = message(&mut server).await else { return };
        if String::from_utf8_lossy(&request).contains(what) {
            swallowed.fetch_add(1, Ordering::SeqCst);
            return;
        }
        client.write_all(&answer).await.unwrap();
    }
}

/// A request or an answer, whose head says how long its body is.
async fn message(from: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut message, mut length) = (Vec::new(), 0);
    loop {
        let begins = message.len();
        if from.read_until(b'\n', &mut message).await.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&message[begins..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let head = message.len();
    message.resize(head + length, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some(message)
}
