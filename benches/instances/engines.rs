//! The stores that are compared; each server is a private one, as in the tests.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use tower_sse_resume::store::{
    AnyStore, DynamoDbOptions, MemoryStore, NatsOptions, PostgresOptions, RedisOptions,
    SqliteOptions, Store,
};

use super::support::rounds::Options;
use ::support::store_server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

type Opening = Pin<Box<dyn Future<Output = AnyStore>>>;
type Start = fn() -> Engine;

/// A store, and what keeps it.
pub struct Engine {
    pub name: &'static str,
    open: Box<dyn Fn() -> Opening>,
    _server: Option<Server>,
    _folder: Option<Folder>,
}

/// Removed in the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Engine {
    fn new<S, F>(name: &'static str, open: impl Fn() -> F + 'static) -> Self
    where
        S: Store + 'static,
        F: Future<Output = S> + 'static,
    {
        let open = move || -> Opening {
            let opening = open();
            Box::pin(async { AnyStore::new(opening.await) })
        };
        Self { name, open: Box::new(open), _server: None, _folder: None }
    }

    fn kept_by(self, server: Server) -> Self {
        Self { _server: Some(server), ..self }
    }

    fn kept_in(self, folder: PathBuf) -> Self {
        Self { _folder: Some(Folder(folder)), ..self }
    }

    /// A connection of its own.
    pub async fn connect(&self) -> AnyStore {
        (self.open)().await
    }
}

/// Those that are asked for.
pub fn all(options: &Options) -> Vec<Engine> {
    let engines: [(&str, Start); 6] = [
        ("memory", memory),
        ("sqlite", sqlite),
        ("postgres", postgres),
        ("redis", redis),
        ("nats", nats),
        ("dynamodb", dynamodb),
    ];
    let wanted = engines.into_iter().filter(|(word, _)| options.wants(word));
    wanted.map(|(_, start)| start()).collect()
}

fn memory() -> Engine {
    let store = MemoryStore::new();
    Engine::new("memory", move || std::future::ready(store.clone()))
}

fn sqlite() -> Engine {
    let folder = std::env::temp_dir().join(format!("sse-resume-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = SqliteOptions::new(folder.join("store"));
    let open = move || {
        let file = file.clone();
        async { file.open().await.unwrap() }
    };
    Engine::new("SQLite", open).kept_in(folder)
}

fn postgres() -> Engine {
    let server = Server::start("postgres");
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    let options = PostgresOptions::new(url).patience(PATIENCE);
    let open = move || {
        let options = options.clone();
        async { options.connect().await.unwrap() }
    };
    Engine::new("PostgreSQL", open).kept_by(server)
}

fn redis() -> Engine {
    let server = Server::start("redis");
    let options =
        RedisOptions::new(format!("redis://127.0.0.1:{}/", server.port)).patience(PATIENCE);
    let open = move || {
        let options = options.clone();
        async { options.connect().await.unwrap() }
    };
    Engine::new("Redis", open).kept_by(server)
}

fn nats() -> Engine {
    let server = Server::start("nats");
    let options = NatsOptions::new(format!("nats://127.0.0.1:{}", server.port)).patience(PATIENCE);
    let open = move || {
        let options = options.clone();
        async { options.connect().await.unwrap() }
    };
    Engine::new("NATS", open).kept_by(server)
}

/// A substitute for the service: it says nothing about that but how many requests there are.
fn dynamodb() -> Engine {
    let server = Server::start("dynamodb");
    let options = DynamoDbOptions::new("bench")
        .endpoint(format!("http://127.0.0.1:{}", server.port))
        .credentials("key", "secret")
        .patience(PATIENCE);
    let open = move || {
        let options = options.clone();
        async { options.connect().await.unwrap() }
    };
    Engine::new("DynamoDB", open).kept_by(server)
}
