//! An inner body that is always ready and never says anything to its readers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use support::app::request;
use tower::{Layer, Service, service_fn};
use tower_sse_resume::{SseReconnectLayer, SseResumeLayer};

/// Says the same for ever, and counts how often it was asked.
struct Endless {
    says: Bytes,
    polls: Arc<AtomicUsize>,
}

/// More than this in one poll is a thread that is not let go of.
const TOO_MANY: usize = 5_000;

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polls = self.polls.fetch_add(1, Ordering::Relaxed);
        assert!(polls < TOO_MANY, "it never lets go of the thread");
        Poll::Ready(Some(Ok(Frame::data(self.says.clone()))))
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn endless<R: Send + 'static>(
    says: &'static str,
    polls: &Arc<AtomicUsize>,
) -> impl Service<
    Request<R>,
    Response = Response<Endless>,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let polls = Arc::clone(polls);
    service_fn(move |_: Request<R>| {
        let body = Endless { says: Bytes::from_static(says.as_bytes()), polls: Arc::clone(&polls) };
        let response = Response::builder().header("content-type", "text/event-stream").body(body);
        std::future::ready(Ok(response.unwrap()))
    })
}

/// Polls often; each poll asks the inner body so often at most, and whoever gets nothing is woken to ask again.
fn poll_often<B: Body<Data = Bytes> + Unpin>(body: &mut B, polls: &AtomicUsize) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..100 {
        polls.store(0, Ordering::Relaxed);
        woken.0.store(0, Ordering::Relaxed);
        if Pin::new(&mut *body).poll_frame(&mut cx).is_pending() {
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        }
    }
}

#[tokio::test]
async fn blocks_without_events_let_go_of_the_thread_after_a_while() {
    for says in ["id: 1\n\n", ": comment\n\n", "", "\n", "data: half a frame\n"] {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut service = SseResumeLayer::new().layer(endless(says, &polls));
        let mut body = service.call(request(Method::GET, "")).await.unwrap().into_body();
        poll_often(&mut Box::pin(&mut body), &polls);
    }
}

#[tokio::test]
async fn a_task_that_reads_nothing_lets_go_of_the_thread_after_a_while() {
    for says in ["id: 1\n\n", ""] {
        let polls = Arc::new(AtomicUsize::new(0));
        let layer = SseResumeLayer::new().share(|_| Some(String::new()));
        let mut service = layer.layer(endless(says, &polls));
        let _body = service.call(request(Method::GET, "")).await.unwrap().into_body();
        for _ in 0..3 {
            polls.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_reconnecting_body_that_skips_lets_go_of_the_thread_after_a_while() {
    for says in ["", "data: half a frame\n"] {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut service = SseReconnectLayer::new().layer(endless(says, &polls));
        let request = request(Method::GET, "").map(|()| http_body_util::Empty::<Bytes>::new());
        let mut body = service.call(request).await.unwrap().into_body();
        poll_often(&mut Box::pin(&mut body), &polls);
    }
}
