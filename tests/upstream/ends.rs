//! The inner body ends cleanly.

use http::{HeaderMap, HeaderValue};

use crate::{end, layer, open, until_call};
use support::client::End;

#[tokio::test(start_paused = true)]
async fn a_clean_end_is_one_with_its_trailers_and_all_that_was_said() {
    let (mut client, inner) = open(layer()).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    inner.body(0).send("id: a\ndata: 1\n\ndata: unfinished\n");
    inner.body(0).trailers(trailers.clone());
    inner.body(0).end();
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!(client.received, "id: a\ndata: 1\n\ndata: unfinished\n");
    assert_eq!((client.trailers, inner.calls()), (Some(trailers), 1));
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_can_be_gone_on_from_until_there_is_nothing_new() {
    let (mut client, inner) = open(layer().after_end(true).attempts(2)).await;
    inner.body(0).send("id: a\ndata: 1\n\n");
    inner.body(0).end();
    until_call(&mut client, &inner, 1).await;
    inner.body(1).send("id: b\ndata: 2\n\n");
    for number in 1..4 {
        inner.body(number).end();
        if number < 3 {
            until_call(&mut client, &inner, number + 1).await;
        }
    }
    assert_eq!(end(&mut client).await, End::Clean);
    assert_eq!((client.data(), inner.calls()), (vec!["1".to_owned(), "2".to_owned()], 4));
}
