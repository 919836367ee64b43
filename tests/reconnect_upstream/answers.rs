//! What the inner service may answer when it is called again.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::{ReconnectError, ReconnectErrorKind};

use crate::client::{Client, End};
use crate::scripted::{FedBody, Scripted, status};
use crate::{Read, end, get, layer, open, until_call, wrap};

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

/// A service that goes wrong as often as a test says, and that is to be asked first whether it is ready.
struct Unsteady {
    inner: Scripted,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    is_ready: bool,
}

#[derive(PartialEq)]
enum Fault {
    NotYetReady,
    NeverReady,
    Call,
}

impl Unsteady {
    fn goes_wrong(&self, how: &Fault) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let next = faults.front() == Some(how);
        next && faults.pop_front().is_some()
    }
}

impl Clone for Unsteady {
    fn clone(&self) -> Self {
        let (inner, faults) = (self.inner.clone(), Arc::clone(&self.faults));
        Self { inner, faults, is_ready: false }
    }
}

impl<B> Service<Request<B>> for Unsteady {
    type Response = Response<FedBody>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.goes_wrong(&Fault::NotYetReady) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.goes_wrong(&Fault::NeverReady) {
            return Poll::Ready(Err("closed"));
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready));
        if self.goes_wrong(&Fault::Call) {
            return ready(Err("no connection"));
        }
        let Ok(response) = Service::call(&mut self.inner, request).into_inner();
        ready(Ok(response))
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_are_not_ready_or_fail_are_waited_for_and_tried_again() {
    let inner = Scripted::new();
    let faults = Arc::new(Mutex::new(VecDeque::new()));
    let unsteady = Unsteady { inner: inner.clone(), faults: Arc::clone(&faults), is_ready: false };
    let mut app = layer().attempts(3).layer(unsteady);
    let mut client = Client::new((&mut app).oneshot(get()).await.unwrap());
    faults.lock().unwrap().extend([Fault::NeverReady, Fault::Call, Fault::NotYetReady]);
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    client.read_until(|_| inner.calls() > 1).await;
    inner.body(1).send("id: b\ndata: 2\n\n");
    client.read();
    assert_eq!(client.data(), ["1", "2"]);
    assert!(faults.lock().unwrap().is_empty());
}
