//! No message of the proxy has a credential in it.

use std::process::Output;

use support::process::example;

const PASSWORD: &str = "s3cret";

async fn run(options: &[&str]) -> Output {
    example("proxy").args(options).output().await.unwrap()
}

/// What the proxy says of a command line that it refuses.
async fn refusal(options: &[&str]) -> String {
    let output = run(options).await;
    assert!(!output.status.success(), "{options:?}");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

const UPSTREAM: [&str; 2] = ["--upstream", "http://127.0.0.1:1"];

#[tokio::test]
async fn a_store_that_is_not_known_is_not_shown() {
    for place in [
        "postgress://ada:s3cret@host/db",
        "postgres:/ada:s3cret@host/db",
        "postgres:ada:s3cret@host/db",
        "POSTGRES://ada:s3cret@host/db",
        "://ada:s3cret@host",
        "ada:s3cret@host",
        "redis-sentinel://:s3cret@host",
        "host=h user=ada password=s3cret",
        "s3cret:",
    ] {
        let said = refusal(&[&UPSTREAM[..], &["--store", place]].concat()).await;
        assert!(!said.contains(PASSWORD), "{place}: {said}");
        assert!(said.contains("--store"), "{place}: {said}");
        let joined = format!("--store={place}");
        assert!(!refusal(&[&UPSTREAM[..], &[&*joined]].concat()).await.contains(PASSWORD));
    }
}

#[tokio::test]
async fn an_engine_that_is_missing_or_away_is_named_without_its_url() {
    // Each with a feature or without.
    for place in [
        "postgres://ada:s3cret@[::/db?connect_timeout=s3cret",
        "redis://ada:s3cret@[::",
        "nats://ada:s3cret@[::",
        "dynamodb://table?endpont=http://ada:s3cret@host",
        "dynamodb://table?s3cret",
    ] {
        let said = refusal(&[&UPSTREAM[..], &["--store", place]].concat()).await;
        assert!(!said.contains(PASSWORD), "{place}: {said}");
    }
}

#[tokio::test]
async fn an_upstream_with_a_password_is_refused_without_showing_it() {
    for upstream in [
        "http://ada:s3cret@host",
        "http://ada:s3cret@host/base",
        "ftp://ada:s3cret@host",
        "http://ada:s3cret@[",
        "ada:s3cret@host",
    ] {
        let said = refusal(&["--upstream", upstream]).await;
        assert!(!said.contains(PASSWORD) && said.contains("--upstream"), "{upstream}: {said}");
    }
}

#[tokio::test]
async fn a_url_in_a_wrong_place_is_not_shown() {
    let url = "postgres://ada:s3cret@host/db";
    let mistyped = ["--stor=", "--listen=", "--ids=", "--linger=", "--secret-file="];
    let mistyped = mistyped.map(|option| format!("{option}{url}"));
    let mut lines = mistyped.each_ref().map(|option| vec![&**option]).to_vec();
    lines.extend([vec![url], vec!["--preset", url], vec!["--session-header", url]]);
    for line in lines {
        let said = refusal(&[&UPSTREAM[..], &line].concat()).await;
        assert!(!said.contains(PASSWORD), "{line:?}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_secret_is_named() {
    for (option, value) in
        [("--upstream", "http://127.0.0.1:1/base"), ("--store", "memry"), ("--ids", "assing")]
    {
        let said = refusal(&[option, value]).await;
        assert!(said.contains(value), "{said}");
    }
    let help = run(&["--help"]).await;
    assert!(help.status.success() && help.stdout.starts_with(b"A reverse proxy"));
}
