//! The MCP project's own tools against a server of `rmcp` (`tests/servers/mcp_conformance`), bare and behind the layer.
//!
//! That takes Node and packages of npm: `tests/run` brings them and runs these tests; a plain `cargo test` reports them
//! as ignored.

use std::env;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use support::process::{Server, example};
use tokio::process::Command;
use tokio::time::timeout;

const CONFORMANCE: &str = "@modelcontextprotocol/conformance/dist/index.js";
const INSPECTOR: &str = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";

const LAYER: &[&str] = &["--layer"];
/// The check of resumption counts only if a response ends while its call is open: the tool for it takes 1.5 seconds. A
/// connection gets up to 1.125 seconds old, so that the second one lasts until the tool is done.
const SHORT_CONNECTIONS: &[&str] = &["--layer", "--max-connection-age", "900"];

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn the_bare_server_conforms_to_2025_11_25_with_no_check_of_resumption() {
    conforms(&[], "2025-11-25", 83).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn behind_the_layer_it_conforms_to_2025_11_25() {
    conforms(LAYER, "2025-11-25", 83).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn behind_the_layer_it_conforms_to_2025_11_25_with_resumption() {
    conforms(SHORT_CONNECTIONS, "2025-11-25", 84).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn the_bare_server_conforms_to_2026_07_28() {
    conforms(&[], "2026-07-28", 153).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn behind_the_layer_it_conforms_to_2026_07_28() {
    conforms(LAYER, "2026-07-28", 153).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn behind_the_proxy_with_the_preset_it_conforms_to_both() {
    let server = start(&[]).await;
    let options = ["--preset", "mcp", "--max-connection-age", "900ms"];
    let proxy = Server::proxy(server.address, &options).await;
    assert_conforms(&proxy, "2025-11-25", 84).await;
    assert_conforms(&proxy, "2026-07-28", 153).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/run"]
async fn the_inspectors_command_line_lists_and_calls_tools() {
    for options in [&[], LAYER] {
        let server = start(options).await;
        let url = format!("http://{}/mcp", server.address);
        let inspect = async |arguments: &[&str]| -> Value {
            let mut inspector = node(INSPECTOR);
            inspector.args(["--cli", &url, "--transport", "http", "--method"]).args(arguments);
            let output = run(&mut inspector).await;
            assert!(output.status.success(), "{options:?}: {output:?}");
            serde_json::from_slice(&output.stdout).expect("JSON")
        };
        let list = inspect(&["tools/list"]).await;
        assert_eq!(list["tools"][0]["name"], "test_simple_text");
        let result = inspect(&["tools/call", "--tool-name", "test_tool_with_progress"]).await;
        assert_eq!(result["content"][0]["text"], "progressed");
    }
}

async fn conforms(options: &[&str], revision: &str, checks: u32) {
    assert_conforms(&start(options).await, revision, checks).await;
}

/// All checks of all scenarios for this revision pass, and there are so many.
async fn assert_conforms(server: &Server, revision: &str, checks: u32) {
    let mut suite = node(CONFORMANCE);
    suite.args(["server", "--suite", "all", "--spec-version", revision, "--url"]);
    let output = run(suite.arg(format!("http://{}/mcp", server.address))).await;
    let report = String::from_utf8_lossy(&output.stdout);
    let summary = report.rsplit("=== SUMMARY ===").next().unwrap_or_default();
    let total = summary.lines().find_map(|line| line.strip_prefix("Total: "));
    assert_eq!(total, Some(&*format!("{checks} passed, 0 failed")), "{summary}");
    assert!(output.status.success(), "{output:?}");
}

async fn start(options: &[&str]) -> Server {
    Server::start(example("mcp_conformance_server").arg("127.0.0.1:0").args(options)).await
}

/// A program of a package of npm.
fn node(program: &str) -> Command {
    let mut command = Command::new(setting("SSE_RESUME_NODE"));
    command.arg(PathBuf::from(setting("SSE_RESUME_NODE_MODULES")).join(program));
    // What it may write lies there.
    command.current_dir(env::temp_dir()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    let output = timeout(Duration::from_secs(120), command.output()).await;
    output.expect("it ends").expect("it starts")
}

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run these tests with tests/run"))
}
