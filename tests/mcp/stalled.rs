//! Clients that are there and do not read.

use serde_json::Value;
use tower_sse_resume::{Limits, Retention};

use crate::app::{Ask, Mcp, call, note, result};
use crate::rmcp_types::{Rmcp, messages as rmcp_messages};
use crate::{all, cut_call, read_messages, read_until};
use support::client::{End, settle};

/// A notification of about this many bytes.
fn large(number: u64, bytes: usize) -> Value {
    let mut message = note(number);
    message["params"]["message"] = "x".repeat(bytes).into();
    message
}

/// What a stream may hold: what is retained, what waits for a client that lags, and a block for each of them.
const STREAM: usize = (64 + 64 + 2 * 16) * 1024;

#[tokio::test(start_paused = true)]
async fn a_stalled_client_does_not_hold_up_its_own_tool_and_memory_stays_within_the_bounds() {
    for ask in [Ask::call(1), Ask::get()] {
        let few = Retention::new().events(50).bytes(64 * 1024);
        let mut app = Mcp::with(|layer| layer.retention(few));
        let mut client = app.send(&ask).await;
        client.settle().await;
        // From here on nobody polls it.
        for n in 0..2_000 {
            app.say(0, &large(n, 1_000));
            if n % 100 == 0 {
                settle().await;
                let bytes = app.handle.stats().bytes;
                assert!(bytes <= STREAM, "{bytes}");
            }
        }
        for _ in 0..100 {
            settle().await;
        }
        assert!(app.body(0).is_drained(), "the server waits for a client that does not read");
        assert!(app.handle.stats().bytes <= STREAM, "{:?}", app.handle.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_does_not_hold_up_the_other_streams_of_its_session() {
    let mut app = Mcp::with(|layer| layer.retention(Retention::new().events(50)));
    let mut stalled = app.call(1).await;
    stalled.settle().await;
    let mut clients = [app.call(2).await, app.listen().await];
    let away = cut_call(&mut app, &Ask::call(3)).await;
    for n in 0..1_000 {
        app.say(0, &large(n, 100));
    }
    for (at, client) in clients.iter_mut().enumerate() {
        for n in 0..100 {
            app.say(at + 1, &note(n));
            let got = read_messages(client, usize::try_from(n).unwrap() + 1).await;
            assert_eq!(got.last(), Some(&note(n)));
        }
    }
    app.say(3, &result(3));
    let mut back = app.resume(&away).await;
    assert_eq!(all(&mut back).await, [result(3)]);
}

#[tokio::test(start_paused = true)]
async fn stalled_clients_together_stay_within_the_bound_of_the_layer() {
    const BOUND: usize = 512 * 1024;
    let mut app = Mcp::with(|layer| layer.limits(Limits::new().bytes(BOUND)));
    let mut clients = Vec::new();
    for id in 0..40 {
        let mut client = app.send(&Ask::call(id).session(&format!("session-{}", id % 4))).await;
        client.settle().await;
        clients.push(client);
    }
    let mut peak = 0;
    for n in 0..200 {
        for call in 0..clients.len() {
            app.say(call, &large(n, 1_000));
        }
        settle().await;
        peak = peak.max(app.handle.stats().bytes);
    }
    // One block of each stream may be above it, beside what the streams themselves take.
    assert!(peak <= BOUND + clients.len() * (16 + 1) * 1024, "{peak}");
    drop(clients);
    app.handle.purge_all();
    settle().await;
    assert_eq!(app.handle.stats().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_of_rmcp_does_not_hang_its_session() {
    for stateful in [true, false] {
        let mut rmcp = Rmcp::start(stateful, 2_000).await;
        let mut stalled = rmcp.send(&Ask::post(call(1))).await;
        stalled.read();
        let mut second = rmcp.send(&Ask::post(call(2))).await;
        for _ in 0..2 {
            rmcp.finish().await;
        }
        read_until(&mut second, |client| {
            rmcp_messages(client).last().is_some_and(|last| last["id"] == 2)
        })
        .await;
        drop(stalled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_that_reads_again_is_told_what_it_missed_and_its_call_is_answered_once() {
    let mut app = Mcp::with(|layer| layer.retention(Retention::new().events(50)));
    let mut client = app.call(7).await;
    client.settle().await;
    for n in 0..2_000 {
        app.say(0, &large(n, 200));
    }
    app.say(0, &result(7));
    app.body(0).end();
    for _ in 0..100 {
        settle().await;
    }
    let mut got = all(&mut client).await;
    if client.end != End::Clean {
        client = app.resume(&client.last_event_id()).await;
        got.extend(all(&mut client).await);
    }
    let answers: Vec<_> = got.iter().filter(|message| message["id"] == 7).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let was_told = !client.gaps().is_empty() || answers[0].get("error").is_some();
    assert!(was_told, "{} messages of 2001 and not told", got.len());
}
