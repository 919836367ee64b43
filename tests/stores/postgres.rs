//! The store in PostgreSQL does what a store promises, against a private server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::servers::{hangs, restarts, secrets, silence, trust};
use support::store_server::Server;
use tokio::task::JoinSet;
use tower_sse_resume::store::{ErrorKind, PostgresOptions, PostgresStore};

/// The server that most tests share, each with tables of its own.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("postgres"))
}

fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

fn options(server: &Server) -> PostgresOptions {
    PostgresOptions::new(url(server.port)).patience(Duration::from_secs(30))
}

fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test{}_", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn fresh() -> impl AsyncFn() -> PostgresStore {
    let options = options(server()).table_prefix(prefix()).connections(2);
    async move || options.clone().connect().await.expect("it connects")
}

tower_sse_resume::store_conformance!(postgres, fresh());
tower_sse_resume::session_store_conformance!(postgres_sessions, fresh());

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_and_comes_back_loses_nothing() {
    let server = Server::start("postgres");
    let options = options(&server);
    let open = async || options.clone().connect().await.expect("it connects");
    Box::pin(restarts::survives_restarts(&server, open)).await;
}

#[tokio::test]
async fn a_server_that_hangs_under_load_and_goes_on_loses_nothing_and_delays_nobody_for_ever() {
    let server = Server::start("postgres");
    let options = options(&server).patience(hangs::PATIENCE);
    let open = async || options.clone().connect().await;
    Box::pin(hangs::survives_hangs(&server, open)).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_off_without_a_word_is_made_again() {
    let prefix = prefix();
    let open = async |port| {
        let options = PostgresOptions::new(url(port)).table_prefix(&prefix).connections(1);
        options.patience(Duration::from_secs(1)).connect().await.expect("it connects")
    };
    Box::pin(silence::outlives_silence(server(), open)).await;
}

#[tokio::test]
async fn over_tls_only_servers_with_a_trusted_certificate_are_used() {
    let server = Server::start_with_tls("postgres");
    let connect = async |pem: Option<Vec<u8>>, patience| {
        let options = PostgresOptions::new(format!("{}?sslmode=require", url(server.port)));
        let options = match pem {
            Some(pem) => options.root_certificates(pem),
            None => options,
        };
        options.patience(patience).connect().await
    };
    Box::pin(trust::trusts_only_whom_it_is_told(&server, connect, ErrorKind::Failed)).await;
}

#[tokio::test]
async fn tables_of_a_newer_schema_are_refused() {
    let (options, prefix) = (options(server()), prefix());
    let connect = async || options.clone().table_prefix(&prefix).connect().await;
    drop(connect().await.unwrap());
    let (client, connection) = plain_connection().await;
    tokio::spawn(connection);
    let set = format!("UPDATE {prefix}schema SET version = 2");
    client.batch_execute(&set).await.unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::IncompatibleSchema);
}

async fn plain_connection() -> (
    tokio_postgres::Client,
    tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>,
) {
    tokio_postgres::connect(&url(server().port), tokio_postgres::NoTls).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_who_connect_to_an_empty_database_at_the_same_time_all_get_a_store() {
    let (options, prefix) = (options(server()), prefix());
    let mut connecting = JoinSet::new();
    for _ in 0..8 {
        connecting.spawn(options.clone().table_prefix(&prefix).connect());
    }
    assert!(connecting.join_all().await.into_iter().all(|store| store.is_ok()));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_after_the_patience_and_no_password_is_shown() {
    // A port that is taken, and where nobody speaks.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let url = format!("postgres://ada:s3cret@127.0.0.1:{port}/events");
    let options = PostgresOptions::new(&url).patience(Duration::from_millis(200));
    secrets::does_not_show(&options);
    let error = options.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let malformed = PostgresOptions::new(url.replace("postgres:", "s3cret:"));
    let malformed = malformed.connect().await.unwrap_err();
    assert_eq!(malformed.kind(), ErrorKind::InvalidData);
    for error in [error, malformed] {
        secrets::error_does_not_show(&error);
    }
}

#[tokio::test]
async fn neither_a_store_nor_an_error_ever_shows_the_password() {
    let url = format!("postgres://ada:{}@127.0.0.1:{}/postgres", secrets::PASSWORD, server().port);
    let options = |url: String| {
        PostgresOptions::new(url).table_prefix(prefix()).patience(Duration::from_secs(30))
    };
    let refused = options(url.clone());
    secrets::does_not_show(&refused);
    let error = refused.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "there is no role of this name: {error:?}");
    secrets::error_does_not_show(&error);
    let accepted = options(url.replace("ada", "postgres"));
    secrets::store_does_not_show(accepted.connect().await.unwrap());
}
