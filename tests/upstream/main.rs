//! `SseReconnectLayer`: an inner body breaks, the inner service is called again, and the client sees one response.

mod answers;
mod breaks;
mod composed;
mod ends;
mod frames;
mod passes;
mod resends;
mod waits;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tower::{Layer, Service};
use tower_sse_resume::{ReconnectBody, SseReconnect, SseReconnectLayer};

use support::client::{Client, End};
use support::scripted::{FedBody, Scripted};

type Read = Client<ReconnectBody<FedBody>>;

/// A layer whose delays are as they are named.
fn layer() -> SseReconnectLayer {
    SseReconnectLayer::new().jitter(0.0)
}

fn wrap(layer: &SseReconnectLayer) -> (SseReconnect<Scripted>, Scripted) {
    let inner = Scripted::new();
    (layer.layer(inner.clone()), inner)
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/events?a=1").header("x-user", "u").body(Empty::new()).unwrap()
}

/// A client that reads the answer to a `GET`.
async fn open(layer: SseReconnectLayer) -> (Read, Scripted) {
    let (mut app, inner) = wrap(&layer);
    (Client::new(app.call(get()).await.unwrap()), inner)
}

/// Waits for the inner service's call with this number, which the client's reading makes.
async fn until_call(client: &mut Read, inner: &Scripted, number: usize) {
    client.read_until(|_| inner.calls() > number).await;
    assert!(inner.calls() > number, "{:?}", client.end);
}

/// Reads until the response has ended.
async fn end(client: &mut Read) -> End {
    client.read_until(|_| false).await;
    client.end.clone()
}

fn broken() -> End {
    End::Broken("the inner body broke".to_owned())
}

/// Three events.
const THREE: &str = "id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n";
