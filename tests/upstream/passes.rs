//! What the layer does not go on with.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{broken, get, layer, wrap};
use support::client::Client;
use support::scripted::event_stream;

#[tokio::test]
async fn all_but_event_streams_that_answer_a_get_pass_untouched() {
    let cases = [
        (Method::POST, "text/event-stream", ""),
        (Method::HEAD, "text/event-stream", ""),
        (Method::GET, "text/html", ""),
        (Method::GET, "text/event-stream", "gzip"),
    ];
    for (method, content_type, encoding) in cases {
        let inner = service_fn(move |_: Request<Empty<Bytes>>| async move {
            let response = Response::builder()
                .header("content-type", content_type)
                .header("content-encoding", encoding)
                .header("content-length", "9")
                .header("etag", "x");
            response.body(Full::<Bytes>::from("data: 1\n\n"))
        });
        let request = Request::builder().method(method).body(Empty::new()).unwrap();
        let response = layer().layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.headers().len(), 4);
        assert_eq!(response.body().size_hint().exact(), Some(9));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 1\n\n");
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_not_made_again() {
    let (mut app, inner) = wrap(&layer());
    let request = Request::get("/").body(Full::<Bytes>::from("question")).unwrap();
    let mut client = Client::new(app.call(request).await.unwrap());
    inner.body(0).send("id: a\ndata: 1\n\nda");
    inner.body(0).fail();
    assert_eq!(client.read(), "id: a\ndata: 1\n\nda");
    assert_eq!(client.end, broken());
}

#[tokio::test]
async fn an_event_stream_loses_the_headers_that_would_be_wrong_of_it() {
    let (mut app, inner) = wrap(&layer());
    let mut head = event_stream();
    for (name, value) in [("content-length", "9"), ("etag", "x"), ("x-other", "y"), ("age", "3")] {
        head.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    inner.answer_next(head);
    let response = app.call(get()).await.unwrap();
    let headers = response.headers();
    assert!(!headers.contains_key("content-length") && !headers.contains_key("etag"));
    assert!(!headers.contains_key("age"));
    assert_eq!(headers["x-other"], "y");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(response.body().size_hint().exact(), None);
}
