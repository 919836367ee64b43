//! MCP clients that are cut off get every notification once and in order, and the result once, from servers with the
//! layer around them or the proxy before them; from the same servers without it they do not.
//!
//! Server (rmcp here, the other SDKs' in `tests/servers`) ← layer or proxy ← wire that is cut ← client (rmcp and a raw
//! one here, the other SDKs' in `tests/clients`). The clients' own logic brings them back. What takes Node and Python
//! is run by `tests/run`; a plain `cargo test` reports it as ignored.

mod cell;
mod client;
mod counter;
mod cuts;
mod frame;
mod place;
mod program;
mod raw_checks;
mod raw_client;
mod request;
mod rmcp_client;
mod server;
mod wire;

use std::time::Duration;

use futures_util::future::join_all;

use cell::{Outcome, PATIENCE, play};
use cuts::Cut;
use server::{Layer, Server};
use wire::Cutting;

/// In which every client that comes back at all has done so.
const ENOUGH: Duration = Duration::from_secs(8);

async fn each_once(client: client::Kind, kind: server::Kind) {
    let cuts = cuts(kind);
    let server = Server::start(kind, Layer::With).await;
    let outcomes = play(client, &server, Cutting::Yes, &cuts, PATIENCE).await;
    let right = |outcome: &&Outcome| outcome.is_right() && outcome.cuts() == outcome.cut().times();
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !right(outcome)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    if client == client::Kind::Raw {
        let server = Server::start(kind, Layer::Without).await;
        let whole = play(client, &server, Cutting::No, &cuts, PATIENCE).await;
        for (outcome, whole) in outcomes.iter().zip(&whole) {
            raw_checks::check(outcome, whole);
        }
    }
}

fn cuts(server: server::Kind) -> Vec<Cut> {
    let mut cuts = Cut::OF_CALLS.to_vec();
    if server != server::Kind::RmcpStateless {
        cuts.extend(Cut::WITH_SESSIONS);
    }
    if server == server::Kind::TypeScriptWithEventStore {
        cuts.push(Cut::EndedByTheServer);
    }
    cuts
}

