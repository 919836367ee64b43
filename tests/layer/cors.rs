//! A CORS layer outside of this one, as the README shows it.

use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use http::{HeaderName, Method, Request, StatusCode};
use support::client::Client;
use support::scripted::Scripted;
use tower::{Layer, Service};
use tower_http::cors::{Cors, CorsLayer};
use tower_sse_resume::{SseResume, SseResumeLayer};

const PAGE: &str = "https://app.example";

fn app() -> (Cors<SseResume<Scripted>>, Scripted) {
    let inner = Scripted::new();
    let cors = CorsLayer::new()
        .allow_origin([PAGE.parse().unwrap()])
        .allow_methods([Method::GET])
        .allow_headers([HeaderName::from_static("last-event-id")]);
    (cors.layer(SseResumeLayer::new().layer(inner.clone())), inner)
}

#[tokio::test]
async fn a_replayed_response_allows_its_origin_as_the_first_one_did() {
    let (mut app, inner) = app();
    let request = || Request::get("/events").header(ORIGIN, PAGE);
    let mut first = Client::new(app.call(request().body("").unwrap()).await.unwrap());
    assert_eq!(first.header(ACCESS_CONTROL_ALLOW_ORIGIN.as_str()), Some(PAGE));
    inner.body(0).send("data: 1\n\n");
    first.read();
    let back = request().header("last-event-id", first.last_event_id()).body("").unwrap();
    let second = Client::new(app.call(back).await.unwrap());
    assert_eq!(second.header("sse-resume"), Some("replay"));
    let allowed: Vec<_> = second.headers.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().collect();
    assert_eq!(allowed, [PAGE]);
}

#[tokio::test]
async fn a_preflight_that_asks_for_the_last_event_id_is_answered_outside() {
    let (mut app, inner) = app();
    let preflight = Request::options("/events")
        .header(ORIGIN, PAGE)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "last-event-id");
    let response = app.call(preflight.body("").unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "last-event-id");
    assert_eq!(inner.calls(), 0);
}
