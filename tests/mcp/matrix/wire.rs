//! The wire between client and server: it knows which MCP request each response answers, and cuts there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::place::{Place, Stop};
use super::request::{Kind, Request};

/// Whether a wire cuts as it is told to, or only watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cutting {
    Yes,
    No,
}

/// How a cut looks to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Like a server that went away: the response is not whole.
    Fin,
    /// As a reset, which can take away what the client has not read yet.
    Rst,
    /// Like a proxy on the way that ends the response it carries. Only between events.
    Clean,
}

/// A request and how far its response has come.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) kind: Kind,
    #[allow(dead_code, reason = "shown where a test fails")]
    request: Request,
    /// Blank lines that have passed: the response head's, then one for each event.
    pub(crate) blocks: usize,
    pub(crate) cut: bool,
}

/// Forwards a client's connections to a server. Drop it to end them.
pub(crate) struct Wire {
    address: SocketAddr,
    cutting: bool,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    exchanges: watch::Sender<Vec<Exchange>>,
    cuts: watch::Sender<Vec<(Kind, How)>>,
    held: watch::Sender<bool>,
    rules: Mutex<Vec<(Kind, Stop, How)>>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr, cutting: Cutting) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            exchanges: watch::channel(Vec::new()).0,
            cuts: watch::channel(Vec::new()).0,
            held: watch::channel(false).0,
            rules: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&shared))).abort_handle();
        Self { address, cutting: cutting == Cutting::Yes, shared, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cuts(&self) -> bool {
        self.cutting
    }

    /// The next response to a request of this kind is cut there.
    pub(crate) fn cut_next(&self, kind: Kind, stop: Stop, how: How) {
        if self.cutting {
            self.shared.rules.lock().expect("not poisoned").push((kind, stop, how));
        }
    }

    /// Cuts what is open of this kind, and waits until that is done.
    pub(crate) async fn cut(&self, kind: Kind, how: How) {
        if self.cutting {
            let before = self.shared.count(|exchange| exchange.cut);
            self.shared.cuts.send_modify(|cuts| cuts.push((kind, how)));
            self.shared.until(before + 1, |exchange| exchange.cut).await;
        }
    }

    /// Requests that open an event stream wait here from now on, or no longer do.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held && self.cutting);
    }

    /// Waits until the client has come back so often and was answered, or cut off again.
    pub(crate) async fn resumed(&self, times: usize) {
        if self.cutting {
            let answered = |exchange: &Exchange| exchange.blocks > 0 || exchange.cut;
            self.shared
                .until(times, |exchange| exchange.kind == Kind::Resume && answered(exchange))
                .await;
        }
    }

    /// Waits until the standalone stream was opened so often.
    pub(crate) async fn standing(&self, times: usize) {
        let times = if self.cutting { times } else { 1 };
        self.shared
            .until(times, |exchange| exchange.kind == Kind::Standalone && exchange.blocks > 0)
            .await;
    }

    pub(crate) fn first_cut(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.until(1, |exchange| exchange.cut).await }
    }

    /// Each request so far.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.borrow().clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        open.spawn(forward(client, server, Arc::clone(&shared)));
        while open.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).expect("a socket option");
    server.set_nodelay(true).expect("a socket option");
    let (from_client, mut to_client) = client.split();
    let (from_server, to_server) = server.split();
    let current = watch::channel(None).0;
    let how = tokio::select! {
        how = responses(from_server, &mut to_client, current.subscribe(), &shared) => how,
        how = cut_by_order(current.subscribe(), &shared) => Some(how),
        () = requests(from_client, to_server, &current, &shared) => None,
    };
    let last = *current.borrow();
    if how == Some(How::Clean) {
        _ = to_client.write_all(b"0\r\n\r\n").await;
    }
    if how == Some(How::Rst) {
        client.set_zero_linger().expect("a socket option");
    }
    drop((client, server));
    if let Some(last) = last {
        shared.exchanges.send_modify(|exchanges| {
            exchanges[last].cut |= how.is_some();
        });
    }
}

