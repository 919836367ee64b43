//! The store in Redis does what a store promises, against a private server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::servers::{hangs, restarts, secrets, silence, trust};
use bytes::Bytes;
use support::store_server::Server;
use tower_sse_resume::store::{
    ErrorKind, Keep, Key, NewStream, Purge, RedisOptions, RedisStore, Store,
};

/// The server that most tests share, each with keys of its own.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("redis"))
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

fn options(server: &Server) -> RedisOptions {
    RedisOptions::new(url(server.port)).patience(Duration::from_secs(30))
}

fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn fresh() -> impl AsyncFn() -> RedisStore {
    let options = options(server()).key_prefix(prefix());
    async move || options.clone().connect().await.expect("it connects")
}

tower_sse_resume::store_conformance!(redis_server, fresh());
tower_sse_resume::session_store_conformance!(redis_sessions, fresh());

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_and_comes_back_loses_nothing() {
    let server = Server::start("redis");
    let options = options(&server);
    let open = async || options.clone().connect().await.expect("it connects");
    Box::pin(restarts::survives_restarts(&server, open)).await;
}

#[tokio::test]
async fn a_server_that_hangs_under_load_and_goes_on_loses_nothing_and_delays_nobody_for_ever() {
    let server = Server::start("redis");
    let options = options(&server).patience(hangs::PATIENCE);
    let open = async || options.clone().connect().await;
    Box::pin(hangs::survives_hangs(&server, open)).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_off_without_a_word_is_made_again() {
    let prefix = prefix();
    let open = async |port| {
        let options = RedisOptions::new(url(port)).key_prefix(&prefix);
        options.patience(Duration::from_secs(1)).connect().await.expect("it connects")
    };
    Box::pin(silence::outlives_silence(server(), open)).await;
}

#[tokio::test]
async fn over_tls_only_servers_with_a_trusted_certificate_are_used() {
    let server = Server::start_with_tls("redis");
    let connect = async |pem: Option<Vec<u8>>, patience| {
        let options = RedisOptions::new(url(server.port).replace("redis:", "rediss:"));
        let options = match pem {
            Some(pem) => options.root_certificates(pem),
            None => options,
        };
        options.patience(patience).connect().await
    };
    Box::pin(trust::trusts_only_whom_it_is_told(&server, connect, ErrorKind::Failed)).await;
}

async fn plain_connection() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url(server().port)).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn keys_of_a_newer_schema_are_refused() {
    let (options, prefix) = (options(server()), prefix());
    let connect = async || options.clone().key_prefix(&prefix).connect().await;
    drop(connect().await.unwrap());
    let key = format!("{{{prefix}}}:schema");
    let mut connection = plain_connection().await;
    redis::cmd("SET").arg(key).arg(2).exec_async(&mut connection).await.unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::IncompatibleSchema);
}

#[tokio::test]
async fn all_keys_are_in_one_slot_and_those_of_streams_go_by_themselves() {
    let (store, prefix) = {
        let prefix = prefix();
        (options(server()).key_prefix(&prefix).connect().await.unwrap(), prefix)
    };
    let keep = Keep { events: 10, bytes: 10, age: Duration::from_secs(60) };
    let key = |name: &str| Key::new(name.to_owned()).unwrap();
    let (session, owner) = (Some(key("s")), Some(key("o")));
    let new = NewStream { producer: key("p"), session, owner, origin: Bytes::new(), keep };
    store.create(&key("one"), &new).await.unwrap();
    store.create(&key("{other}"), &new).await.unwrap();
    store.purge(&Purge::Stream(key("one"))).await.unwrap();
    let mut connection = plain_connection().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let own: Vec<_> = keys.iter().filter(|key| key.contains(&prefix)).collect();
    assert!(own.len() > 5, "{own:?}");
    for key in own {
        assert!(key.starts_with(&format!("{{{prefix}}}:")), "{key}");
        let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.unwrap();
        let is_of_a_stream = [":s:", ":e:", ":g:"].iter().any(|kind| key.contains(kind));
        assert_eq!(left > 60_000, is_of_a_stream, "{key} has {left} ms");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_after_the_patience_and_no_password_is_shown() {
    // A port that is taken, and where nobody speaks.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let url = format!("redis://ada:s3cret@127.0.0.1:{port}/");
    let options = RedisOptions::new(&url).patience(Duration::from_millis(200));
    secrets::does_not_show(&options);
    let error = options.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let malformed = RedisOptions::new(url.replace("redis:", "s3cret:"));
    let malformed = malformed.connect().await.unwrap_err();
    assert_eq!(malformed.kind(), ErrorKind::InvalidData);
    for error in [error, malformed] {
        secrets::error_does_not_show(&error);
    }
}

#[tokio::test]
async fn neither_a_store_nor_an_error_ever_shows_the_password() {
    let password = secrets::PASSWORD;
    let user = prefix().replace(' ', "-");
    let mut connection = plain_connection().await;
    let mut add = redis::cmd("ACL");
    add.arg(&["SETUSER", &user, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
    add.exec_async(&mut connection).await.unwrap();
    let options = |password: &str| {
        let url = format!("redis://{user}:{password}@127.0.0.1:{}/", server().port);
        RedisOptions::new(url).key_prefix(prefix()).patience(Duration::from_secs(30))
    };
    secrets::does_not_show(&options(password));
    let error = options(&format!("wrong-{password}")).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "it is wrong: {error:?}");
    secrets::error_does_not_show(&error);
    secrets::store_does_not_show(options(password).connect().await.unwrap());
}
