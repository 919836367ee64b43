//! Connections on which a test says every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server whose every byte the test writes.
pub struct Upstream {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// One connection, seen from either end.
pub struct Exchange {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Upstream {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Takes a connection and the head of the request on it.
    pub async fn request(&self) -> (String, Exchange) {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        let mut exchange = Exchange { stream, received: Vec::new() };
        (exchange.until("\r\n\r\n").await, exchange)
    }
}

impl Exchange {
    pub async fn with(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    /// Reads up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            let found =
                self.received.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(start) = found {
                let read = self.received.drain(..start + end.len()).collect();
                return String::from_utf8(read).unwrap();
            }
            let count = soon(self.stream.read_buf(&mut self.received)).await.unwrap();
            assert_ne!(count, 0, "closed before {end:?}");
        }
    }

    pub async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until the other end closes the connection, or resets it.
    pub async fn rest(mut self) -> String {
        while soon(self.stream.read_buf(&mut self.received)).await.is_ok_and(|count| count > 0) {}
        String::from_utf8(self.received).unwrap()
    }

    /// Waits until the other end closes the connection.
    pub async fn closed(self) {
        self.rest().await;
    }
}

/// A test that waits for nothing fails, rather than hang.
async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), awaited).await.expect("the other end says nothing")
}