/// Passes requests on, each as a whole, and says which one is being answered.
async fn requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    current: &watch::Sender<Option<usize>>,
    shared: &Shared,
) {
    let mut bytes = Vec::new();
    loop {
        while let Some(request) = Request::take(&mut bytes) {
            if matches!(request.kind(), Kind::Standalone | Kind::Resume) {
                let mut held = shared.held.subscribe();
                held.wait_for(|held| !held).await.expect("the sender is borrowed");
            }
            let bytes = request.bytes.clone();
            current.send_modify(|current| {
                shared.exchanges.send_modify(|exchanges| {
                    *current = Some(exchanges.len());
                    exchanges.push(Exchange::of(request));
                });
            });
            if server.write_all(&bytes).await.is_err() {
                return;
            }
        }
        if !client.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
            return;
        }
    }
}

/// Passes responses on, up to where a rule says to cut. Nothing where the server has closed the connection.
async fn responses(
    mut server: ReadHalf<'_>,
    client: &mut WriteHalf<'_>,
    mut current: watch::Receiver<Option<usize>>,
    shared: &Shared,
) -> Option<How> {
    let (mut place, mut rule) = (Place::default(), None);
    let mut bytes = [0; 16 * 1024];
    loop {
        let n = server.read(&mut bytes).await.ok().filter(|n| *n > 0)?;
        if current.has_changed().ok()? {
            let exchange = (*current.borrow_and_update())?;
            (place, rule) = (Place::default(), shared.rule_for(exchange));
        }
        let stop = rule.and_then(|(stop, how)| Some((place.find(stop, &bytes[..n])?, how)));
        let passing = &bytes[..stop.map_or(n, |(at, _)| at)];
        client.write_all(passing).await.ok()?;
        place.pass(passing);
        let exchange = *current.borrow();
        if let Some(exchange) = exchange {
            let blocks = place.blocks();
            shared.exchanges.send_modify(|exchanges| exchanges[exchange].blocks = blocks);
        }
        if let Some((_, how)) = stop {
            return Some(how);
        }
    }
}

/// Waits until what is being answered is to be cut.
async fn cut_by_order(current: watch::Receiver<Option<usize>>, shared: &Shared) -> How {
    let mut cuts = shared.cuts.subscribe();
    loop {
        let seen = cuts.borrow_and_update().len();
        cuts.wait_for(|cuts| cuts.len() > seen).await.expect("the sender is borrowed");
        let exchange = *current.borrow();
        let kind = exchange.map(|exchange| shared.exchanges.borrow()[exchange].kind);
        let order = cuts.borrow().last().copied();
        if let Some((_, how)) = order.filter(|(ordered, _)| kind == Some(*ordered)) {
            return how;
        }
    }
}

impl Shared {
    fn count(&self, counts: impl Fn(&Exchange) -> bool) -> usize {
        self.exchanges.borrow().iter().filter(|exchange| counts(exchange)).count()
    }

    async fn until(&self, times: usize, counts: impl Fn(&Exchange) -> bool) {
        let mut exchanges = self.exchanges.subscribe();
        let enough = |exchanges: &Vec<Exchange>| {
            exchanges.iter().filter(|exchange| counts(exchange)).count() >= times
        };
        exchanges.wait_for(enough).await.expect("the sender is borrowed");
    }

    /// The rule that an exchange comes under; it is used up with it.
    fn rule_for(&self, exchange: usize) -> Option<(Stop, How)> {
        let kind = self.exchanges.borrow()[exchange].kind;
        let mut rules = self.rules.lock().expect("not poisoned");
        let at = rules.iter().position(|(of, ..)| *of == kind)?;
        let (_, stop, how) = rules.remove(at);
        Some((stop, how))
    }
}

impl Exchange {
    fn of(request: Request) -> Self {
        Self { kind: request.kind(), request, blocks: 0, cut: false }
    }
}
