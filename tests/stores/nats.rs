//! The store in NATS does what a store promises, against a private server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::servers::{hangs, restarts, secrets, silence, trust};
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use support::store_server::Server;
use tokio::task::JoinSet;
use tower_sse_resume::store::{
    Append, ErrorKind, Keep, Key, NatsOptions, NatsStore, NewStream, Piece, Purge, Store,
};

/// The server that most tests share, each with streams of its own.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("nats"))
}

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn options(server: &Server) -> NatsOptions {
    NatsOptions::new(url(server.port)).patience(Duration::from_secs(30))
}

fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn connected(options: &NatsOptions) -> NatsStore {
    options.clone().connect().await.expect("it connects")
}

fn fresh() -> impl AsyncFn() -> NatsStore {
    let options = options(server()).prefix(prefix());
    async move || connected(&options).await
}

/// A store without what older servers, and streams that have replicas, do not offer.
fn fresh_without_batches_and_direct_answers() -> impl AsyncFn() -> NatsStore {
    let prefix = prefix();
    let options = options(server()).prefix(&prefix);
    async move || {
        drop(connected(&options).await);
        let context = plain_context().await;
        let stream = context.get_stream(&prefix).await.unwrap();
        let config = stream.cached_info().config.clone();
        let poorer = stream::Config { allow_atomic_publish: false, allow_direct: false, ..config };
        context.update_stream(poorer).await.unwrap();
        connected(&options).await
    }
}

async fn plain_context() -> jetstream::Context {
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    jetstream::new(options.connect(url(server().port)).await.unwrap())
}

tower_sse_resume::store_conformance!(nats_server, fresh());
tower_sse_resume::store_conformance!(nats_fallbacks, fresh_without_batches_and_direct_answers());
tower_sse_resume::session_store_conformance!(nats_sessions, fresh());

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_and_comes_back_loses_nothing() {
    let server = Server::start("nats");
    let options = options(&server);
    Box::pin(restarts::survives_restarts(&server, async || connected(&options).await)).await;
}

#[tokio::test]
async fn a_server_that_hangs_under_load_and_goes_on_loses_nothing_and_delays_nobody_for_ever() {
    let server = Server::start("nats");
    let options = options(&server).patience(hangs::PATIENCE);
    let open = async || options.clone().connect().await;
    Box::pin(hangs::survives_hangs(&server, open)).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_off_without_a_word_is_made_again() {
    let prefix = prefix();
    let open = async |port| {
        let options = NatsOptions::new(url(port)).prefix(&prefix);
        options.patience(Duration::from_secs(1)).connect().await.expect("it connects")
    };
    Box::pin(silence::outlives_silence(server(), open)).await;
}

#[tokio::test]
async fn over_tls_only_servers_with_a_trusted_certificate_are_used() {
    let server = Server::start_with_tls("nats");
    let connect = async |pem: Option<Vec<u8>>, patience| {
        let options = NatsOptions::new(url(server.port).replace("nats:", "tls:"));
        let options = match pem {
            Some(pem) => options.root_certificates(pem),
            None => options,
        };
        options.patience(patience).connect().await
    };
    Box::pin(trust::trusts_only_whom_it_is_told(&server, connect, ErrorKind::Unreachable)).await;
}

fn key(name: impl Into<String>) -> Key {
    Key::new(name.into()).unwrap()
}

fn new_stream(age: Duration) -> NewStream {
    let (session, owner) = (Some(key("session")), Some(key("owner")));
    let keep = Keep { events: 1000, bytes: 1 << 30, age };
    NewStream { producer: key("p"), session, owner, origin: Bytes::from("origin"), keep }
}

fn one_event(stream: Key, first: u64, bytes: usize) -> Append {
    let pieces = vec![Piece::events(first, 1, vec![b'e'; bytes])];
    Append { stream, generation: 1, first, pieces, progress: None, gap: None, end: None }
}

/// More batches than the server has under way at a time.
#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_store_large_batches_at_the_same_time() {
    let options = options(server()).prefix(prefix());
    let mut storing = JoinSet::new();
    for n in 0..8 {
        let store = connected(&options).await;
        storing.spawn(async move {
            let streams: Vec<Key> = (0..16).map(|m| key(format!("{n}.{m}"))).collect();
            for stream in &streams {
                store.create(stream, &new_stream(Duration::from_secs(3600))).await.unwrap();
            }
            let batch: Vec<_> =
                streams.iter().map(|stream| one_event(stream.clone(), 1, 300 << 10)).collect();
            let results = store.append(&batch).await.unwrap();
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        });
    }
    storing.join_all().await;
}

