//! What is no event stream passes through the proxy as if the proxy were not there.
//!
//! The upstream is a socket that says exactly what a test wants it to say.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use support::process::{Server, example};
use support::socket::{Exchange, Upstream};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

type Body = Either<Either<Empty<Bytes>, Full<Bytes>>, Streamed>;
type Streamed = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;
type Client = legacy::Client<HttpConnector, Body>;

fn client(protocol: Protocol) -> Client {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(protocol == Protocol::Http2)
        .build_http()
}

fn empty() -> Body {
    Either::Left(Either::Left(Empty::new()))
}

fn full(content: impl Into<Bytes>) -> Body {
    Either::Left(Either::Right(Full::new(content.into())))
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";

async fn start() -> (Upstream, Server) {
    let upstream = Upstream::new().await;
    let proxy = Server::proxy(upstream.address, &[]).await;
    (upstream, proxy)
}

fn to(proxy: &Server, path: &str) -> http::request::Builder {
    Request::builder().uri(format!("http://{}{path}", proxy.address))
}

/// Sends a request; the upstream answers with a head, and more is up to the test.
async fn begin(
    upstream: &Upstream,
    client: &Client,
    request: http::request::Builder,
    head: &str,
) -> (Exchange, Response<Incoming>) {
    let answering = async {
        let (_, mut exchange) = upstream.request().await;
        exchange.send(head).await;
        exchange
    };
    let (exchange, response) =
        tokio::join!(answering, client.request(request.body(empty()).unwrap()));
    (exchange, response.unwrap())
}

/// Sends a request; the upstream answers it and closes the connection.
async fn exchange(
    upstream: &Upstream,
    client: &Client,
    request: Request<Body>,
    answer: &str,
) -> (String, Response<Incoming>) {
    let answering = async {
        let (head, mut exchange) = upstream.request().await;
        exchange.send(answer).await;
        head
    };
    let (head, response) = tokio::join!(answering, client.request(request));
    (head, response.unwrap())
}

async fn text(response: Response<Incoming>) -> String {
    rest(response.into_body()).await
}

/// Reads up to a clean end.
async fn rest(body: Incoming) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn next(body: &mut Incoming) -> Bytes {
    body.frame().await.expect("the body goes on").unwrap().into_data().unwrap()
}

#[tokio::test]
async fn a_response_reaches_the_client_piece_by_piece() {
    for protocol in PROTOCOLS {
        let (upstream, proxy) = start().await;
        let client = client(protocol);
        let (mut exchange, response) = begin(&upstream, &client, to(&proxy, "/"), CHUNKED).await;
        let mut body = response.into_body();
        for sent in ["3\r\none\r\n", "3\r\ntwo\r\n"] {
            exchange.send(sent).await;
            assert_eq!(next(&mut body).await, sent[3..6], "{protocol:?}");
        }
        exchange.send("0\r\n\r\n").await;
        assert_eq!(rest(body).await, "", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_request_reaches_the_upstream_piece_by_piece_while_the_response_comes() {
    for protocol in PROTOCOLS {
        let (upstream, proxy) = start().await;
        let (pieces, receiver) = mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(receiver));
        let request = to(&proxy, "/").method("POST").body(Either::Right(body)).unwrap();
        let talking = async {
            pieces.send(Ok(Frame::data(Bytes::from("one")))).await.unwrap();
            let (_, mut exchange) = upstream.request().await;
            exchange.until("one\r\n").await;
            exchange.send(CHUNKED).await;
            exchange
        };
        let (mut exchange, response) = tokio::join!(talking, client(protocol).request(request));
        let mut body = response.unwrap().into_body();
        exchange.send("3\r\nyes\r\n").await;
        assert_eq!(next(&mut body).await, "yes");
        pieces.send(Ok(Frame::data(Bytes::from("two")))).await.unwrap();
        exchange.until("two\r\n").await;
        drop(pieces);
        exchange.until("0\r\n\r\n").await;
        exchange.send("0\r\n\r\n").await;
        assert_eq!(rest(body).await, "", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_broken_response_is_never_a_clean_end() {
    let heads = [CHUNKED, "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"];
    for protocol in PROTOCOLS {
        for head in heads {
            let (upstream, proxy) = start().await;
            let client = client(protocol);
            let (mut exchange, response) = begin(&upstream, &client, to(&proxy, "/"), head).await;
            exchange.send("4\r\npart\r\n").await;
            let mut body = response.into_body();
            next(&mut body).await;
            drop(exchange);
            assert!(body.collect().await.is_err(), "{protocol:?} {head}");
        }
    }
}

#[tokio::test]
async fn the_upstream_sees_a_client_leave_within_a_response() {
    for protocol in PROTOCOLS {
        let (upstream, proxy) = start().await;
        let client = client(protocol);
        let (exchange, response) = begin(&upstream, &client, to(&proxy, "/"), CHUNKED).await;
        drop(response);
        exchange.closed().await;
    }
}

#[tokio::test]
async fn the_upstream_sees_a_client_leave_before_the_response() {
    for protocol in PROTOCOLS {
        let (upstream, proxy) = start().await;
        let client = client(protocol);
        let mut request = client.request(to(&proxy, "/").body(empty()).unwrap());
        let exchange = tokio::select! {
            (_, exchange) = upstream.request() => exchange,
            _ = &mut request => panic!("nothing was answered"),
        };
        drop(request);
        exchange.closed().await;
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_a_502() {
    let (upstream, proxy) = start().await;
    drop(upstream);
    for protocol in PROTOCOLS {
        let response =
            client(protocol).request(to(&proxy, "/").body(empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(text(response).await, "no response from the upstream server\n");
    }
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let (upstream, proxy) = start().await;
    drop(upstream);
    for protocol in PROTOCOLS {
        let (pieces, receiver) = mpsc::channel(1);
        let body = Either::Right(StreamBody::new(ReceiverStream::new(receiver)));
        let client = client(protocol);
        let request = client.request(to(&proxy, "/").method("POST").body(body).unwrap());
        let sending = async {
            for _ in 0..256 {
                let piece = Bytes::from_static(&[0; 1 << 14]);
                pieces.send(Ok(Frame::data(piece))).await.expect("the rest is taken");
            }
            drop(pieces);
        };
        let ((), response) = tokio::join!(sending, request);
        assert_eq!(response.unwrap().status(), StatusCode::BAD_GATEWAY, "{protocol:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_head_is_a_502() {
    let (upstream, proxy) = start().await;
    for protocol in PROTOCOLS {
        let request = to(&proxy, "/").body(empty()).unwrap();
        let (_, response) = exchange(&upstream, &client(protocol), request, "HTTP/1.1 200").await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test]
async fn headers_pass_except_those_of_one_connection() {
    let (upstream, proxy) = start().await;
    let request = to(&proxy, "/a?b=c")
        .header("x-kept", "1")
        .header("x-dropped", "2")
        .header("connection", "x-dropped")
        .header("te", "trailers")
        .body(empty())
        .unwrap();
    let answer = "HTTP/1.1 200 Fine Indeed\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-dropped: 1\r\n\
                  connection: x-dropped\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok";
    let (head, response) = exchange(&upstream, &client(Protocol::Http1), request, answer).await;
    let host = proxy.address;
    assert_eq!(
        head,
        format!("GET /a?b=c HTTP/1.1\r\nx-kept: 1\r\nhost: {host}\r\nte: trailers\r\n\r\n")
    );
    let names: Vec<&str> = response.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["set-cookie", "content-length", "date"]);
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        response.extensions().get::<hyper::ext::ReasonPhrase>().unwrap().as_bytes(),
        b"Fine Indeed"
    );
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn the_authority_of_an_http2_request_becomes_its_host() {
    let (upstream, proxy) = start().await;
    let request =
        to(&proxy, "/").header("cookie", "a=1").header("cookie", "b=2").body(empty()).unwrap();
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let (head, response) = exchange(&upstream, &client(Protocol::Http2), request, answer).await;
    assert_eq!(
        head,
        format!("GET / HTTP/1.1\r\ncookie: a=1; b=2\r\nhost: {}\r\n\r\n", proxy.address)
    );
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_event_stream_is_asked_for_uncompressed() {
    let (upstream, proxy) = start().await;
    for (accept, encoding) in [("text/event-stream", "identity"), ("text/html", "gzip")] {
        let request = to(&proxy, "/").header("accept", accept).header("accept-encoding", "gzip");
        let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        let client = client(Protocol::Http1);
        let (head, _) = exchange(&upstream, &client, request.body(empty()).unwrap(), answer).await;
        assert!(head.contains(&format!("accept-encoding: {encoding}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn responses_without_a_body_keep_their_headers() {
    let (upstream, proxy) = start().await;
    let answers = [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "content-length", "5"),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n", "etag", "\"x\""),
        ("OPTIONS", "HTTP/1.1 204 No Content\r\nallow: GET\r\n\r\n", "allow", "GET"),
    ];
    for protocol in PROTOCOLS {
        for (method, answer, name, value) in answers {
            let request = to(&proxy, "/").method(method).body(empty()).unwrap();
            let (_, response) = exchange(&upstream, &client(protocol), request, answer).await;
            assert!(answer.contains(response.status().as_str()), "{protocol:?} {method}");
            assert_eq!(response.headers()[name], value, "{protocol:?} {method}");
            assert_eq!(text(response).await, "");
        }
    }
}

#[tokio::test]
async fn error_statuses_pass_with_their_bodies() {
    let (upstream, proxy) = start().await;
    for protocol in PROTOCOLS {
        for status in ["404 Not Found", "500 Internal Server Error", "503 Service Unavailable"] {
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhy?");
            let request = to(&proxy, "/").body(empty()).unwrap();
            let (_, response) = exchange(&upstream, &client(protocol), request, &answer).await;
            assert!(status.starts_with(response.status().as_str()));
            assert_eq!(text(response).await, "why?");
        }
    }
}

#[tokio::test]
async fn trailers_pass() {
    for protocol in PROTOCOLS {
        let (upstream, proxy) = start().await;
        let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
        let request = to(&proxy, "/").header("te", "trailers").body(empty()).unwrap();
        let (_, response) = exchange(&upstream, &client(protocol), request, answer).await;
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().expect("trailers")["x-sum"], "7", "{protocol:?}");
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let (upstream, proxy) = start().await;
    let mut client = Exchange::with(proxy.address).await;
    client
        .send("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await;
    let (head, mut exchange) = upstream.request().await;
    assert!(!head.contains("expect"), "{head}");
    client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("body").await;
    exchange.until("body").await;
    exchange.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn connections_are_used_again_on_both_sides() {
    let (upstream, proxy) = start().await;
    let mut client = Exchange::with(proxy.address).await;
    client.send("GET /1 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let (_, mut exchange) = upstream.request().await;
    for path in ["/2", "/3"] {
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        client.until("ok").await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert!(exchange.until("\r\n\r\n").await.starts_with(&format!("GET {path} ")));
    }
}

#[tokio::test]
async fn a_large_body_comes_back_as_it_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Server::proxy(listener.local_addr().unwrap(), &[]).await;
    let echo = axum::Router::new().fallback(|body: axum::body::Body| async { body });
    tokio::spawn(async { axum::serve(listener, echo).await });
    let sent: Bytes =
        (0..16 << 20).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for protocol in PROTOCOLS {
        let request = to(&proxy, "/").method("POST").body(full(sent.clone())).unwrap();
        let response = client(protocol).request(request).await.unwrap();
        let received = response.into_body().collect().await.unwrap().to_bytes();
        assert!(received == sent, "{protocol:?}: {} bytes", received.len());
    }
}

#[tokio::test]
async fn nonsense_on_one_connection_concerns_no_other() {
    let (upstream, proxy) = start().await;
    let mut nonsense = Exchange::with(proxy.address).await;
    nonsense.send("\u{1}\u{2}\u{3} nonsense\r\n\r\n").await;
    nonsense.closed().await;
    let request = to(&proxy, "/").body(empty()).unwrap();
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let (_, response) = exchange(&upstream, &client(Protocol::Http1), request, answer).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[cfg(unix)]
#[tokio::test]
async fn on_sigterm_running_responses_end_and_the_proxy_exits_with_0() {
    for protocol in PROTOCOLS {
        let (upstream, mut proxy) = start().await;
        let client = client(protocol);
        let (mut exchange, response) = begin(&upstream, &client, to(&proxy, "/"), CHUNKED).await;
        proxy.process.signal("TERM").await;
        let address = proxy.address;
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        exchange.send("4\r\nlast\r\n0\r\n\r\n").await;
        assert_eq!(text(response).await, "last", "{protocol:?}");
        assert!(proxy.process.exit().await.success(), "{protocol:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_response_that_outlasts_the_drain_is_cut_off_and_the_proxy_exits_with_0() {
    for protocol in PROTOCOLS {
        let upstream = Upstream::new().await;
        let mut proxy = Server::proxy(upstream.address, &["--drain", "100ms"]).await;
        let client = client(protocol);
        let (_exchange, response) = begin(&upstream, &client, to(&proxy, "/"), CHUNKED).await;
        proxy.process.signal("TERM").await;
        assert!(proxy.process.exit().await.success(), "{protocol:?}");
        assert!(response.into_body().collect().await.is_err(), "{protocol:?}");
    }
}

#[tokio::test]
async fn an_option_that_this_build_cannot_honour_is_an_error() {
    for (option, value, complaint) in [
        ("--store", "mysql://localhost", "expected `memory`"),
        ("--age", "5 fortnights", "unknown unit `fortnights`"),
        ("--upstream", "127.0.0.1:3000", "expected http://HOST[:PORT]"),
    ] {
        let output = example("proxy").args([option, value]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(complaint), "{said}");
    }
}

#[cfg(not(feature = "sqlite"))]
#[tokio::test]
async fn a_store_whose_feature_is_missing_is_an_error() {
    let options = ["--upstream", "http://127.0.0.1:1", "--store", "sqlite:events.db"];
    let output = example("proxy").args(options).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("needs the feature `sqlite`"), "{said}");
}

#[tokio::test]
async fn commit_first_without_a_store_is_an_error() {
    let options = ["--upstream", "http://127.0.0.1:1", "--durability", "commit-first"];
    let output = example("proxy").args(options).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("needs a --store"), "{said}");
}
