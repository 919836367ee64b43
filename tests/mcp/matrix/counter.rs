//! The MCP server of these tests on rmcp: see `tests/servers/mcp_typescript.cjs` for its tools and routes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ResourceUpdatedNotificationParam,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

#[derive(Clone, Default)]
pub(crate) struct Counter {
    runs: Arc<Mutex<HashMap<String, Arc<Run>>>>,
}

struct Run {
    tally: watch::Sender<Tally>,
    steps: Semaphore,
    sessions: Mutex<Vec<Peer<RoleServer>>>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    started: usize,
    finished: usize,
    cancelled: usize,
}

impl Counter {
    fn run(&self, name: &str) -> Arc<Run> {
        let mut runs = self.runs.lock().expect("not poisoned");
        Arc::clone(runs.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Run {
                tally: watch::channel(Tally::default()).0,
                steps: Semaphore::new(0),
                sessions: Mutex::default(),
            })
        }))
    }

    /// What a test asks and orders, beside `/mcp`.
    pub(crate) fn control(&self) -> Router {
        Router::new()
            .route("/step", post(step))
            .route("/announce", post(announce))
            .route("/tally", get(tally))
            .route("/finished", get(finished))
            .with_state(self.clone())
    }

    async fn count(
        &self,
        name: &str,
        to: u64,
        context: &RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let run = self.run(name);
        let mut started = Started::new(&run);
        let token = context.meta.get_progress_token().expect("clients ask for the progress");
        let counting = async {
            for i in 1..=to {
                run.step().await;
                #[allow(clippy::cast_precision_loss, reason = "small")]
                let progress = ProgressNotificationParam::new(token.clone(), i as f64);
                let progress = progress.with_message(format!("{name} {i}"));
                _ = context.peer.notify_progress(progress).await;
            }
            run.step().await;
        };
        tokio::select! {
            () = counting => {
                started.finished = true;
                Ok(format!("{name} counted to {to}"))
            }
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }
}

impl ServerHandler for Counter {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources();
        ServerConfig::new(capabilities.build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = Arc::new(json!({"type": "object"}).as_object().expect("one").clone());
        let tool = |name| Tool::new(name, name, Arc::clone(&schema));
        Ok(ListToolsResult::with_all_items(["count", "subscribe"].map(tool).into()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let name = arguments["run"].as_str().expect("a name");
        let text = if request.name == "count" {
            self.count(name, arguments["to"].as_u64().expect("a number"), &context).await?
        } else {
            self.run(name).sessions.lock().expect("not poisoned").push(context.peer);
            "subscribed".to_owned()
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

impl Run {
    async fn step(&self) {
        self.steps.acquire().await.expect("never closed").forget();
    }

    fn tally(&self) -> Json<Value> {
        let Tally { started, finished, cancelled } = *self.tally.borrow();
        Json(json!({"started": started, "finished": finished, "cancelled": cancelled}))
    }
}

/// A call that has started: unless it finishes it was cancelled, also where its future is dropped.
struct Started<'a> {
    run: &'a Run,
    finished: bool,
}

impl<'a> Started<'a> {
    fn new(run: &'a Run) -> Self {
        run.tally.send_modify(|tally| tally.started += 1);
        Self { run, finished: false }
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.run.tally.send_modify(|tally| {
            tally.finished += usize::from(self.finished);
            tally.cancelled += usize::from(!self.finished);
        });
    }
}

type Parameters = Query<HashMap<String, String>>;

async fn step(State(counter): State<Counter>, parameters: Parameters) -> Json<Value> {
    let run = counter.run(&parameters["run"]);
    run.steps.add_permits(parameters["times"].parse().expect("a number"));
    run.tally()
}

async fn announce(State(counter): State<Counter>, parameters: Parameters) -> Json<Value> {
    let run = counter.run(&parameters["run"]);
    let uri = format!("run://{}/{}", parameters["run"], parameters["text"]);
    let sessions = run.sessions.lock().expect("not poisoned").clone();
    for session in sessions {
        _ = session
            .notify_resource_updated(ResourceUpdatedNotificationParam::new(uri.clone()))
            .await;
    }
    run.tally()
}

async fn tally(State(counter): State<Counter>, parameters: Parameters) -> Json<Value> {
    counter.run(&parameters["run"]).tally()
}

async fn finished(State(counter): State<Counter>, parameters: Parameters) -> Json<Value> {
    let run = counter.run(&parameters["run"]);
    let mut tally = run.tally.subscribe();
    let over = tally.wait_for(|tally| tally.finished + tally.cancelled > 0).await;
    drop(over);
    run.tally()
}
