//! rmcp's client, as its users write it.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientRequest, PingRequest, ProgressNotificationParam,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::NotificationContext;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::json;
use tokio::sync::Notify;

use super::client::{Out, Task, Tool};

struct Handler {
    out: Out,
    listened: Arc<Notify>,
}

impl ClientHandler for Handler {
    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.out.say(json!({"progress": progress.message}));
    }

    async fn on_resource_updated(
        &self,
        resource: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.out.say(json!({"updated": resource.uri}));
        if resource.uri.ends_with("/end") {
            self.listened.notify_one();
        }
    }
}

pub(crate) async fn run(task: Task, out: Out) {
    let listened = Arc::new(Notify::new());
    let handler = Handler { out: out.clone(), listened: Arc::clone(&listened) };
    let transport = StreamableHttpClientTransport::from_uri(task.url);
    let client = handler.serve(transport).await.expect("a session");
    let version = client.peer_info().expect("it is initialized").protocol_version.to_string();
    out.say(json!({"connected": version}));
    let arguments = json!({"run": task.run, "to": task.to});
    let arguments = arguments.as_object().expect("one").clone();
    let call = CallToolRequestParams::new(task.tool.name()).with_arguments(arguments);
    match client.call_tool(call).await {
        Ok(result) => out.say(json!({"result": text(&result)})),
        Err(error) => return out.say(json!({"error": error.to_string()})),
    }
    if task.tool == Tool::Subscribe {
        listened.notified().await;
    }
    let ping = ClientRequest::PingRequest(PingRequest::default());
    client.send_request(ping).await.expect("the session goes on");
    out.say(json!({"pong": true}));
    client.cancel().await.expect("a clean end");
}

fn text(result: &CallToolResult) -> String {
    result.content[0].as_text().expect("a text").text.clone()
}
