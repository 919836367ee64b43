//! Two clients of one feed are cut off and come back: one without the layer, one with it.
//!
//! ```text
//! cargo run --example quickstart              shows it, then serves on for you to try with curl
//! cargo run --example quickstart -- --once    shows it, and ends
//! ```

#[path = "quickstart/browser.rs"]
mod browser;
#[path = "quickstart/table.rs"]
mod table;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use browser::Browser;
use futures_util::{Stream, TryStreamExt};
use table::{bad, good, row, rule};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::{interval, sleep};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tower_sse_resume::SseResumeLayer;

type Feed = broadcast::Sender<u32>;

/// Between two events, so that they can be watched.
const PACE: Duration = Duration::from_millis(120);

// The application: a handler that knows nothing of resuming, once as it is and once with the layer.

async fn events(
    State(feed): State<Feed>,
) -> Sse<impl Stream<Item = Result<Event, BroadcastStreamRecvError>>> {
    let numbers = BroadcastStream::new(feed.subscribe());
    Sse::new(numbers.map_ok(|number| Event::default().data(number.to_string())))
}

fn application(feed: &Feed) -> Router {
    let without = Router::new().route("/without", get(events));
    let with = Router::new().route("/with", get(events)).layer(SseResumeLayer::new());
    without.merge(with).with_state(feed.clone())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = match TcpListener::bind("127.0.0.1:3333").await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind("127.0.0.1:0").await?,
    };
    let base = format!("http://{}", listener.local_addr()?);
    let feed = Feed::new(64);
    tokio::spawn(axum::serve(listener, application(&feed)).into_future());

    let mut without = Browser::new(format!("{base}/without"));
    let mut with = Browser::new(format!("{base}/with"));
    let cut_at = show(&feed, &mut without, &mut with).await;
    if std::env::args().all(|argument| argument != "--once") {
        invite(&base, &cut_at);
        serve_on(feed, with).await;
    }
    Ok(())
}

/// Events 1 to 3, a cut, 4 to 6 while both are away, a return, 7 to 9. Returns the ID at which the cut was.
async fn show(feed: &Feed, without: &mut Browser, with: &mut Browser) -> String {
    println!(
        "\n  One feed, two clients: the right one's stream has `.layer(SseResumeLayer::new())`.\n"
    );
    row("", "without", "with");
    without.connect().await;
    with.connect().await;
    for number in 1..=3 {
        publish(feed, number).await;
        row(&format!("event {number}"), &without.next().await, &with.next().await);
    }
    let cut_at = with.last_event_id.clone();
    rule("both connections are cut");
    without.cut();
    with.cut();
    // The handler without the layer ends. The other one is read on for 30 seconds, in case its client comes back.
    while feed.receiver_count() > 1 {
        sleep(Duration::from_millis(5)).await;
    }
    for number in 4..=6 {
        publish(feed, number).await;
        row(&format!("event {number}"), "away", "away");
    }
    rule("both come back, as a browser does");
    without.connect().await;
    with.connect().await;
    for _ in 4..=6 {
        row("replay", "", &with.next().await);
    }
    for number in 7..=9 {
        publish(feed, number).await;
        row(&format!("event {number}"), &without.next().await, &with.next().await);
    }
    rule("what arrived");
    row("got", &without.got(), &with.got());
    row("lost", &bad(&without.lost()), &good(&with.lost()));
    cut_at
}

async fn publish(feed: &Feed, number: u32) {
    sleep(PACE).await;
    // Without a receiver the event is lost, as it is in most applications.
    let _ = feed.send(number);
}

fn invite(base: &str, cut_at: &str) {
    println!("\n  Try it by hand; an event comes each second. This one is new:\n");
    println!("    curl -N {base}/with\n");
    println!(
        "  Stop it, wait, and go on with the last id that it printed. This is where the cut was:\n"
    );
    println!("    curl -N {base}/with -H 'Last-Event-ID: {cut_at}'\n");
    println!("  Ctrl-C ends this server.");
}

async fn serve_on(feed: Feed, mut reader: Browser) {
    tokio::spawn(async move { while !reader.next().await.is_empty() {} });
    let mut seconds = interval(Duration::from_secs(1));
    for number in 10.. {
        seconds.tick().await;
        let _ = feed.send(number);
    }
}