macro_rules! each_once {
    ($(#[$needs:meta])? $($test:ident: $client:ident, $server:ident;)*) => {
        each_once! { @ [$(#[$needs])?] $($test: $client, $server;)* }
    };
    (@ $needs:tt $($test:ident: $client:ident, $server:ident;)*) => {
        $( each_once! { @@ $needs $test: $client, $server; } )*
    };
    (@@ [$(#[$needs:meta])?] $test:ident: $client:ident, $server:ident;) => {
        #[tokio::test]
        $(#[$needs])?
        async fn $test() {
            each_once(client::Kind::$client, server::Kind::$server).await;
        }
    };
}

each_once! {
    rmcp_gets_all_once_from_rmcp: Rmcp, RmcpStateful;
    rmcp_gets_all_once_from_rmcp_without_sessions: Rmcp, RmcpStateless;
    a_raw_client_gets_all_once_from_rmcp: Raw, RmcpStateful;
    a_raw_client_gets_all_once_from_rmcp_without_sessions: Raw, RmcpStateless;
}

each_once! {
    #[ignore = "needs Node and Python: run tests/run"]
    rmcp_gets_all_once_from_typescript: Rmcp, TypeScript;
    rmcp_gets_all_once_from_typescript_with_an_event_store: Rmcp, TypeScriptWithEventStore;
    rmcp_gets_all_once_from_python: Rmcp, Python;
    a_raw_client_gets_all_once_from_typescript: Raw, TypeScript;
    a_raw_client_gets_all_once_from_typescript_with_an_event_store: Raw, TypeScriptWithEventStore;
    a_raw_client_gets_all_once_from_python: Raw, Python;
    typescript_v1_gets_all_once_from_rmcp: TypeScriptV1, RmcpStateful;
    typescript_v1_gets_all_once_from_rmcp_without_sessions: TypeScriptV1, RmcpStateless;
    typescript_v1_gets_all_once_from_typescript: TypeScriptV1, TypeScript;
    typescript_v1_gets_all_once_from_typescript_with_an_event_store: TypeScriptV1, TypeScriptWithEventStore;
    typescript_v1_gets_all_once_from_python: TypeScriptV1, Python;
    typescript_v2_gets_all_once_from_rmcp: TypeScriptV2, RmcpStateful;
    typescript_v2_gets_all_once_from_rmcp_without_sessions: TypeScriptV2, RmcpStateless;
    typescript_v2_gets_all_once_from_typescript: TypeScriptV2, TypeScript;
    typescript_v2_gets_all_once_from_typescript_with_an_event_store: TypeScriptV2, TypeScriptWithEventStore;
    typescript_v2_gets_all_once_from_python: TypeScriptV2, Python;
    python_gets_all_once_from_rmcp: Python, RmcpStateful;
    python_gets_all_once_from_rmcp_without_sessions: Python, RmcpStateless;
    python_gets_all_once_from_typescript: Python, TypeScript;
    python_gets_all_once_from_typescript_with_an_event_store: Python, TypeScriptWithEventStore;
    python_gets_all_once_from_python: Python, Python;
}

const CLIENTS: [client::Kind; 5] = [
    client::Kind::Rmcp,
    client::Kind::Raw,
    client::Kind::TypeScriptV1,
    client::Kind::TypeScriptV2,
    client::Kind::Python,
];

/// Those that do not resume by themselves, or not rightly.
const SERVERS: [server::Kind; 4] = [
    server::Kind::RmcpStateful,
    server::Kind::RmcpStateless,
    server::Kind::TypeScript,
    server::Kind::Python,
];

#[tokio::test]
#[ignore = "needs Node and Python: run tests/run"]
async fn uncut_and_without_the_layer_all_get_all_once() {
    let cuts = &[Cut::BetweenNotifications, Cut::StandaloneBetweenEvents];
    for outcome in play_all_bare(Cutting::No, cuts, PATIENCE).await {
        assert!(outcome.is_right(), "{outcome:#?}");
    }
}

#[tokio::test]
#[ignore = "needs Node and Python: run tests/run"]
async fn without_the_layer_no_client_gets_a_result_from_any_server_when_it_was_away() {
    let cuts = &[Cut::AwayWhileTheToolFinishes];
    for outcome in play_all_bare(Cutting::Yes, cuts, ENOUGH).await {
        let result = outcome.told().into_iter().find(|line| line.get("result").is_some());
        assert_eq!((outcome.cuts(), result), (1, None), "{outcome:#?}");
    }
}

/// Bare rmcp sends the last event again.
#[tokio::test]
async fn without_the_layer_rmcp_repeats_a_notification() {
    for client in [client::Kind::Rmcp, client::Kind::Raw] {
        let outcome = bare(client, server::Kind::RmcpStateful, Cut::BetweenNotifications).await;
        let mut told = outcome.told();
        assert_eq!(told.remove(2), told[1], "{outcome:#?}");
        assert_eq!(told, outcome.expected());
    }
}

#[tokio::test]
async fn without_the_layer_rmcp_loses_the_result_of_a_tool_that_finishes_meanwhile() {
    for cut in [Cut::AwayWhileTheToolFinishes, Cut::AwayForLong] {
        let outcome = bare(client::Kind::Raw, server::Kind::RmcpStateful, cut).await;
        assert_eq!(outcome.tally["finished"], 1);
        assert!(outcome.lost() >= outcome.to(), "{outcome:#?}");
    }
}

#[tokio::test]
async fn without_layer_and_sessions_rmcp_cancels_the_tool() {
    let outcome =
        bare(client::Kind::Raw, server::Kind::RmcpStateless, Cut::BetweenNotifications).await;
    assert_eq!(outcome.tally["cancelled"], 1, "{outcome:#?}");
}

async fn bare(client: client::Kind, server: server::Kind, cut: Cut) -> Outcome {
    let server = Server::start(server, Layer::Without).await;
    play(client, &server, Cutting::Yes, &[cut], ENOUGH).await.remove(0)
}

/// Every client and every server, as far as these cuts make sense.
async fn play_all_bare(cutting: Cutting, cuts: &[Cut], patience: Duration) -> Vec<Outcome> {
    let plays = SERVERS.map(async |kind| {
        let server = &Server::start(kind, Layer::Without).await;
        let mut possible = self::cuts(kind);
        possible.retain(|cut| cuts.contains(cut));
        let possible = &possible;
        let plays = CLIENTS.map(|client| play(client, server, cutting, possible, patience));
        join_all(plays).await.concat()
    });
    join_all(plays).await.concat()
}
