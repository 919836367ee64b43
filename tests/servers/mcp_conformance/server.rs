//! The server: it says what the script says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[allow(deprecated, reason = "clients of the older versions set a level")]
use rmcp::model::SetLevelRequestParams;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    ContentBlock, GetPromptRequestParams, GetPromptResponse, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerConfig,
    ServerNotification, ServerRequest, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext, SubscriptionSink};
use rmcp::{ErrorData, ServerHandler};
use serde_json::{Map, Value, json};

use crate::rounds::Given;
use crate::script;

type Context = RequestContext<RoleServer>;
type Page = Option<PaginatedRequestParams>;

#[derive(Clone, Default)]
pub(crate) struct Conformance {
    subscriptions: Arc<Mutex<HashMap<String, SubscriptionSink>>>,
}

/// What a script that is well-formed always has.
macro_rules! typed {
    ($value:expr) => {
        serde_json::from_value($value).expect("script.json is well-formed")
    };
}

/// The same of a result. For older clients `rmcp` leaves the type out.
macro_rules! complete {
    ($value:expr) => {{
        let mut result = $value;
        result["resultType"] = "complete".into();
        typed!(result)
    }};
}

impl Conformance {
    /// Does what a tool does before it answers. What it got to know goes into the answer.
    async fn act(
        &self,
        tool: &Value,
        arguments: &Map<String, Value>,
        context: &Context,
    ) -> Result<String, ErrorData> {
        if let Some(needed) = tool.get("needs") {
            let declared = json!(context.meta.client_capabilities());
            if needed
                .as_object()
                .into_iter()
                .flatten()
                .any(|(name, _)| declared.get(name).is_none_or(Value::is_null))
            {
                let needed = typed!(needed.clone());
                return Err(ErrorData::missing_required_client_capability(needed));
            }
        }
        tell(tool, context).await;
        if let Some(pause) = tool["pause"].as_u64() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if let Some(kind) = tool["changes"].as_str() {
            self.announce(kind).await;
        }
        let Some(request) = tool.get("asks") else { return Ok(String::new()) };
        let request: ServerRequest = typed!(script::filled(request, arguments));
        match context.peer.send_request(request).await {
            Ok(answer) => Ok(json!(answer).to_string()),
            Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
        }
    }

    /// Tells all who listen that a list has changed.
    async fn announce(&self, kind: &str) {
        let listeners: Vec<_> = self.subscriptions.lock().unwrap().values().cloned().collect();
        for listener in listeners {
            // One that has just left is no reason to fail.
            let _ = match kind {
                "tools" => listener.notify_tool_list_changed().await,
                _ => listener.notify_prompt_list_changed().await,
            };
        }
    }
}

/// Sends a tool's log messages and its progress.
async fn tell(tool: &Value, context: &Context) {
    let level = context.meta.log_level();
    let may_log = tool["logs_only_when_asked"] != true || level.is_some();
    let level = level.map_or(json!("info"), |level| json!(level));
    for line in tool["logs"].as_array().into_iter().flatten().filter(|_| may_log) {
        let params = json!({ "level": level, "logger": "conformance", "data": line });
        notify(context, "notifications/message", params).await;
    }
    let Some(token) = context.meta.get_progress_token() else { return };
    for (step, line) in tool["progress"].as_array().into_iter().flatten().enumerate() {
        let params =
            json!({ "progressToken": token, "progress": step * 50, "total": 100, "message": line });
        notify(context, "notifications/progress", params).await;
    }
}

async fn notify(context: &Context, method: &str, params: Value) {
    let notification: ServerNotification = typed!(json!({ "method": method, "params": params }));
    // The client may have left.
    let _ = context.peer.send_notification(notification).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn unknown(what: &str, uri: &str) -> ErrorData {
    ErrorData::invalid_params(format!("no such {what}"), Some(json!({ "uri": uri })))
}

impl ServerHandler for Conformance {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.capabilities = typed!(json!({
            "prompts": { "listChanged": true },
            "resources": { "subscribe": true, "listChanged": true },
            "tools": { "listChanged": true },
            "logging": {},
            "completions": {},
        }));
        config
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools: ListToolsResult = tools();
        tools.tools.into_iter().find(|tool| tool.name == name)
    }

    async fn list_tools(&self, _: Page, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(tools())
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let tool = script::one("tools", "name", &call.name).ok_or_else(|| unknown("tool", ""))?;
        let given = Given {
            responses: call.input_responses.as_ref(),
            state: call.request_state.as_deref(),
            capabilities: json!(context.meta.client_capabilities()),
        };
        if let Some(wanted) = given.wanted(tool)? {
            return Ok(wanted.into());
        }
        let arguments = call.arguments.unwrap_or_default();
        let learnt = self.act(tool, &arguments, &context).await?;
        if let Some(answer) = tool.get("answer") {
            let answer: CallToolResult = complete!(script::filled(answer, &arguments));
            return Ok(answer.into());
        }
        let learnt = learnt
            + &call.input_responses.map(|inputs| json!(inputs).to_string()).unwrap_or_default();
        let said = tool["says"].as_str().unwrap_or_default().to_owned() + &learnt;
        Ok(CallToolResult::success(vec![ContentBlock::text(said)]).into())
    }

    async fn list_resources(&self, _: Page, _: Context) -> Result<ListResourcesResult, ErrorData> {
        Ok(complete!(script::listed("resources", "resources", &["uri", "name", "mimeType"])))
    }

    async fn list_resource_templates(
        &self,
        _: Page,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let fields = ["uriTemplate", "name", "mimeType"];
        Ok(complete!(script::listed("templates", "resourceTemplates", &fields)))
    }

    async fn read_resource(
        &self,
        wanted: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let number =
            wanted.uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let content = match (script::one("resources", "uri", &wanted.uri), number) {
            (Some(resource), _) => script::filled(resource, &Map::new()),
            (None, Some(id)) => {
                json!({ "uri": wanted.uri, "mimeType": "application/json", "text": json!({ "id": id }).to_string() })
            }
            (None, None) => return Err(unknown("resource", &wanted.uri)),
        };
        let read: ReadResourceResult =
            complete!(json!({ "contents": [content], "ttlMs": 60_000, "cacheScope": "public" }));
        Ok(read.into())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(&self, _: Page, _: Context) -> Result<ListPromptsResult, ErrorData> {
        Ok(complete!(script::listed("prompts", "prompts", &["name", "arguments"])))
    }

    async fn get_prompt(
        &self,
        wanted: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let prompt =
            script::one("prompts", "name", &wanted.name).ok_or_else(|| unknown("prompt", ""))?;
        let given = Given {
            responses: wanted.input_responses.as_ref(),
            state: None,
            capabilities: json!(context.meta.client_capabilities()),
        };
        if let Some(wanted) = given.wanted(prompt)? {
            return Ok(wanted.into());
        }
        let arguments = wanted.arguments.unwrap_or_default();
        let got: GetPromptResult =
            complete!(json!({ "messages": script::filled(&prompt["messages"], &arguments) }));
        Ok(got.into())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(complete!(
            json!({ "completion": { "values": ["one", "two"], "total": 2, "hasMore": false } })
        ))
    }

    #[allow(deprecated, reason = "clients of the older versions set a level")]
    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        wanted: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(wanted.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let id = json!(context.sink().id()).to_string();
        self.subscriptions.lock().unwrap().insert(id.clone(), context.sink().clone());
        context.cancelled().await;
        self.subscriptions.lock().unwrap().remove(&id);
        Ok(())
    }
}

fn tools() -> ListToolsResult {
    complete!(script::listed("tools", "tools", &["name", "inputSchema"]))
}
