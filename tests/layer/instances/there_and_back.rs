//! A stream that another instance has gone on with, and a client that comes back to the first one.

use http::request::Parts;
use http::{Method, StatusCode};
use tower_sse_resume::store::Purge;
use tower_sse_resume::store::Store;
use tower_sse_resume::{Durability, EventIds, Linger, OnMissing};

use support::app::{TestClient, request, with};

use super::{Instance, Instances, a_lease, a_moment};

/// What has become of the stream at the other instance when the client comes back to the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    Live,
    Finished,
    Broken,
}

/// What is tried with what.
#[derive(Clone, Copy, Debug)]
struct Case {
    durability: Durability,
    has_ids: bool,
    is_shared: bool,
    there: There,
}

#[allow(clippy::unnecessary_wraps, reason = "what `share` takes")]
fn by_path(parts: &Parts) -> Option<String> {
    Some(parts.uri.path().to_owned())
}

impl Case {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for durability in [Durability::WriteBehind, Durability::CommitFirst] {
            for there in [There::Live, There::Finished, There::Broken] {
                for (has_ids, is_shared) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    all.push(Self { durability, has_ids, is_shared, there });
                }
            }
        }
        all
    }

    fn instances(self) -> Instances {
        let mut instances = Instances::new(self.durability);
        if self.is_shared {
            instances.layer = |layer| layer.share(by_path);
        }
        instances
    }

    /// An event, as the inner service says it.
    fn event(self, number: u64) -> String {
        let id = if self.has_ids { format!("id: {number}\n") } else { String::new() };
        format!("{id}data: {number}\n\n")
    }

    /// The data of a client that gets these events, after the gap of a takeover if there is one to tell.
    fn has_got(self, client: &TestClient, numbers: &[&str]) {
        let (data, gaps) = (client.data(), client.gaps());
        let events: Vec<_> = data.iter().filter(|data| !gaps.contains(data)).collect();
        assert_eq!(events, numbers, "{self:?}: {data:?}");
        let is_told = |gap: &String| gap.contains("producer-lost");
        assert!(gaps.iter().all(is_told), "{self:?}: {gaps:?}");
    }

    /// One inner response after another: of the second instance, what it resends comes first.
    fn goes_on_with(self, numbers: std::ops::RangeInclusive<u64>) -> String {
        let resent = (*numbers.start() - 1..*numbers.start()).filter(|_| self.has_ids);
        resent.chain(numbers).map(|number| self.event(number)).collect()
    }
}

async fn read_number(client: &mut TestClient, number: &str) {
    client.read_until(|client| client.data().last().is_some_and(|data| data == number)).await;
}

