//! The preset for the Model Context Protocol: each thing that it promises, in process; then with other implementations.

mod answers;
mod app;
mod calls;
mod conformance;
mod endings;
mod eras;
mod example;
mod instances;
mod matrix;
mod passing;
mod requests;
mod rmcp_types;
mod security;
mod sessions;
mod stalled;
mod standalone;

use std::time::Duration;

use crate::app::{Ask, Mcp, McpClient, messages, note};
use bytes::Bytes;
use http_body::Body;
use serde_json::Value;
use support::client::Client;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
/// More than anything takes. Time is paused: it passes at once when nothing else happens.
const HOUR: Duration = Duration::from_secs(3600);

/// A client that called a tool, has its first notification, and was cut. Returns the position that it has.
async fn cut_call(app: &mut Mcp, ask: &Ask) -> String {
    let mut client = app.send(ask).await;
    let call = app.calls() - 1;
    app.say(call, &note(1));
    read_messages(&mut client, 1).await;
    client.last_event_id()
}

/// Reads until there were so many messages.
async fn read_messages(client: &mut McpClient, count: usize) -> Vec<Value> {
    read_until(client, |client| messages(client).len() >= count).await;
    messages(client)
}

/// All that a client gets until its response ends or there is nothing more to come for now.
async fn all(client: &mut McpClient) -> Vec<Value> {
    client.settle().await;
    messages(client)
}

/// Reads until `until` holds or the response ends.
async fn read_until<B>(client: &mut Client<B>, until: impl FnMut(&Client<B>) -> bool)
where
    B: Body<Data = Bytes>,
    B::Error: ToString,
{
    let in_time = timeout(HOUR, client.read_until(until)).await.is_ok();
    assert!(in_time, "nothing more came than {}", String::from_utf8_lossy(&client.received));
}

/// Reads to the end of the response.
async fn read_to_end<B>(client: &mut Client<B>)
where
    B: Body<Data = Bytes>,
    B::Error: ToString,
{
    read_until(client, |_| false).await;
}
