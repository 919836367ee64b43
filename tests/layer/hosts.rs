//! Which host a request is for, and that nobody gets the stream of another one.

use http::{Method, Request};
use support::app::{App, TestClient, request, with};
use tower_sse_resume::{EventIds, SseResumeLayer};

#[allow(clippy::unnecessary_wraps, reason = "what `share` takes")]
fn by_path(parts: &http::request::Parts) -> Option<String> {
    Some(parts.uri.path().to_owned())
}

fn shared() -> App {
    App::with(SseResumeLayer::new().share(by_path))
}

/// A request with this target and these `Host` headers.
fn to(uri: &str, hosts: &[&str]) -> Request<()> {
    let mut request = request(Method::GET, "");
    *request.uri_mut() = uri.parse().unwrap();
    hosts.iter().fold(request, |request, host| with(request, "host", host))
}

/// How many calls these requests of one shared path make, all while the streams are open.
async fn calls(requests: impl IntoIterator<Item = Request<()>>) -> usize {
    let mut app = shared();
    let mut clients = Vec::new();
    for request in requests {
        clients.push(app.send(request).await);
    }
    app.inner.calls()
}

const VICTIM: &str = "victim.example";

#[tokio::test]
async fn a_request_for_another_authority_never_leads_or_joins_the_stream_of_the_host_that_it_names()
{
    let forged = || to("http://attacker.example/events", &[VICTIM]);
    let honest = || to("/events", &[VICTIM]);
    assert_eq!(calls([forged(), honest()]).await, 2);
    assert_eq!(calls([honest(), forged()]).await, 2);
    // Nor the other way round: a service may go by either of the two.
    let forged = || to("http://victim.example/events", &["attacker.example"]);
    assert_eq!(calls([forged(), honest()]).await, 2);
    assert_eq!(calls([honest(), forged()]).await, 2);
    assert_eq!(calls([forged(), forged()]).await, 2);
}

#[tokio::test]
async fn the_authority_and_the_host_header_are_one_host_in_whatever_case_and_for_whatever_user() {
    let same = [
        to("/events", &[VICTIM]),
        to("/events", &["Victim.EXAMPLE"]),
        to("http://victim.example/events", &[]),
        to("http://VICTIM.example/events", &["victim.Example"]),
        to("http://ada:secret@victim.example/events", &[VICTIM]),
    ];
    assert_eq!(calls(same).await, 1);
}

#[tokio::test]
async fn another_port_is_another_host() {
    assert_eq!(calls([to("/events", &["a:1"]), to("/events", &["a:2"])]).await, 2);
}

#[tokio::test]
async fn two_host_headers_share_nothing() {
    for hosts in [[VICTIM, "b.example"], ["b.example", VICTIM], [VICTIM, VICTIM], ["", VICTIM]] {
        for uri in ["/events", "http://victim.example/events"] {
            let two = || to(uri, &hosts);
            assert_eq!(calls([two(), two()]).await, 2, "{uri} {hosts:?}");
            assert_eq!(calls([to("/events", &[VICTIM]), two()]).await, 2, "{uri} {hosts:?}");
            assert_eq!(calls([two(), to("/events", &[VICTIM])]).await, 2, "{uri} {hosts:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_host_is_neither_another_one_nor_none() {
    let (empty, none, named) = (to("/events", &[""]), to("/events", &[]), to("/events", &["a"]));
    assert_eq!(calls([empty, none, named]).await, 3);
    assert_eq!(calls([to("/events", &[""]), to("/events", &[""])]).await, 1);
    assert_eq!(calls([to("http://a/events", &[""]), to("/events", &["a"])]).await, 2);
}

#[tokio::test]
async fn feeds_across_owners_are_as_strict_about_hosts() {
    let mut app = App::with(SseResumeLayer::new().share_across_owners(by_path));
    let _forged = app.send(to("http://attacker.example/events", &[VICTIM])).await;
    let _honest = app.send(to("/events", &[VICTIM])).await;
    let _both = app.send(to("/events", &[VICTIM, VICTIM])).await;
    assert_eq!(app.inner.calls(), 3);
}

/// A stream with two events; returns the ID of the first one.
async fn begin(app: &mut App, request: Request<()>) -> String {
    let mut client: TestClient = app.send(request).await;
    app.body().send("id: a\ndata: 1\n\nid: b\ndata: 2\n\n");
    client.read_events(2).await;
    client.events()[0].id.clone()
}

async fn came_about(app: &mut App, request: Request<()>, id: &str) -> String {
    let client = app.send(with(request, "last-event-id", id)).await;
    client.header("sse-resume").unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_is_resumed_at_its_host_whichever_version_of_http_names_it() {
    for first in [to("/events", &[VICTIM]), to("http://victim.example/events", &[])] {
        let mut app = App::new();
        let id = begin(&mut app, first).await;
        for again in [
            to("/events", &["VICTIM.example"]),
            to("http://victim.example/events", &[]),
            to("http://victim.example/events", &[VICTIM]),
        ] {
            assert_eq!(came_about(&mut app, again, &id).await, "replay");
        }
        for other in [
            to("http://attacker.example/events", &[VICTIM]),
            to("/events", &[VICTIM, "attacker.example"]),
            to("/events", &[VICTIM, VICTIM]),
            to("/events", &[]),
            to("/events", &[""]),
        ] {
            assert_eq!(came_about(&mut app, other, &id).await, "fresh", "the inner ID decides");
        }
    }
}

#[tokio::test]
async fn a_request_whose_host_is_unclear_still_resumes_what_the_same_one_began() {
    for unclear in
        [|| to("/events", &[VICTIM, "b.example"]), || to("http://a.example/events", &["b.example"])]
    {
        for layer in [SseResumeLayer::new(), SseResumeLayer::new().share(by_path)] {
            let mut app = App::with(layer);
            let id = begin(&mut app, unclear()).await;
            assert_eq!(came_about(&mut app, unclear(), &id).await, "replay");
        }
    }
}

#[tokio::test]
async fn an_inner_id_is_found_only_at_the_host_of_its_stream() {
    let layer = SseResumeLayer::new().share(by_path).event_ids(EventIds::Preserve);
    let mut app = App::with(layer);
    assert_eq!(begin(&mut app, to("/events", &[VICTIM])).await, "a");
    assert_eq!(came_about(&mut app, to("/events", &["Victim.example"]), "a").await, "replay");
    for other in [to("http://attacker.example/events", &[VICTIM]), to("/events", &[VICTIM, VICTIM])]
    {
        assert_eq!(came_about(&mut app, other, "a").await, "fresh");
    }
}
