//! How long it is waited before the inner service is called again, and how often.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::{Read, broken, end, layer, open, until_call};
use support::scripted::Scripted;

/// How long it takes from now until the inner service is called for the `number`th time.
async fn wait(client: &mut Read, inner: &Scripted, number: usize) -> Duration {
    let start = Instant::now();
    until_call(client, inner, number).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn waits_double_until_an_event_comes() {
    let (mut client, inner) = open(layer().longest_delay(Duration::from_secs(5))).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    for (number, seconds) in [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5)] {
        inner.body(number - 1).fail();
        let expected = Duration::from_secs(seconds);
        let waited = wait(&mut client, &inner, number).await;
        assert!(waited >= expected && waited < expected + Duration::from_millis(10), "{waited:?}");
    }
    inner.body(5).send("id: b\ndata: 2\n\n");
    inner.body(5).fail();
    assert!(wait(&mut client, &inner, 6).await < Duration::from_millis(1_010));
}

#[tokio::test(start_paused = true)]
async fn a_resent_event_does_not_shorten_the_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: a\ndata: 1\n\n");
    inner.body(1).fail();
    assert!(wait(&mut client, &inner, 2).await >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_lasted_shortens_the_wait_even_if_it_said_nothing() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).fail();
    until_call(&mut client, &inner, 1).await;
    advance(Duration::from_secs(30)).await;
    inner.body(1).fail();
    assert!(wait(&mut client, &inner, 2).await < Duration::from_millis(1_010));
}

#[tokio::test(start_paused = true)]
async fn the_inner_services_retry_is_the_first_wait() {
    let (mut client, inner) = open(layer()).await;
    inner.body(0).send("retry: 200\n\nid: a\ndata: 1\n\nretry: 9");
    inner.body(0).fail();
    let waited = wait(&mut client, &inner, 1).await.as_millis();
    assert!((200..210).contains(&waited), "{waited}");
    inner.body(1).fail();
    let waited = wait(&mut client, &inner, 2).await.as_millis();
    assert!((400..410).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn after_so_many_attempts_the_first_error_is_passed_on() {
    let (mut client, inner) = open(layer().attempts(3)).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    for number in 0..3 {
        inner.body(number).fail();
        until_call(&mut client, &inner, number + 1).await;
    }
    inner.body(3).fail();
    assert_eq!(end(&mut client).await, broken());
    assert_eq!(inner.calls(), 4);
}
