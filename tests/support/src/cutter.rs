//! A TCP forwarder that cuts connections by a script.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::random::Random;

/// Where in what the server sends a connection is cut.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Right after this many bytes.
    Bytes(u64),
    /// Right after this many blank lines (LF or CRLF) in the raw bytes. The response head's is the first one.
    BlankLines(u64),
}

/// How the client sees the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As an orderly end of the connection: the server's side closed it.
    Fin,
    /// As a reset; bytes that the client has not read may be lost with it.
    Rst,
    /// Not at all: nothing more arrives until [`Cutter::end_stalls`].
    Stall,
}

/// One line of a script.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub when: When,
    pub how: How,
}

impl Cut {
    pub fn after_bytes(n: u64, how: How) -> Self {
        Self { when: When::Bytes(n), how }
    }

    pub fn after_blank_lines(n: u64, how: How) -> Self {
        Self { when: When::BlankLines(n), how }
    }

    /// `count` cuts by FIN and RST, each after a number of bytes in `range`; the same ones for the same seed.
    pub fn random(seed: u64, count: usize, range: Range<u64>) -> Vec<Self> {
        let mut random = Random::new(seed);
        (0..count)
            .map(|_| {
                let how = if random.number() % 2 == 0 { How::Fin } else { How::Rst };
                Self::after_bytes(random.within(range.clone()), how)
            })
            .collect()
    }
}

/// Forwards to a server from a free loopback port. The nth connection is cut by the script's nth line; those
/// after the last one pass whole. Drop it to end all its connections.
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    connections: watch::Sender<usize>,
    cuts: watch::Sender<usize>,
    stalled: watch::Sender<usize>,
    end_stalls: Notify,
    pull: Notify,
    refusing: Mutex<bool>,
}

impl Cutter {
    pub async fn start(target: SocketAddr, script: Vec<Cut>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            connections: watch::channel(0).0,
            cuts: watch::channel(0).0,
            stalled: watch::channel(0).0,
            end_stalls: Notify::new(),
            pull: Notify::new(),
            refusing: Mutex::new(false),
        });
        let accepting =
            tokio::spawn(accept(listener, target, script, shared.clone())).abort_handle();
        Self { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections clients have made.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// How many of them were cut.
    pub fn cuts(&self) -> usize {
        *self.shared.cuts.borrow()
    }

    /// Waits until clients have made `n` connections.
    pub async fn connected(&self, n: usize) {
        at_least(&self.shared.connections, n).await;
    }

    /// Waits until `n` connections were cut.
    pub async fn cut(&self, n: usize) {
        at_least(&self.shared.cuts, n).await;
    }

    /// Waits until `n` connections have come to their stall.
    pub async fn stalled(&self, n: usize) {
        at_least(&self.shared.stalled, n).await;
    }

    /// Lets the stalled connections go on.
    pub fn end_stalls(&self) {
        self.shared.end_stalls.notify_waiters();
    }

    /// Resets all connections that are open now.
    pub fn pull_the_cable(&self) {
        self.shared.pull.notify_waiters();
    }

    /// From now on, resets new connections as soon as they are made, or no longer does.
    pub fn refuse(&self, refusing: bool) {
        *self.shared.refusing.lock().expect("not poisoned") = refusing;
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn at_least(count: &watch::Sender<usize>, n: usize) {
    count.subscribe().wait_for(|count| *count >= n).await.expect("the sender is borrowed");
}

async fn accept(listener: TcpListener, target: SocketAddr, script: Vec<Cut>, shared: Arc<Shared>) {
    let mut script = script.into_iter();
    let mut open = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        shared.connections.send_modify(|n| *n += 1);
        if *shared.refusing.lock().expect("not poisoned") {
            reset(&client);
            continue;
        }
        open.spawn(forward(client, target, script.next(), shared.clone()));
        while open.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, cut: Option<Cut>, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return reset(&client);
    };
    client.set_nodelay(true).expect("a socket option");
    server.set_nodelay(true).expect("a socket option");
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        _ = copy(&mut from_client, &mut to_server).await;
    };
    let how = tokio::select! {
        how = responses(&mut from_server, &mut to_client, cut, &shared) => how,
        () = shared.pull.notified() => Some(How::Rst),
        () = requests => return, // the client has left
    };
    if let Some(how) = how {
        if how == How::Rst {
            reset(&client);
        }
        drop(client);
        shared.cuts.send_modify(|n| *n += 1);
    }
}

/// Forwards up to the cut. Answers how to cut, or nothing where the server closed the connection before that.
async fn responses(
    from_server: &mut ReadHalf<'_>,
    to_client: &mut WriteHalf<'_>,
    mut cut: Option<Cut>,
    shared: &Shared,
) -> Option<How> {
    let mut place = Place::default();
    let mut bytes = [0; 16 * 1024];
    loop {
        let n = match cut.and_then(|cut| place.left_before(cut.when).map(|left| (left, cut.how))) {
            Some((0, How::Stall)) => {
                let ended = shared.end_stalls.notified();
                shared.stalled.send_modify(|n| *n += 1);
                ended.await;
                cut = None;
                continue;
            }
            Some((0, how)) => return Some(how),
            Some((left, _)) => left.min(bytes.len()),
            None => bytes.len(),
        };
        let n = from_server.read(&mut bytes[..n]).await.ok().filter(|n| *n > 0)?;
        place.pass(&bytes[..n]);
        to_client.write_all(&bytes[..n]).await.ok()?;
    }
}

/// How much of a response has passed.
#[derive(Default)]
struct Place {
    bytes: u64,
    blank_lines: u64,
    line_is_empty: bool,
    line_before_is_empty: bool,
}

impl Place {
    /// How many bytes may be read without passing the cut.
    fn left_before(&self, when: When) -> Option<usize> {
        match when {
            When::Bytes(n) => usize::try_from(n.saturating_sub(self.bytes)).ok(),
            When::BlankLines(n) if self.blank_lines >= n => Some(0),
            When::BlankLines(_) => Some(1), // so that a byte behind the blank line is never read
        }
    }

    /// A blank line is an empty one after one that is not: a chunk's CRLF behind an event is none.
    fn pass(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes += 1;
            match byte {
                b'\n' => {
                    self.blank_lines += u64::from(self.line_is_empty && !self.line_before_is_empty);
                    self.line_before_is_empty = self.line_is_empty;
                    self.line_is_empty = true;
                }
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
    }
}

/// Closing then sends RST instead of FIN.
fn reset(socket: &TcpStream) {
    socket.set_zero_linger().expect("a socket option");
}
