//! Several instances of a server with one store.

use std::time::Duration;

use serde_json::json;
use tower_sse_resume::Persistence;
use tower_sse_resume::store::MemoryStore;

use crate::app::{Ask, Mcp, PRIMED, UNPRIMED, messages, note, result};
use crate::{SECOND, cut_call, read_messages};
use support::client::End;
use support::faulty_store::FaultyStore;

fn instance(store: &MemoryStore) -> (Mcp, FaultyStore) {
    let way = FaultyStore::new(store);
    let persistence = Persistence::with_secret(way.clone(), [7; 32]);
    (Mcp::with(|layer| layer.store(persistence)), way)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_by_another_instance_than_it_was_sent_to() {
    for version in [PRIMED, UNPRIMED[0]] {
        let store = MemoryStore::new();
        let ((mut one, _), (mut two, _)) = (instance(&store), instance(&store));
        let id = cut_call(&mut one, &Ask::call(1).version(version)).await;
        one.say(0, &note(2));
        tokio::time::sleep(SECOND).await;
        let mut client = two.send(&Ask::get().version(version).after(&id)).await;
        read_messages(&mut client, 1).await;
        one.say(0, &result(1));
        one.body(0).end();
        client.read_to_end().await;
        assert_eq!(messages(&client), [note(2), result(1)]);
        assert_eq!(client.end, End::Clean);
        assert_eq!(two.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_instance_died_gets_one_error_from_another_one_and_then_nothing() {
    for version in [PRIMED, UNPRIMED[0]] {
        let store = MemoryStore::new();
        let ((mut one, way), (mut two, _)) = (instance(&store), instance(&store));
        let id = cut_call(&mut one, &Ask::call("a").version(version)).await;
        one.say(0, &note(2));
        tokio::time::sleep(SECOND).await;
        let resume = |id: &str| Ask::get().version(version).after(id);
        drop(two.send(&resume(&id)).await);
        way.cut();
        tokio::time::sleep(Duration::from_secs(40)).await;
        let mut client = two.send(&resume(&id)).await;
        client.read_to_end().await;
        let [before, error] = &messages(&client)[..] else { panic!("{:?}", messages(&client)) };
        assert_eq!((before, &error["id"]), (&note(2), &json!("a")));
        assert!(error["error"]["code"].is_i64());
        let (mut three, _) = instance(&store);
        for app in [&mut two, &mut three] {
            let over = app.send(&resume(&client.last_event_id())).await;
            assert_eq!(over.status, 204);
        }
        assert_eq!((two.calls(), three.calls()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_of_the_preset_ends_is_purged_for_all_instances() {
    let store = MemoryStore::new();
    let ((mut one, _), (mut two, _)) = (instance(&store), instance(&store));
    let ask = Ask::call(1).session("s");
    let id = cut_call(&mut one, &ask).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(one.handle.purge_session("s"), 1);
    tokio::time::sleep(SECOND).await;
    let unknown = two.send(&Ask::get().session("s").after(&id)).await;
    assert_eq!(unknown.status, 400);
}
