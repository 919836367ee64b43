//! What the inner service may answer when it is called again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::{ReconnectError, ReconnectErrorKind};

use crate::{Read, end, get, layer, open, until_call, wrap};
use support::client::{Client, End};
use support::scripted::{Failure, FedBody, Scripted, status};

/// The end of a response after a break that was answered so, and the calls of the inner service.
async fn answered(heads: &[StatusCode]) -> (Read, Scripted) {
    let (mut client, inner) = open(layer()).await;
    for head in heads {
        inner.answer_next(status(*head));
    }
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, heads.len()).await;
    (client, inner)
}

#[tokio::test(start_paused = true)]
async fn no_content_is_a_clean_end() {
    let (mut client, inner) = open(layer()).await;
    inner.answer_next(status(StatusCode::NO_CONTENT));
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_event_stream_is_an_error_with_the_first_as_its_source() {
    let page = Response::builder().header("content-type", "text/html").body(()).unwrap();
    for head in [status(StatusCode::NOT_FOUND), status(StatusCode::FOUND), page] {
        let (mut app, inner) = wrap(&layer());
        let code = head.status();
        let response = app.call(get()).await.unwrap();
        inner.answer_next(head);
        inner.body(0).send("id: a\ndata: 1\n\n");
        inner.body(0).fail();
        let error = response.into_body().collect().await.unwrap_err();
        let error = error.downcast::<ReconnectError>().unwrap();
        assert_eq!(error.kind(), ReconnectErrorKind::Refused(code));
        let source = std::error::Error::source(&*error).unwrap();
        assert_eq!(source.to_string(), "the inner body broke");
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_tried_again() {
    let codes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY];
    let (mut client, inner) = answered(&codes).await;
    until_call(&mut client, &inner, 3).await;
    inner.body(3).send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
}

/// A service that is to be asked first whether it is ready, and is not as often as a test says.
struct Unready {
    inner: Scripted,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    is_ready: bool,
}

enum Fault {
    NotYet,
    Never,
}

impl Clone for Unready {
    fn clone(&self) -> Self {
        let (inner, faults) = (self.inner.clone(), Arc::clone(&self.faults));
        Self { inner, faults, is_ready: false }
    }
}

impl<B> Service<Request<B>> for Unready {
    type Response = Response<FedBody>;
    type Error = Failure;
    type Future = <Scripted as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.faults.lock().unwrap().pop_front() {
            Some(Fault::NotYet) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Fault::Never) => return Poll::Ready(Err(Failure)),
            None => {}
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready));
        Service::call(&mut self.inner, request)
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_are_not_ready_or_fail_are_waited_for_and_tried_again() {
    let inner = Scripted::new();
    let faults = Arc::new(Mutex::new(VecDeque::new()));
    let unready = Unready { inner: inner.clone(), faults: Arc::clone(&faults), is_ready: false };
    let mut app = layer().attempts(3).layer(unready);
    let mut client = Client::new((&mut app).oneshot(get()).await.unwrap());
    faults.lock().unwrap().extend([Fault::Never, Fault::NotYet]);
    inner.fail_next();
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 2).await;
    inner.body(2).send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
    assert!(faults.lock().unwrap().is_empty());
}
