//! `--store`: where histories are kept, when they are not kept in memory.
//!
//! Each engine has a file, which is there in a build with the feature of its name.

#![allow(clippy::duplicate_mod, reason = "one file stands for each engine that is missing")]

use std::{future::Future, pin::Pin, str::FromStr};

use tower_sse_resume::{
    Durability, OnOutage, Persistence,
    store::{AnyStore, Error},
};

use crate::{BoxError, args::Args, causes::causes, choices};

#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(not(feature = "dynamodb"))]
#[path = "missing.rs"]
mod dynamodb;
#[cfg(feature = "nats")]
mod nats;
#[cfg(not(feature = "nats"))]
#[path = "missing.rs"]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "missing.rs"]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(not(feature = "redis"))]
#[path = "missing.rs"]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(not(feature = "sqlite"))]
#[path = "missing.rs"]
mod sqlite;

type Opening = Pin<Box<dyn Future<Output = Result<AnyStore, Error>> + Send>>;

/// Opens the store that the whole option names.
type Open = fn(String) -> Opening;

/// The engines by what the option begins with, and what opens them if this build has it.
const ENGINES: [(&str, Option<Open>); 5] = [
    ("dynamodb", dynamodb::OPEN),
    ("nats", nats::OPEN),
    ("postgres", postgres::OPEN),
    ("redis", redis::OPEN),
    ("sqlite", sqlite::OPEN),
];

/// What `--store` names.
#[derive(Clone)]
pub(crate) enum Place {
    Memory,
    Store(Open, String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(place: &str) -> Result<Self, String> {
        if place == "memory" {
            return Ok(Self::Memory);
        }
        let (scheme, rest) = place.split_once(':').unwrap_or((place, ""));
        let engine = ENGINES.into_iter().find(|(engine, _)| *engine == scheme);
        match engine {
            Some((_, Some(open))) if is_complete(scheme, rest) => {
                Ok(Self::Store(open, place.into()))
            }
            Some((engine, None)) => {
                Err(format!("needs the feature `{engine}`, which this build does not have"))
            }
            _ => Err("expected `memory`, `sqlite:FILE`, or a URL that begins with `postgres://`, \
                      `redis://`, `nats://` or `dynamodb://`"
                .into()),
        }
    }
}

fn is_complete(scheme: &str, rest: &str) -> bool {
    match scheme {
        "sqlite" => !rest.is_empty(),
        _ => rest.starts_with("//"),
    }
}

/// Opens the store that the command line names. `None`: histories are kept in memory.
pub(crate) async fn open(args: &Args) -> Result<Option<Persistence>, BoxError> {
    let Place::Store(open, place) = &args.store else {
        let without = "--durability commit-first needs a --store other than `memory`";
        let needs_one = matches!(args.durability, choices::Durability::CommitFirst);
        return if needs_one { Err(without.into()) } else { Ok(None) };
    };
    let store = open(place.clone()).await.map_err(|error| failed(&error))?;
    let persistence = match &args.secret_file {
        Some(secret) => Persistence::with_secret(store, secret.0),
        None => Persistence::open(store).await.map_err(|error| failed(&error))?,
    };
    let durability = match args.durability {
        choices::Durability::WriteBehind => Durability::WriteBehind,
        choices::Durability::CommitFirst => Durability::CommitFirst,
    };
    let on_outage = match args.on_outage {
        choices::OnOutage::Serve => OnOutage::Serve,
        choices::OnOutage::Refuse => OnOutage::Refuse,
    };
    Ok(Some(persistence.durability(durability).on_outage(on_outage).lease(args.lease)))
}

/// The URL is not shown: it may have a password.
fn failed(error: &Error) -> BoxError {
    format!("cannot open the store: {}", causes(error)).into()
}
