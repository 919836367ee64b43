//! Clients that read and do no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A response that is being read.
pub struct Response {
    pub head: String,
    /// What came with the head.
    pub begun: Vec<u8>,
    pub connection: TcpStream,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (its, value) = line.split_once(':')?;
            its.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Reads on until the body's end, or until what has come ends with `last`. Returns how many bytes came.
    pub async fn read_until(&mut self, last: &[u8]) -> u64 {
        let mut all = self.begun.len() as u64;
        if ends(&self.begun, last) {
            return all;
        }
        let mut buffer = vec![0; 64 * 1024];
        let mut end = std::mem::take(&mut self.begun);
        loop {
            let len = self.connection.read(&mut buffer).await.unwrap();
            all += len as u64;
            end.extend_from_slice(&buffer[len.saturating_sub(64)..len]);
            end.drain(..end.len().saturating_sub(64));
            if len == 0 || ends(&end, last) {
                return all;
            }
        }
    }
}

/// The end of a chunk, or of the last one.
fn ends(bytes: &[u8], last: &[u8]) -> bool {
    bytes.ends_with(b"\r\n0\r\n\r\n")
        || !last.is_empty() && bytes.strip_suffix(b"\r\n").is_some_and(|all| all.ends_with(last))
}

pub async fn get(address: SocketAddr, path: &str, last_event_id: Option<&str>) -> Response {
    let connection = TcpStream::connect(address).await.unwrap();
    get_on(connection, path, last_event_id).await
}

pub async fn get_on(
    mut connection: TcpStream,
    path: &str,
    last_event_id: Option<&str>,
) -> Response {
    let id = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{id}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut come = Vec::new();
    loop {
        assert_ne!(connection.read_buf(&mut come).await.unwrap(), 0, "no response");
        if let Some(end) = come.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(come[..end].to_vec()).unwrap();
            assert!(head.contains(" 200 "), "{head}");
            return Response { head, begun: come.split_off(end + 4), connection };
        }
    }
}

/// Makes a server send events to all streams that are open, and waits until it has.
pub async fn run(address: SocketAddr, events: usize, pace: u64) {
    get(address, &format!("/run?events={events}&pace={pace}"), None).await;
}

/// Keeps this thread from sleeping, so that no write of the server has to wake it: clients are on other machines.
pub fn stay_awake() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}

/// Clients of one kind, each read by a task.
pub struct Crowd {
    read: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Opens `count` streams of their own.
    pub async fn open(address: SocketAddr, path: &str, count: usize) -> Self {
        let mut crowd = Self { read: Arc::default(), tasks: Vec::new() };
        for _ in 0..count {
            crowd.join(get(address, path, None).await);
        }
        crowd
    }

    /// Opens one stream and attaches all others to it.
    pub async fn share(address: SocketAddr, path: &str, count: usize) -> Self {
        let first = get(address, path, None).await;
        let id = first.header("sse-resume-from").unwrap().to_owned();
        let mut crowd = Self { read: Arc::default(), tasks: Vec::new() };
        crowd.join(first);
        for _ in 1..count {
            crowd.join(get(address, path, Some(&id)).await);
        }
        crowd
    }

    fn join(&mut self, response: Response) {
        let read = Arc::clone(&self.read);
        self.tasks.push(tokio::spawn(async move {
            let mut connection = response.connection;
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(len @ 1..) = connection.read(&mut buffer).await {
                read.fetch_add(len as u64, Ordering::Relaxed);
            }
        }));
    }

    /// How many bytes they have read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Waits until at least so many bytes were read.
    pub async fn has_read(&self, bytes: u64) {
        while self.read() < bytes {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
