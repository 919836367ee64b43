//! U+FEFF is a byte order mark only at the very start of an inner response. A block that begins with it anywhere else is
//! a block like any other: it takes no part in how events are counted, and never comes first in a response.

use std::time::Duration;

use support::app::{App, TestClient};
use support::client::{End, settle};
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{EventIds, Limits, Persistence, Retention, SseResumeLayer, StartAt};

/// A block whose first line is nothing but U+FEFF, and one whose first line would be data without it.
const MARKED: [&str; 2] = ["\u{FEFF}\ndata: marked\n\n", "\u{FEFF}data: dead\ndata: marked\n\n"];

/// The position before the first event of a response.
fn start_of(client: &TestClient) -> String {
    client.header("sse-resume-from").unwrap().to_owned()
}

fn ids(client: &TestClient) -> Vec<String> {
    client.events().into_iter().map(|event| event.id).collect()
}

/// Events of which some begin with U+FEFF, so that `marked` comes first, in the midst, and last.
fn stream_with(marked: &str) -> String {
    ["data: 1\n\n", marked, marked, "data: 4\n\n", marked, "data: 6\n\n", marked].concat()
}

const DATA: [&str; 7] = ["1", "marked", "marked", "4", "marked", "6", "marked"];

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_after_any_event_gets_the_next_ones() {
    for marked in MARKED {
        let mut app = App::new();
        let mut first = app.get("").await;
        app.body().send(stream_with(marked));
        first.read();
        assert_eq!(first.data(), DATA);
        for (number, id) in [start_of(&first)].into_iter().chain(ids(&first)).enumerate() {
            let mut again = app.get(&id).await;
            again.settle().await;
            assert_eq!(again.data(), DATA[number..], "{marked:?} after {number}");
            assert!(!again.received.starts_with(b"\xEF"), "{marked:?} after {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_through_a_store() {
    for marked in MARKED {
        let store = MemoryStore::new();
        let instance = || {
            App::with(SseResumeLayer::new().store(Persistence::with_secret(store.clone(), [7; 32])))
        };
        let (mut producer, mut other) = (instance(), instance());
        let mut first = producer.get("").await;
        producer.body().send(stream_with(marked));
        first.read();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (number, id) in [start_of(&first)].into_iter().chain(ids(&first)).enumerate() {
            let mut again = other.get(&id).await;
            again.settle().await;
            assert_eq!(again.data(), DATA[number..], "{marked:?} after {number}");
            assert!(!again.received.starts_with(b"\xEF"), "{marked:?} after {number}");
        }
        let mut again = other.get(&start_of(&first)).await;
        again.settle().await;
        producer.body().send(marked);
        producer.body().send("data: 9\n\n");
        producer.body().end();
        first.read_to_end().await;
        again.read_to_end().await;
        assert_eq!((again.data(), again.end), (first.data(), End::Clean));
        assert_eq!(first.data().len(), 9);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_takes_over_goes_on_after_the_last_event() {
    for marked in MARKED {
        let store = MemoryStore::new();
        let instance = || {
            App::with(SseResumeLayer::new().store(Persistence::with_secret(store.clone(), [7; 32])))
        };
        let (mut producer, mut other) = (instance(), instance());
        let mut first = producer.get("").await;
        let marked = format!("{}id: 2\n\n", marked.strip_suffix('\n').unwrap());
        producer.body().send(format!("id: 1\ndata: 1\n\n{marked}"));
        first.read();
        producer.body().fail();
        first.read();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut again = other.get(&ids(&first)[0]).await;
        again.settle().await;
        assert_eq!(other.inner.call(0).last_event_id().as_deref(), Some("2"));
        // What is resent is known.
        other.body().send(format!("\u{FEFF}{marked}id: 3\ndata: 3\n\n"));
        again.settle().await;
        assert_eq!(again.data(), ["marked", "3"]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_joins_gets_none_as_the_first_bytes() {
    for marked in MARKED {
        for start_at in [StartAt::Earliest, StartAt::Last(1), StartAt::Live] {
            let share = SseResumeLayer::new().share(|_| Some("feed".to_owned()));
            let mut app = App::with(share.start_at(start_at));
            let mut first = app.get("").await;
            app.body().send(format!("\u{FEFF}{marked}"));
            settle().await;
            first.read();
            let mut joiner = app.get("").await;
            joiner.settle().await;
            app.body().send(marked);
            joiner.settle().await;
            let data = joiner.data();
            assert!(data.iter().all(|data| data == "marked"), "{data:?}");
            assert_eq!(data.len(), if start_at == StartAt::Live { 1 } else { 2 });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_marks_at_the_start_is_no_mark() {
    for marked in MARKED {
        let layers: [SseResumeLayer; 3] = [
            SseResumeLayer::new(),
            SseResumeLayer::new().event_ids(EventIds::Preserve),
            SseResumeLayer::new().retention(Retention::ids_only()),
        ];
        for layer in layers {
            let mut app = App::with(layer);
            let mut client = app.get("").await;
            app.body().send(format!("\u{FEFF}{marked}"));
            client.read();
            assert_eq!(client.data(), ["marked"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_large_frame_is_no_mark_either() {
    for limit in 0..4 {
        let mut app = App::with(SseResumeLayer::new().limits(Limits::new().frame(limit)));
        let mut client = app.get("").await;
        for byte in "\u{FEFF}\u{FEFF}data: dead\ndata: x\n\n".as_bytes().chunks(1) {
            app.body().send(byte.to_vec());
            client.read();
        }
        assert_eq!(client.data(), ["x"], "with a limit of {limit}");
    }
}
