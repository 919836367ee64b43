//! Requests that the layer does not resume reach the service as they are, less an ID of the layer.

use http::{Method, Request};
use support::app::{App, request, with};
use support::client::End;
use tower_sse_resume::{Marker, SseResumeLayer};

const OTHERS: [Method; 7] = [
    Method::HEAD,
    Method::POST,
    Method::OPTIONS,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::TRACE,
];

/// IDs of the layer: of a stream with two events, the first of which has the service's ID; and what is none, but has the form.
async fn ids(app: &mut App) -> Vec<String> {
    let mut client = app.get("").await;
    app.body().send("id: a\ndata: 1\n\ndata: 2\n\n");
    client.read_events(2).await;
    let mut ids: Vec<_> = client.events().into_iter().map(|event| event.id).collect();
    let forged = ids[0].replacen("r1.", "r1.A", 1);
    ids.extend([forged, "r1.".to_owned(), "r1.nonsense".to_owned(), client.last_event_id()]);
    ids
}

/// The values that the service was last called with.
fn seen(app: &App) -> Vec<String> {
    let call = app.inner.call(app.inner.calls() - 1);
    let values = call.headers.get_all("last-event-id").iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn to(method: &Method, uri: &str, ids: &[&str]) -> Request<()> {
    let mut request = request(method.clone(), "");
    *request.uri_mut() = uri.parse().unwrap();
    ids.iter().fold(request, |request, id| with(request, "last-event-id", id))
}

#[tokio::test]
async fn an_id_of_the_layer_is_taken_out_of_the_header_whatever_is_in_it() {
    let mut app = App::new();
    for id in ids(&mut app).await {
        for method in OTHERS {
            app.inner.answer_next(http::Response::builder().status(201).body(()).unwrap());
            let calls = app.inner.calls();
            let client = app.send(with(to(&method, "/events?a=1", &[&id]), "x-a", "1")).await;
            assert_eq!((client.status.as_u16(), app.inner.calls()), (201, calls + 1), "{method}");
            assert_eq!(seen(&app), Vec::<String>::new(), "{method} {id}: no inner ID in its place");
            let call = app.inner.call(calls);
            assert_eq!((call.method, call.headers["x-a"].to_str().unwrap()), (method, "1"));
            assert_eq!(call.uri, "/events?a=1");
        }
    }
}

#[tokio::test]
async fn ids_of_others_stay_also_beside_one_of_the_layer() {
    let mut app = App::new();
    let ours = ids(&mut app).await.remove(0);
    for method in OTHERS {
        for foreign in ["5", "r2.x", "r1", "", "R1.x", "other.r1.x"] {
            app.send(to(&method, "/events", &[foreign])).await;
            assert_eq!(seen(&app), [foreign], "{method}");
            for both in [[foreign, &ours], [&ours, foreign]] {
                app.send(to(&method, "/events", &both)).await;
                assert_eq!(seen(&app), [foreign], "{method}");
            }
        }
        app.send(to(&method, "/events", &["5", "6"])).await;
        assert_eq!(seen(&app), ["5", "6"], "{method}");
        app.send(to(&method, "/events", &[&ours, &ours])).await;
        assert_eq!(seen(&app), Vec::<String>::new(), "{method}");
    }
}

#[tokio::test]
async fn an_id_of_the_layer_is_taken_out_of_the_query_parameter_where_that_is_configured() {
    let uri = |app: &App| app.inner.call(app.inner.calls() - 1).uri.to_string();
    for (layer, takes) in [
        (SseResumeLayer::new().last_event_id_query("lastEventId"), true),
        (SseResumeLayer::new(), false),
    ] {
        let mut app = App::with(layer);
        let ours = ids(&mut app).await.remove(0);
        for method in OTHERS {
            let asked = format!("/events?a=%7e&lastEventId={ours}&b");
            app.send(to(&method, &asked, &[])).await;
            assert_eq!(uri(&app), if takes { "/events?a=%7e&b" } else { &asked }, "{method}");
            for foreign in ["/events?lastEventId=5", "/events?lastEventId", "/e?lastEventId=&x=1"] {
                app.send(to(&method, foreign, &[])).await;
                assert_eq!(uri(&app), foreign, "{method}");
            }
            let both = format!("http://a/events?lastEventId=5&lastEventId={ours}");
            app.send(to(&method, &both, &["7"])).await;
            let expected = if takes { "http://a/events?lastEventId=5" } else { &both };
            assert_eq!((uri(&app), seen(&app)), (expected.to_owned(), vec!["7".to_owned()]));
        }
    }
}

#[tokio::test]
async fn what_the_filter_leaves_alone_passes_untouched_with_every_method() {
    let layer = SseResumeLayer::new()
        .only(|parts| parts.uri.path() == "/events")
        .last_event_id_query("lastEventId");
    let mut app = App::with(layer);
    let ours = ids(&mut app).await.remove(0);
    for method in OTHERS.into_iter().chain([Method::GET]) {
        let uri = format!("/other?lastEventId={ours}");
        app.send(to(&method, &uri, &[&ours])).await;
        let call = app.inner.call(app.inner.calls() - 1);
        assert_eq!((seen(&app), call.uri.to_string()), (vec![ours.clone()], uri), "{method}");
    }
}

#[tokio::test]
async fn another_layers_marker_is_none_of_ours() {
    let mut app = App::with(SseResumeLayer::new().marker(Marker::new("x1").unwrap()));
    app.send(to(&Method::POST, "/events", &["r1.AAAA.1.1"])).await;
    assert_eq!(seen(&app), ["r1.AAAA.1.1"]);
    app.send(to(&Method::POST, "/events", &["x1.AAAA.1.1"])).await;
    assert_eq!(seen(&app), Vec::<String>::new());
}

#[tokio::test]
async fn the_answer_passes_as_it_is() {
    let mut app = App::new();
    let ours = ids(&mut app).await.remove(0);
    let mut client = app.send(to(&Method::POST, "/events", &[&ours])).await;
    assert_eq!(client.header("sse-resume"), None);
    app.body().send("data: 1\n\n");
    app.body().end();
    assert_eq!((client.read(), client.end), ("data: 1\n\n".to_owned(), End::Clean));
}