/// Steps far apart are found, whatever lies between, also after those before them were removed.
#[tokio::test(flavor = "multi_thread")]
async fn any_event_of_a_long_stream_is_found() {
    let store = fresh()().await;
    let streams = [key("one"), key("other")];
    for stream in &streams {
        store.create(stream, &new_stream(Duration::from_secs(3600))).await.unwrap();
    }
    for first in 1..=1200 {
        let batch = streams.clone().map(|stream| one_event(stream, first, 10));
        assert!(store.append(&batch).await.unwrap().iter().all(Result::is_ok));
    }
    for kept_from in [1, 201] {
        for after in (0..1200).step_by(37) {
            let page = store.read(&streams[0], after, 1).await.unwrap();
            assert_eq!(page.pieces[0].first, kept_from.max(after + 1), "after {after}");
        }
        assert_eq!(store.sweep().await.unwrap().pieces, if kept_from == 1 { 400 } else { 0 });
    }
}

#[tokio::test]
async fn a_purge_and_an_expiry_leave_one_small_message_and_then_none() {
    let prefix = prefix();
    let store = connected(&options(server()).prefix(&prefix)).await;
    for name in ["purged", "expires"] {
        store.create(&key(name), &new_stream(Duration::from_millis(200))).await.unwrap();
        store.append(&[one_event(key(name), 1, 10)]).await.unwrap();
        store.append(&[one_event(key(name), 2, 100 << 10)]).await.unwrap();
    }
    store.purge(&Purge::Stream(key("purged"))).await.unwrap();
    let context = plain_context().await;
    let messages = async |like: &str| {
        let stream = context.get_stream(&prefix).await.unwrap();
        let mut info = stream.info_with_subjects(format!("{prefix}.{like}")).await.unwrap();
        let mut count = 0;
        while let Some(subject) = futures_util::StreamExt::next(&mut info).await {
            count += subject.unwrap().1;
        }
        count
    };
    // The tombstone; the other one's origin, three steps and one chunk.
    assert_eq!((messages("s.*.*").await, messages("o.>").await), (1 + 4, 1));
    while messages("s.*.*").await > 0 {
        store.sweep().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(messages("o.>").await, 0);
}

#[tokio::test]
async fn streams_of_another_schema_are_refused() {
    let prefix = prefix();
    let connect = async || options(server()).prefix(&prefix).connect().await;
    drop(connect().await.unwrap());
    let context = plain_context().await;
    let config = context.get_stream(&prefix).await.unwrap().cached_info().config.clone();
    let description = Some("tower-sse-resume, schema 2".into());
    context.update_stream(stream::Config { description, ..config }).await.unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::IncompatibleSchema);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_after_the_patience_and_no_password_is_shown() {
    // A port that is taken, and where nobody speaks.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let url = format!("nats://ada:s3cret@127.0.0.1:{port}");
    let options = NatsOptions::new(&url).patience(Duration::from_millis(200));
    secrets::does_not_show(&options);
    let error = options.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let malformed = NatsOptions::new(url.replace("nats:", "s3cret:")).connect().await.unwrap_err();
    assert_eq!(malformed.kind(), ErrorKind::InvalidData);
    let prefix = NatsOptions::new(url).prefix("a.b").connect().await.unwrap_err();
    assert_eq!(prefix.kind(), ErrorKind::InvalidData);
    for error in [error, malformed] {
        secrets::error_does_not_show(&error);
    }
}

#[tokio::test]
async fn a_store_never_shows_its_password() {
    let url = format!("nats://ada:{}@127.0.0.1:{}", secrets::PASSWORD, server().port);
    let options = NatsOptions::new(url).prefix(prefix()).patience(Duration::from_secs(30));
    secrets::does_not_show(&options);
    secrets::store_does_not_show(connected(&options).await);
}
