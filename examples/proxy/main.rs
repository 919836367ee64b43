//! A reverse proxy that makes the event streams of any HTTP server resumable.
//!
//! ```text
//! cargo run --release --example proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000
//! ```
//!
//! `--help` lists the options, [`forward`] says what a message loses and gains on its way through.

mod args;
mod causes;
mod choices;
mod client;
mod descriptors;
mod forward;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(not(feature = "mcp"))]
#[path = "no_mcp.rs"]
mod mcp;
mod redact;
mod resumable;
mod secret;
mod serve;
mod stop;
mod store;
mod target;
mod units;
mod upload;
mod upstream;

use std::convert::Infallible;
use std::process::ExitCode;

use clap::Parser;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_layer::Layer;
use tower_service::Service;
use tower_sse_resume::{LayerHandle, SseReconnectLayer, SseResumeLayer};

use crate::{
    args::Args, choices::Preset, descriptors::Descriptors, stop::StopSignals, upstream::Upstream,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {}", redact::redacted(&error.to_string(), arguments()));
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, less what may be a password in it.
fn refuse(error: &clap::Error) -> ExitCode {
    let said = error.render().to_string();
    let shown = redact::redacted(&said, arguments());
    if shown == said {
        error.exit();
    }
    eprint!("{shown}");
    ExitCode::from(2)
}

fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())
}

async fn run(args: &Args) -> Result<(), BoxError> {
    if matches!(args.preset, Preset::Mcp) {
        return mcp::run(args).await;
    }
    let persistence = store::open(args).await?;
    let descriptors = Descriptors::raised();
    let layer = resumable::configured(SseResumeLayer::new(), args, descriptors, persistence);
    if !args.reconnect_upstream {
        let upstream = Upstream::new(args.upstream.clone())?;
        return listen(args, layer.layer(upstream), &layer.handle(), descriptors).await;
    }
    let upstream = SseReconnectLayer::new().layer(Upstream::new(args.upstream.clone())?);
    // A request that can be made again needs a body that can be made anew.
    let boxed = |request: Request<Incoming>| request.map(BodyExt::boxed_unsync);
    listen(args, layer.layer(upstream).map_request(boxed), &layer.handle(), descriptors).await
}

async fn listen<S, B>(
    args: &Args,
    service: S,
    handle: &LayerHandle,
    descriptors: Descriptors,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // Before the line that says "ready": whoever waits for it may send a signal at once.
    let stop = StopSignals::install()?;
    println!("listening on http://{}", listener.local_addr()?);
    serve::serve(listener, service, handle, descriptors, stop, args.drain).await;
    Ok(())
}
