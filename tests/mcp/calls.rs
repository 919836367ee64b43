//! A call whose client is cut off and comes back. (Requirements 2 to 6, and 20.)

use tower_sse_resume::{Limits, Retention};

use crate::app::{Ask, Mcp, PRIMED, UNPRIMED, event, note, result, text};
use crate::{HOUR, SECOND, all, cut_call, read_messages};
use support::client::settle;

// 2

#[tokio::test(start_paused = true)]
async fn a_disconnect_before_the_response_is_whole_does_not_cancel_the_call() {
    let mut app = Mcp::new();
    let id = cut_call(&mut app, &Ask::call(1)).await;
    settle().await;
    assert!(!app.body(0).is_dropped());
    app.say(0, &note(2));
    app.say(0, &result(1));
    app.body(0).end();
    settle().await;
    assert!(app.body(0).is_drained(), "the server is read on");
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [note(2), result(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_before_the_first_event_does_not_cancel_the_call() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    client.settle().await;
    let id = client.last_event_id();
    drop(client);
    settle().await;
    assert!(!app.body(0).is_dropped());
    app.say(0, &result(1));
    app.body(0).end();
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [result(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_lingers_as_long_as_it_was_told_and_no_longer() {
    let mut app = Mcp::with(|layer| layer.linger(90 * SECOND));
    cut_call(&mut app, &Ask::call(1)).await;
    let left = tokio::time::Instant::now();
    app.body(0).dropped().await;
    assert_eq!(left.elapsed(), 90 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_linger_for_ever_by_default() {
    let mut app = Mcp::new();
    cut_call(&mut app, &Ask::call(1)).await;
    settle().await;
    assert_eq!(app.handle.stats().lingering, 1);
    assert!(tokio::time::timeout(24 * HOUR, app.body(0).dropped()).await.is_ok());
    assert_eq!(app.handle.stats().lingering, 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_linger_than_there_may() {
    let mut app = Mcp::with(|layer| layer.limits(Limits::new().lingering(2)));
    for id in 0..3 {
        cut_call(&mut app, &Ask::call(id)).await;
    }
    settle().await;
    let dropped: Vec<_> = (0..3).map(|call| app.body(call).is_dropped()).collect();
    assert_eq!(dropped, [false, false, true]);
}

// 3

#[tokio::test(start_paused = true)]
async fn a_get_resumes_a_call_or_the_standalone_stream_and_gets_only_that_streams_events() {
    let mut app = Mcp::new();
    let asks = [Ask::call(1), Ask::get(), Ask::call(2)];
    let mut ids = Vec::new();
    for ask in &asks {
        ids.push(cut_call(&mut app, ask).await);
    }
    for stream in 0..asks.len() {
        for n in 0..3 {
            app.say(stream, &note(100 * stream as u64 + n));
        }
    }
    settle().await;
    for (stream, id) in ids.iter().enumerate().rev() {
        let mut client = app.resume(id).await;
        let expected: Vec<_> = (0..3).map(|n| note(100 * stream as u64 + n)).collect();
        assert_eq!(all(&mut client).await, expected);
        app.say(stream, &note(1_000));
        assert_eq!(all(&mut client).await.last(), Some(&note(1_000)), "then what comes");
    }
    assert_eq!(app.calls(), 3, "the server is not asked again");
}

// 4

#[tokio::test(start_paused = true)]
async fn inner_ids_are_neither_shown_nor_embedded() {
    // As `rmcp` and as others write them, and one that is percent-encoded in what embeds it.
    let written = [
        "data: {}\nid: s3cret-session/stream\n\n",
        "id: s3cret-session_stream_2\ndata: {}\n\n",
        "id: a\nid: s3cret session%3\nevent: message\ndata: {}\n\n",
    ];
    for version in [PRIMED, UNPRIMED[0]] {
        for ask in [Ask::call(1), Ask::get()] {
            let mut app = Mcp::new();
            let mut client = app.send(&ask.version(version)).await;
            for event in written {
                app.body(0).send(event);
            }
            read_messages(&mut client, written.len()).await;
            let ids: Vec<_> = client.events().into_iter().map(|event| event.id).collect();
            drop(client);
            let mut resumed = app.send(&Ask::get().version(version).after(&ids[0])).await;
            resumed.settle().await;
            let shown = format!("{:?} {}", resumed.headers, text(&resumed));
            for id in ids {
                assert!(!id.is_empty());
                assert!(!id.contains("s3cret"), "{id}");
                // Marker, token, generation and offset are all that there is.
                assert_eq!(id.split('.').count(), 4, "{id}");
            }
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_event_has_one_id_and_no_two_have_the_same() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    for n in 0..5 {
        app.body(0).send(format!("data: {}\nid: same\n\n", note(n)));
    }
    read_messages(&mut client, 5).await;
    let lines = text(&client);
    let mut ids: Vec<_> = lines.lines().filter(|line| line.starts_with("id")).collect();
    assert_eq!(ids.len(), 6, "five events and what primes: {lines}");
    ids.dedup();
    assert_eq!(ids.len(), 6, "{lines}");
}

// 5

#[tokio::test(start_paused = true)]
async fn a_resume_begins_strictly_after_the_event_and_goes_on_live() {
    let mut app = Mcp::new();
    let mut client = app.call(1).await;
    for n in 0..4 {
        app.say(0, &note(n));
    }
    read_messages(&mut client, 4).await;
    let events = client.events();
    for (at, event) in events.iter().enumerate() {
        let mut client = app.resume(&event.id).await;
        client.settle().await;
        let missed = client.events().into_iter().filter(|event| !event.data.is_empty());
        assert_eq!(missed.collect::<Vec<_>>(), events[at + 1..]);
    }
    let mut client = app.resume(&events[2].id).await;
    client.settle().await;
    app.say(0, &result(1));
    assert_eq!(all(&mut client).await.last(), Some(&result(1)));
}

#[tokio::test(start_paused = true)]
async fn data_comes_back_byte_for_byte() {
    let written = [
        "event: message\ndata:  {\"two\": \"spaces\"}\n",
        "data:{\"none\":\"é 漢 \u{1f600} \u{2028}\"}\n",
        "data: {\ndata: \"lines\":\ndata:\ndata: 2}\n",
        "data: {\"cr\":1}\r\n",
        "data: \u{feff}{\"bom\":1}\n",
        "custom: field\ndata: {\"a\":\"\\u0000\\n\"}\n",
    ];
    let mut app = Mcp::new();
    let mut client = app.send(&Ask::call(1).version(UNPRIMED[0])).await;
    app.say(0, &note(0));
    read_messages(&mut client, 1).await;
    let id = client.last_event_id();
    drop(client);
    for block in written {
        let end = if block.ends_with("\r\n") { "\r\n" } else { "\n" };
        app.body(0).send(format!("{block}{end}"));
    }
    let mut client = app.send(&Ask::get().version(UNPRIMED[0]).after(&id)).await;
    let whole = client.settle().await;
    // What is ours is one line in each block, just before its end.
    let lines = whole.split_inclusive('\n').filter(|line| !line.starts_with("id: "));
    let ends = |block: &str| block.to_owned() + if block.ends_with("\r\n") { "\r\n" } else { "\n" };
    assert_eq!(lines.collect::<String>(), written.map(ends).concat());
}

// 6

#[tokio::test(start_paused = true)]
async fn a_finished_call_is_kept_for_the_age_of_the_retention() {
    let age = Retention::new().age(600 * SECOND);
    let mut app = Mcp::with(|layer| layer.retention(age));
    let id = cut_call(&mut app, &Ask::call(1)).await;
    app.say(0, &result(1));
    app.body(0).end();
    settle().await;
    tokio::time::sleep(599 * SECOND).await;
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [result(1)]);
    drop(client);
    // An eighth of the age is the latest that anything goes.
    tokio::time::sleep(80 * SECOND).await;
    let mut client = app.resume(&id).await;
    assert!(!all(&mut client).await.contains(&result(1)));
    assert!(app.calls() == 1 && app.handle.stats().bytes < 1024, "{:?}", app.handle.stats());
}

// 20

#[tokio::test(start_paused = true)]
async fn while_the_client_is_away_no_tool_waits_for_it() {
    let few = Retention::new().events(5).bytes(4_096);
    let mut app = Mcp::with(|layer| layer.retention(few));
    let id = cut_call(&mut app, &Ask::call(1)).await;
    for n in 0..10_000 {
        app.say(0, &note(n));
    }
    app.say(0, &result(1));
    app.body(0).end();
    for _ in 0..100 {
        settle().await;
    }
    assert!(app.body(0).is_drained(), "the tool waits for who is away");
    assert!(app.handle.stats().bytes < 64 * 1024, "{:?}", app.handle.stats());
    let mut client = app.resume(&id).await;
    let last = all(&mut client).await.pop().unwrap();
    assert_eq!(last["id"], 1, "the call is answered all the same");
}

#[tokio::test(start_paused = true)]
async fn the_last_event_of_an_open_call_is_never_evicted() {
    let large = |n: u64| {
        let mut message = note(n);
        message["params"]["message"] = "x".repeat(8 * 1024).into();
        message
    };
    let little = Limits::new().bytes(128 * 1024).lingering_per_owner(1_000);
    let mut app = Mcp::with(|layer| layer.limits(little));
    let id = cut_call(&mut app, &Ask::call(1)).await;
    app.say(0, &large(2));
    settle().await;
    for other in 1..60 {
        let session = format!("session-{other}");
        let mut client = app.send(&Ask::call(other).session(&session)).await;
        for n in 0..4 {
            app.say(usize::try_from(other).unwrap(), &large(n));
        }
        client.settle().await;
        if other % 2 == 0 {
            app.body(usize::try_from(other).unwrap()).end();
        }
        client.settle().await;
    }
    let mut client = app.resume(&id).await;
    assert_eq!(all(&mut client).await, [large(2)]);
    app.body(0).send(event(&result(1)));
    assert_eq!(all(&mut client).await, [large(2), result(1)]);
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_of_the_layer_an_open_call_gives_up_events_and_is_not_cancelled() {
    // Room for the last event of each, which is kept: where there is none, a new call would pass as it is.
    let mut app = Mcp::with(|layer| layer.limits(Limits::new().bytes(512 * 1024)));
    let large = |n: u64| {
        let mut message = note(n);
        message["params"]["message"] = "x".repeat(8 * 1024).into();
        message
    };
    let mut ids = Vec::new();
    for call in 0..20_usize {
        ids.push(cut_call(&mut app, &Ask::call(call)).await);
        for n in 0..10 {
            app.say(call, &large(n));
        }
        settle().await;
    }
    for (call, id) in ids.iter().enumerate() {
        assert!(!app.body(call).is_dropped(), "call {call} was cancelled");
        app.say(call, &result(call));
        let mut client = app.resume(id).await;
        assert_eq!(client.status, 200, "{call}");
        assert_eq!(all(&mut client).await.last().unwrap()["id"], call);
    }
}
