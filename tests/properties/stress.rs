//! Many clients, operators and inner services on one stream at once, on several threads.
//!
//! The inner service says the events 1, 2, 3, … with their numbers as IDs, and goes on after the ID that it is called
//! with, or a few events before it. So each client can tell by itself whether it had all of them, each once, in order.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use support::client::{Client, End};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, service_fn};
use tower_sse_resume::{Linger, SseResumeLayer, StreamHandle};

/// Numbers by `SplitMix64`.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

/// Says numbered events in bursts, cut anywhere, and breaks off at random.
struct Numbers {
    next: u64,
    left_over: Vec<u8>,
    random: Random,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    open: Arc<AtomicUsize>,
}

impl Body for Numbers {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        match self.random.below(60) {
            0 => return Poll::Ready(Some(Err("broken".to_owned()))),
            1..20 => {
                let pause = Duration::from_millis(self.random.below(3));
                self.pause = Some(Box::pin(tokio::time::sleep(pause)));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let mut data = std::mem::take(&mut self.left_over);
        for _ in 0..self.random.below(40) {
            let n = self.next;
            let len = (n * 37 % 200) as usize;
            data.extend(format!("id: {n}\ndata: {n} {:len$}\n\n", "").bytes());
            self.next += 1;
        }
        let cut = self.random.below(data.len() as u64 + 1) as usize;
        self.left_over = data.split_off(cut);
        Poll::Ready(Some(Ok(Frame::data(data.into()))))
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reads a random part of a response. Returns whether there was a gap.
async fn read_some<B>(client: &mut Client<B>, random: &mut Random) -> bool
where
    B: Body<Data = Bytes>,
    B::Error: ToString,
{
    let wanted = random.below(2_000) as usize;
    let before = client.received.len();
    let mut reads = 0;
    client
        .read_until(|client| {
            reads += 1;
            client.received.len() - before > wanted || reads > 30
        })
        .await;
    !client.gaps().is_empty()
}

/// Checks that all events of a response follow on `last`; returns the new last one.
fn check(events: &[support::client::Event], mut last: Option<u64>) -> Option<u64> {
    for event in events {
        if event.event == "resume-gap" {
            last = None;
            continue;
        }
        let n = event.data.split(' ').next().unwrap().parse().unwrap();
        assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
        last = Some(n);
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_clients_hears_each_event_once_whatever_happens() {
    const CLIENTS: u64 = 12;
    let open = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(AtomicU64::new(0));
    let (inner_open, inner_calls) = (Arc::clone(&open), Arc::clone(&calls));
    let inner = service_fn(move |request: Request<()>| {
        let call = inner_calls.fetch_add(1, Ordering::SeqCst);
        let mut random = Random(call);
        let last: Option<u64> =
            request.headers().get("last-event-id").map(|id| id.to_str().unwrap().parse().unwrap());
        // Some inner services go on exactly, others send the last few again.
        let back = random.below(6).saturating_sub(3);
        let next = last.map_or(1, |last| (last + 1).saturating_sub(back).max(1));
        if random.below(10) == 0 {
            if let Some(stream) = request.extensions().get::<StreamHandle>() {
                stream.close_connection(Duration::from_millis(1));
            }
        }
        inner_open.fetch_add(1, Ordering::SeqCst);
        let open = Arc::clone(&inner_open);
        async move {
            let body = Numbers { next, left_over: vec![], random, pause: None, open };
            tokio::task::yield_now().await;
            let response = Response::builder().header("content-type", "text/event-stream");
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    let layer = SseResumeLayer::new()
        .linger(Linger::from(Duration::from_millis(5)))
        .share(|_| Some("all".to_owned()));
    let handle = layer.handle();
    let service = layer.layer(inner);
    let until = Instant::now() + Duration::from_secs(4);

    let heard = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let (mut service, heard) = (service.clone(), Arc::clone(&heard));
            let mut random = Random(seed * 1_000_003);
            tokio::spawn(async move {
                let (mut id, mut last) = (String::new(), None);
                while Instant::now() < until {
                    let request = support::request(Method::GET, &id);
                    let call = service.call(request);
                    if random.below(20) == 0 {
                        drop(call);
                        continue;
                    }
                    let response =
                        timeout(Duration::from_secs(60), call).await.expect("no answer hangs");
                    let mut client = Client::new(response.unwrap());
                    let token = |id: &str| id.split('.').nth(1).map(str::to_owned);
                    if token(&id) != token(client.header("sse-resume-from").unwrap()) {
                        // Its stream was purged: it begins anew with another one.
                        last = None;
                    }
                    timeout(Duration::from_secs(60), read_some(&mut client, &mut random))
                        .await
                        .expect("no body hangs");
                    let events = client.events();
                    heard.fetch_add(events.len() as u64, Ordering::SeqCst);
                    last = check(&events, last);
                    let new = client.last_event_id();
                    if !new.is_empty() {
                        id = new;
                    }
                    if client.end == End::Clean && random.below(2) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    let mut random = Random(99);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(random.below(30))).await;
        if random.below(20) == 0 {
            handle.purge_all();
        }
        assert!(handle.stats().bytes < 64 * 1024 * 1024);
    }
    for client in clients {
        timeout(Duration::from_secs(60), client).await.expect("no client hangs").unwrap();
    }
    assert!(heard.load(Ordering::SeqCst) > 1_000, "{heard:?}");
    assert!(calls.load(Ordering::SeqCst) > 10, "{calls:?}");
    handle.purge_all();
    drop(service);
    timeout(Duration::from_secs(60), async {
        while open.load(Ordering::SeqCst) > 0 || handle.stats().bytes > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{open:?} bodies, {:?}", handle.stats()));
}
