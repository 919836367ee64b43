//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them, and ends them gracefully.

use std::{convert::Infallible, pin::pin, time::Duration};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tower_service::Service;
use tower_sse_resume::LayerHandle;

use crate::{BoxError, descriptors::Descriptors, stop::StopSignals};

/// For the head of each request; also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// When accepting fails (too many open files, mostly), trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until a signal comes, then lets the connections end, for at most `drain`.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    layer: &LayerHandle,
    descriptors: Descriptors,
    mut stop: StopSignals,
    drain: Duration,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (draining, _) = watch::channel(());
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                descriptors.make_room(&stream, layer);
                tokio::spawn(connection(stream, service.clone(), draining.subscribe()));
            } else {
                descriptors.run_short(layer);
                sleep(ACCEPT_PAUSE).await;
            },
            () = stop.recv() => break,
        }
    }
    drop(listener);
    draining.send_replace(());
    // Every connection holds a receiver until it ends. What the store is to get after the deadline, it gets.
    let ended = async { tokio::join!(layer.drain(drain), timeout(drain, draining.closed())) };
    tokio::select! {
        _ = ended => {}
        () = stop.recv() => {}
    }
}

/// What goes wrong on a connection concerns its client alone, and is its client's doing: it is not reported.
async fn connection<S, B>(stream: TcpStream, service: S, mut draining: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    tokio::select! {
        begun = begins(&stream) => if !begun { return },
        _ = draining.changed() => return,
    }
    let protocols = protocols();
    let mut serving =
        pin!(protocols.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = draining.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// Whether the client says anything: until its first bytes tell the protocol, no other timeout applies.
async fn begins(stream: &TcpStream) -> bool {
    let first = timeout(HEAD_TIMEOUT, stream.peek(&mut [0])).await;
    matches!(first, Ok(Ok(1..)))
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).preserve_header_case(true);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    builder
}