/// A client that has had the events 1 and 2 from an instance whose inner body then failed; and then 3 and 4 from another
/// one. Returns the position before all, after 2, and after 4.
async fn hop(case: Case, one: &mut Instance, two: &mut Instance) -> [String; 3] {
    let mut first = one.get("").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().send(case.event(1) + &case.event(2));
    first.read_events(2).await;
    one.body().fail();
    first.read_to_end().await;
    assert!(first.is_broken());
    let broken_at = first.last_event_id();
    a_moment().await;
    let mut second = two.get(&broken_at).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"), "{case:?}");
    two.body().send(case.goes_on_with(3..=4));
    read_number(&mut second, "4").await;
    case.has_got(&second, &["3", "4"]);
    assert_eq!(second.gaps().len(), usize::from(!case.has_ids));
    let left_at = second.last_event_id();
    drop(second);
    // What nobody is there for.
    two.body().send(case.event(5));
    match case.there {
        There::Live => {}
        There::Finished => two.body().end(),
        There::Broken => two.body().fail(),
    }
    a_moment().await;
    [from, broken_at, left_at]
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_to_the_first_instance_goes_on_where_it_was() {
    for case in Case::all() {
        let instances = case.instances();
        let (mut one, mut two) = (instances.start(), instances.start());
        let [_, _, left_at] = hop(case, &mut one, &mut two).await;
        let mut third = one.get(&left_at).await;
        match case.there {
            There::Live => {
                assert_eq!(third.header("sse-resume"), Some("replay"), "{case:?}");
                read_number(&mut third, "5").await;
                two.body().send(case.event(6));
                read_number(&mut third, "6").await;
                case.has_got(&third, &["5", "6"]);
                assert_eq!(third.gaps().len(), 0);
            }
            There::Finished => {
                assert_eq!(third.header("sse-resume"), Some("replay"), "{case:?}");
                third.read_to_end().await;
                assert!(!third.is_broken());
                case.has_got(&third, &["5"]);
                assert_eq!(third.gaps().len(), 0);
            }
            There::Broken => {
                assert_eq!(third.header("sse-resume"), Some("takeover"), "{case:?}");
                one.body().send(case.goes_on_with(6..=6));
                read_number(&mut third, "6").await;
                case.has_got(&third, &["5", "6"]);
                assert_eq!(third.gaps().len(), usize::from(!case.has_ids));
                let given = one.inner.call(1).last_event_id();
                assert_eq!(given.as_deref(), case.has_ids.then_some("5"));
            }
        }
        let calls = 1 + usize::from(case.there == There::Broken);
        assert_eq!((one.inner.calls(), two.inner.calls()), (calls, 1), "{case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_from_an_earlier_position_gets_all_that_came_since() {
    for case in Case::all() {
        for which in [0, 1] {
            let instances = case.instances();
            let (mut one, mut two) = (instances.start(), instances.start());
            let from = hop(case, &mut one, &mut two).await[which].clone();
            let mut third = one.get(&from).await;
            let expected = &["1", "2", "3", "4", "5"][2 * which..];
            if case.there == There::Broken {
                one.body().send(case.goes_on_with(6..=6));
                read_number(&mut third, "6").await;
                case.has_got(&third, &[expected, &["6"]].concat());
            } else {
                read_number(&mut third, "5").await;
                case.has_got(&third, expected);
            }
            let takeovers = 1 + usize::from(case.there == There::Broken);
            assert_eq!(third.gaps().len(), if case.has_ids { 0 } else { takeovers }, "{case:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_the_other_instance_has_told_is_not_told_again() {
    let case = Case {
        durability: Durability::WriteBehind,
        has_ids: false,
        is_shared: false,
        there: There::Live,
    };
    let instances = case.instances();
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("data: 1\n\n").await;
    one.body().fail();
    first.read_to_end().await;
    a_moment().await;
    let mut second = two.get(&first.last_event_id()).await;
    second.read_events(1).await;
    assert_eq!(second.gaps().len(), 1);
    let told = second.last_event_id();
    drop(second);
    a_moment().await;
    let mut third = one.get(&told).await;
    two.body().send("data: 2\n\n");
    third.read_events(1).await;
    assert_eq!(third.data(), ["2"]);
    assert_eq!((one.inner.calls(), two.inner.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_post_whose_loss_another_instance_has_told_is_over_for_the_first_one_too() {
    for durability in [Durability::WriteBehind, Durability::CommitFirst] {
        let mut instances = Instances::new(durability);
        instances.layer = |layer| layer.methods([Method::GET, Method::POST]);
        let (mut one, mut two) = (instances.start(), instances.start());
        let mut first = one.call(Method::POST, "").await;
        one.body().send("data: 1\n\n");
        first.read_events(1).await;
        one.body().fail();
        first.read_to_end().await;
        a_moment().await;
        let at = first.last_event_id();
        for app in [&mut two, &mut one] {
            let mut lost = app.get(&at).await;
            lost.read_to_end().await;
            assert!(lost.is_broken() && lost.gaps()[0].contains("producer-lost"));
            let told = lost.last_event_id();
            assert_ne!(told, at);
            assert_eq!(app.get(&told).await.status, StatusCode::NO_CONTENT);
        }
        let told = two.get(&at).await;
        drop(told);
        assert_eq!((one.inner.calls(), two.inner.calls()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_told_loss_of_a_post_is_known_where_the_stream_began_though_it_told_nobody() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.methods([Method::GET, Method::POST]);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.call(Method::POST, "").await;
    one.body().send("data: 1\n\n");
    first.read_events(1).await;
    one.body().fail();
    first.read_to_end().await;
    a_moment().await;
    let mut lost = two.get(&first.last_event_id()).await;
    lost.read_to_end().await;
    assert_eq!(one.get(&lost.last_event_id()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(one.inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_live_copy_break_off_when_a_client_of_the_next_generation_comes() {
    let instances = Instances::new(Durability::WriteBehind);
    let (mut one, mut two) = (instances.start(), instances.start());
    let mut first = one.begin("id: 1\ndata: 1\n\n").await;
    a_moment().await;
    drop(two.get(&first.last_event_id()).await);
    one.way.cut();
    a_lease().await;
    let mut second = two.get(&first.last_event_id()).await;
    assert_eq!(second.header("sse-resume"), Some("takeover"));
    two.body().send("id: 2\ndata: 2\n\n");
    second.read_events(1).await;
    one.way.mend();
    let mut third = one.get(&second.last_event_id()).await;
    assert_eq!(third.header("sse-resume"), Some("replay"));
    two.body().send("id: 3\ndata: 3\n\n");
    third.read_events(1).await;
    assert_eq!(third.data(), ["3"]);
    first.read_to_end().await;
    assert!(first.is_broken());
    assert!(one.inner.body(0).is_dropped());
    assert_eq!(one.inner.calls(), 1);
    assert_eq!(one.handle.stats().streams, 1, "only what is read from the store");
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_elsewhere_is_unknown_where_it_was_produced_too() {
    for ends in [true, false] {
        let mut instances = Instances::new(Durability::WriteBehind);
        instances.layer = |layer| layer.on_missing(OnMissing::Reject);
        let mut one = instances.start();
        let mut first = one.begin("data: 1\n\n").await;
        let from = first.header("sse-resume-from").unwrap().to_owned();
        if ends {
            one.body().end();
        } else {
            one.body().fail();
        }
        first.read_to_end().await;
        a_moment().await;
        instances.store.purge(&Purge::All).await.unwrap();
        assert_eq!(one.get(&from).await.status, StatusCode::GONE);
        assert_eq!(one.handle.stats().streams, 0, "nothing is kept of it");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_once_and_then_the_inner_service_is_called() {
    for durability in [Durability::WriteBehind, Durability::CommitFirst] {
        let instances = Instances::new(durability);
        let (mut one, mut two) = (instances.start(), instances.start());
        let mut first = one.begin("id: a\ndata: 1\n\n").await;
        let at = first.last_event_id();
        one.body().end();
        first.read_to_end().await;
        a_moment().await;
        for (app, calls) in [(&mut one, 1), (&mut two, 0)] {
            let mut end = app.get(&at).await;
            end.read_to_end().await;
            assert!(!end.is_broken() && end.data().is_empty());
            assert_eq!(app.inner.calls(), calls);
            drop(app.get(&at).await);
            assert_eq!(app.inner.calls(), calls + 1);
            assert_eq!(app.inner.call(calls).last_event_id().as_deref(), Some("a"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_finished_stream_is_replayed_where_it_was_produced() {
    for durability in [Durability::WriteBehind, Durability::CommitFirst] {
        let instances = Instances::new(durability);
        let mut one = instances.start();
        let mut first = one.begin("data: 1\n\n").await;
        let from = first.header("sse-resume-from").unwrap().to_owned();
        one.body().end();
        first.read_to_end().await;
        a_moment().await;
        one.way.cut();
        let mut again = one.get(&from).await;
        again.read_to_end().await;
        assert_eq!(again.data(), ["1"]);
        assert!(!again.is_broken());
        assert_eq!(one.inner.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_store_does_not_have_yet_is_replayed_and_gone_on_with() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    one.way.cut();
    let mut first = one.begin("data: 1\n\n").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().end();
    first.read_to_end().await;
    let mut again = one.get(&from).await;
    again.read_to_end().await;
    assert_eq!(again.data(), ["1"]);
    one.way.mend();
    let mut again = one.get(&from).await;
    again.read_to_end().await;
    assert_eq!(again.data(), ["1"]);
    assert_eq!(one.inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_costs_no_call_of_the_store_where_it_is_produced() {
    let instances = Instances::new(Durability::WriteBehind);
    let mut one = instances.start();
    let mut first = one.begin("data: 1\n\n").await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    a_moment().await;
    let before = one.way.calls();
    for _ in 0..10 {
        let mut again = one.get(&from).await;
        again.read_events(1).await;
    }
    assert_eq!(one.way.calls(), before);
    first.read();
}

#[tokio::test(start_paused = true)]
async fn two_instances_that_both_have_a_stale_copy_make_one_call() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.linger(Linger::none());
    let (mut one, mut two, mut three) = (instances.start(), instances.start(), instances.start());
    let mut client = one.begin("id: 1\ndata: 1\n\n").await;
    let mut id = client.last_event_id();
    for number in 2..=3 {
        let app = if number == 2 { &mut two } else { &mut three };
        drop(client);
        a_moment().await;
        client = app.get(&id).await;
        app.body().send(format!("id: {number}\ndata: {number}\n\n"));
        client.read_events(1).await;
        id = client.last_event_id();
    }
    drop(client);
    a_moment().await;
    let (mut first, mut second) = tokio::join!(one.get(&id), two.get(&id));
    assert_eq!(one.inner.calls() + two.inner.calls() + three.inner.calls(), 4);
    let feed = if one.inner.calls() == 2 { one.body() } else { two.body() };
    feed.send("id: 4\ndata: 4\n\n");
    first.read_events(1).await;
    second.read_events(1).await;
    assert_eq!((first.data(), second.data()), (vec!["4".into()], vec!["4".into()]));
}

#[tokio::test(start_paused = true)]
async fn by_the_inner_services_own_id_a_stale_copy_is_not_believed_either() {
    let mut instances = Instances::new(Durability::WriteBehind);
    instances.layer = |layer| layer.event_ids(EventIds::Preserve);
    let (mut one, mut two) = (instances.start(), instances.start());
    let own = |id: &str| with(request(Method::GET, id), "authorization", "Bearer a");
    let mut first = one.send(own("")).await;
    let from = first.header("sse-resume-from").unwrap().to_owned();
    one.body().send("id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n");
    first.read_events(2).await;
    one.body().fail();
    first.read_to_end().await;
    a_moment().await;
    // By the position that the head named, two knows the stream.
    let mut second = two.send(own(&from)).await;
    two.body().send("id: 3\ndata: 3\n\n");
    second.read_events(3).await;
    assert_eq!(second.data(), ["1", "2", "3"]);
    drop(second);
    a_moment().await;
    let mut third = one.send(own("2")).await;
    third.read_events(1).await;
    assert_eq!(third.data(), ["3"]);
    assert_eq!((one.inner.calls(), two.inner.calls()), (1, 1));
    // What is purged there is no stream of this ID any more.
    instances.store.purge(&Purge::All).await.unwrap();
    let mut fourth = one.send(own("1")).await;
    assert_eq!(one.inner.call(1).last_event_id().as_deref(), Some("1"));
    one.body().send("id: 2\ndata: 2\n\n");
    fourth.read_events(1).await;
    assert_eq!(fourth.data(), ["2"]);
}
