//! The examples: each is small, and does what it says.
//!
//! `cargo test` builds them; `cargo test --test repo examples` takes those that were built before.

mod served;

use std::{fs, path::Path};

use http::StatusCode;
use served::{Example, run_to_end};

/// The ones that show one thing each.
const SMALL: [&str; 9] = [
    "axum",
    "graceful_shutdown",
    "hyper",
    "mcp",
    "owner",
    "post",
    "preserve",
    "sessions",
    "shared_feed",
];

#[test]
fn a_small_example_has_less_than_forty_lines() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for file in fs::read_dir(examples).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if file.is_file() && name != "quickstart" {
            assert!(SMALL.contains(&&*name), "no test here knows the example {name}");
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines < 40, "the example {name} has {lines} lines");
        }
    }
}

#[tokio::test]
async fn the_quick_start_shows_what_is_lost_without_the_layer_and_kept_with_it() {
    let printed = run_to_end("quickstart", &["--once"]).await;
    let rows = |of: &str| rows(&printed, of);
    assert_eq!(rows("got"), [["got", "1 2 3 7 8 9", "1 2 3 4 5 6 7 8 9"]]);
    assert_eq!(rows("lost"), [["lost", "4 5 6", "nothing"]]);
    assert_eq!(rows("replay"), [["replay", "4"], ["replay", "5"], ["replay", "6"]]);
    assert_eq!(rows("event 4"), [["event 4", "away", "away"]]);
}

/// The rows of a table that begin with `of`, as their cells that are not empty.
fn rows<'a>(table: &'a str, of: &str) -> Vec<Vec<&'a str>> {
    let rows = table.lines().map(str::trim_start).filter(|row| row.starts_with(of));
    let cells = |row: &'a str| row.split("   ").map(str::trim).filter(|cell| !cell.is_empty());
    rows.map(|row| cells(row).collect()).collect()
}

#[tokio::test]
async fn the_axum_example_resumes() {
    goes_on("axum").await;
}

#[tokio::test]
async fn the_hyper_example_resumes() {
    goes_on("hyper").await;
}

/// Reads two events, is cut, comes back, and gets the next two.
async fn goes_on(name: &str) {
    let example = Example::start(name).await;
    let mut first = example.get(&[]).await;
    assert_eq!(first.data(2).await, ["0", "1"]);
    let id = first.last_event_id();
    drop(first);
    let mut second = example.get(&[("last-event-id", &id)]).await;
    assert_eq!(second.header("sse-resume"), "replay");
    assert_eq!(second.data(2).await, ["2", "3"]);
}

#[tokio::test]
async fn an_answer_to_a_post_goes_on_with_a_get() {
    let example = Example::start("post").await;
    let mut first = example.post("Where did we stop yesterday").await;
    assert_eq!(first.data(2).await, ["Where", "did"]);
    let id = first.last_event_id();
    drop(first);
    let back = [("last-event-id", &*id)];
    let mut second = example.get(&back).await;
    assert_eq!(second.data(4).await, ["we", "stop", "yesterday"]);
    let back = second.last_event_id();
    let again = example.get(&[("last-event-id", &back)]).await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_stream_is_resumed_with_a_renewed_token_of_its_owner_and_of_nobody_else() {
    let example = Example::start("owner").await;
    assert_eq!(example.get(&[]).await.status(), StatusCode::UNAUTHORIZED);
    let mut first = example.get(&[("authorization", "Bearer ada-1")]).await;
    assert_eq!(first.data(2).await, ["0", "1"]);
    let id = first.last_event_id();
    drop(first);
    let back = ("last-event-id", &*id);
    let mut other = example.get(&[("authorization", "Bearer bob-1"), back]).await;
    assert_eq!(other.header("sse-resume"), "gap");
    assert!(other.data(1).await[0].contains("unknown"));
    let mut renewed = example.get(&[("authorization", "Bearer ada-2"), back]).await;
    assert_eq!(renewed.data(2).await, ["2", "3"]);
}

#[tokio::test]
async fn a_feed_keeps_its_own_ids_and_is_resumed_with_them() {
    let example = Example::start("preserve").await;
    let mut first = example.get(&[]).await;
    first.data(4).await;
    assert_eq!(first.last_event_id(), "4");
    let mut second = example.get(&[("last-event-id", "2")]).await;
    assert_eq!(second.data(3).await, ["102.99", "103.99", "104.99"]);
    assert_eq!(second.last_event_id(), "5");
}

#[tokio::test]
async fn a_session_counts_its_visits_and_takes_its_streams_along() {
    let example = Example::start("sessions").await;
    let begun = example.post("").await;
    let cookie = begun.header("set-cookie").split_once(';').unwrap().0.to_owned();
    let who = [("cookie", &*cookie)];
    let mut first = example.get(&who).await;
    assert_eq!(first.data(1).await, ["visit 1"]);
    let mut second = example.get(&who).await;
    assert_eq!(second.data(1).await, ["visit 2"]);
    assert_eq!(example.delete(&who).await.status(), StatusCode::OK);
    for client in [&mut first, &mut second] {
        assert!(client.data(1).await.is_empty());
    }
    assert_eq!(example.get(&who).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_shared_feed_is_one_stream_for_all() {
    let example = Example::start("shared_feed").await;
    let mut first = example.get(&[]).await;
    assert_eq!(first.data(2).await, ["news 0", "news 1"]);
    let mut second = example.get(&[]).await;
    let news = second.data(1).await.remove(0);
    assert_ne!(news, "news 0");
    while first.data(1).await != [news.as_str()] {}
    assert_eq!(first.last_event_id(), second.last_event_id());
}

#[tokio::test]
async fn a_server_that_stops_sends_its_clients_away_and_ends() {
    let mut example = Example::start("graceful_shutdown").await;
    let mut client = example.get(&[]).await;
    assert_eq!(client.data(1).await, ["0"]);
    example.process.signal("INT").await;
    // It has no end of its own.
    while !client.data(1).await.is_empty() {}
    assert!(example.process.exit().await.success());
}
