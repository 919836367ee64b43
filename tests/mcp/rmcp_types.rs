//! A server of `rmcp`, as it is. (Requirement 18.)

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{tool, tool_router};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};
use tower_sse_resume::SseResumeLayer;

use crate::app::{Ask, SESSION, VERSION, call, initialize};
use crate::{HOUR, read_to_end, read_until};
use support::client::Client;

type Erased = http_body_util::combinators::UnsyncBoxBody<Bytes, String>;

/// A server of `rmcp` whose tool `bake` says how far it is, waits until it may finish, and counts how often it ran.
#[derive(Clone)]
pub(crate) struct Kitchen {
    may_finish: Arc<Semaphore>,
    finished: Arc<Semaphore>,
    notes: u32,
}

#[tool_router(server_handler)]
impl Kitchen {
    #[tool(description = "Bakes a cake")]
    async fn bake(&self, context: RequestContext<RoleServer>) -> String {
        let token = context.meta.get_progress_token().expect("a progress token");
        for note in 0..self.notes {
            let progress = ProgressNotificationParam::new(token.clone(), f64::from(note));
            // Nobody may be there.
            let _ = context.peer.notify_progress(progress).await;
        }
        self.may_finish.acquire().await.unwrap().forget();
        self.finished.add_permits(1);
        "a cake".to_owned()
    }
}

/// `rmcp` behind the preset.
pub(crate) struct Rmcp {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Response<Erased>, Infallible>,
    pub(crate) kitchen: Kitchen,
    session: Option<String>,
}

impl Rmcp {
    pub(crate) async fn start(stateful: bool, notes: u32) -> Self {
        let may_finish = Arc::new(Semaphore::new(0));
        let kitchen = Kitchen { may_finish, finished: Arc::new(Semaphore::new(0)), notes };
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(stateful)
            .disable_allowed_hosts();
        let (server, sessions) = (kitchen.clone(), Arc::<LocalSessionManager>::default());
        let rmcp = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
        let service = SseResumeLayer::mcp().layer(rmcp);
        let service = ServiceExt::<Request<Full<Bytes>>>::map_response(service, |response| {
            response.map(erased)
        });
        let service = BoxCloneSyncService::new(service);
        let mut rmcp = Self { service, kitchen, session: None };
        tokio::time::timeout(HOUR, rmcp.shake_hands()).await.expect("a session");
        rmcp
    }

    async fn shake_hands(&mut self) {
        let mut answer = self.send(&Ask::post(initialize())).await;
        read_until(&mut answer, |client| client.data().iter().any(|data| data.contains("result")))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.received));
        self.session = answer.header(SESSION).map(str::to_owned);
        let initialized =
            serde_json::json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(self.send(&Ask::post(initialized)).await.status, StatusCode::ACCEPTED);
    }

    pub(crate) async fn send(&mut self, ask: &Ask) -> Client<Erased> {
        let ask = match &self.session {
            Some(session) => ask.clone().session(session),
            None => ask.clone().without(SESSION),
        };
        Client::new(self.service.call(ask.request()).await.unwrap())
    }

    /// Lets a tool finish, and waits until it has.
    pub(crate) async fn finish(&self) {
        self.kitchen.may_finish.add_permits(1);
        let finished = tokio::time::timeout(HOUR, self.kitchen.finished.acquire()).await;
        finished.expect("the tool was cancelled, or waits for its client").unwrap().forget();
    }
}

fn erased<B>(body: B) -> Erased
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: ToString,
{
    use http_body_util::BodyExt;
    body.map_err(|error| error.to_string()).boxed_unsync()
}

pub(crate) fn messages<B>(client: &Client<B>) -> Vec<Value>
where
    B: Body<Data = Bytes>,
    B::Error: ToString,
{
    let data = client.data().into_iter().filter(|data| !data.is_empty());
    data.map(|data| serde_json::from_str(&data).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_service_of_rmcp_stays_one_that_cannot_fail_for_each_body_that_it_takes() {
    fn takes<B, S: Service<Request<B>, Error = Infallible>>(_: &S) {}
    let sessions = Arc::<LocalSessionManager>::default();
    let kitchen = Kitchen {
        may_finish: Arc::new(Semaphore::new(0)),
        finished: Arc::new(Semaphore::new(0)),
        notes: 0,
    };
    let rmcp = StreamableHttpService::new(
        move || Ok(kitchen.clone()),
        sessions,
        StreamableHttpServerConfig::default(),
    );
    let service = SseResumeLayer::mcp().layer(rmcp);
    takes::<Full<Bytes>, _>(&service);
    takes::<axum::body::Body, _>(&service);
    takes::<hyper::body::Incoming, _>(&service);
    let _router: axum::Router = axum::Router::new().nest_service("/mcp", service);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_finished_while_its_client_was_away_ran_once_and_its_result_is_there() {
    for stateful in [true, false] {
        let mut rmcp = Rmcp::start(stateful, 40).await;
        let mut client = rmcp.send(&Ask::post(call(1))).await;
        read_until(&mut client, |client| messages(client).len() >= 2).await;
        let had = messages(&client).len();
        let id = client.last_event_id();
        drop(client);
        rmcp.finish().await;
        let mut client = rmcp.send(&Ask::get().after(&id)).await;
        read_until(&mut client, |client| {
            messages(client).last().is_some_and(|last| last["id"] == 1)
        })
        .await;
        let got = messages(&client);
        assert_eq!(got.len(), 41 - had, "{got:?}");
        for (at, note) in got[..got.len() - 1].iter().enumerate() {
            let number = u32::try_from(had + at).map(f64::from);
            assert_eq!(note["params"]["progress"].as_f64(), number.ok(), "{got:?}");
        }
        assert_eq!(got.last().unwrap()["result"]["content"][0]["text"], "a cake");
        assert_eq!(rmcp.kitchen.finished.available_permits(), 0);
        read_to_end(&mut client).await;
        let back = rmcp.send(&Ask::get().after(client.last_event_id())).await;
        assert_eq!(back.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_client_of_rmcp_gets_the_same() {
    let mut rmcp = Rmcp::start(true, 2).await;
    let ask = |ask: Ask| ask.with(VERSION, "2025-06-18");
    let mut client = rmcp.send(&ask(Ask::post(call(1)))).await;
    read_until(&mut client, |client| messages(client).len() >= 2).await;
    let id = client.last_event_id();
    drop(client);
    rmcp.finish().await;
    let mut client = rmcp.send(&ask(Ask::get().after(&id))).await;
    read_to_end(&mut client).await;
    assert_eq!(messages(&client).len(), 1, "{:?}", messages(&client));
}
