//! The store of a test, as the proxy's command line names it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use support::store_server::Server;

/// A store of its own, which is gone after the test.
pub(crate) struct Engine {
    option: String,
    _place: Place,
}

enum Place {
    Folder(PathBuf),
    Server { _server: Server },
}

impl Engine {
    pub(crate) fn start(kind: &str) -> Self {
        if kind == "sqlite" {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder =
                env::temp_dir().join(format!("sse-resume-hopping-{}-{number}", process::id()));
            fs::create_dir(&folder).expect("a folder");
            let option = format!("sqlite:{}", folder.join("streams.db").display());
            return Self { option, _place: Place::Folder(folder) };
        }
        let server = Server::start(kind);
        let address = format!("127.0.0.1:{}", server.port);
        let option = match kind {
            "dynamodb" => format!("dynamodb://streams?endpoint=http://{address}"),
            "postgres" => format!("postgres://postgres@{address}/postgres"),
            _ => format!("{kind}://{address}"),
        };
        Self { option, _place: Place::Server { _server: server } }
    }

    pub(crate) fn option(&self) -> &str {
        &self.option
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Folder(folder) = self {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
