//! A reverse proxy that makes the event streams of any HTTP server resumable.
//!
//! ```text
//! cargo run --release --example proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000
//! ```
//!
//! `--help` lists the options, [`forward`] says what a message loses and gains on its way through.

mod args;
mod choices;
mod client;
mod forward;
mod resumable;
mod secret;
mod serve;
mod stop;
mod target;
mod units;
mod upload;
mod upstream;

use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tower_layer::Layer;

use crate::{args::Args, stop::StopSignals, upstream::Upstream};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), BoxError> {
    let layer = resumable::layer(args);
    let service = layer.layer(Upstream::new(args.upstream.clone())?);
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // Before the line that says "ready": whoever waits for it may send a signal at once.
    let stop = StopSignals::install()?;
    println!("listening on http://{}", listener.local_addr()?);
    serve::serve(listener, service, &layer.handle(), stop, args.drain).await;
    Ok(())
}
