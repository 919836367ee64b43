//! A server hangs under load, and goes on: it has its connections, and answers nothing. Every operation fails in time,
//! and afterwards all goes on by itself.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{self, Instant};
use tower_sse_resume::store::{
    Append, Claim, Error, ErrorKind, Extent, NewSession, Piece, Purge, SessionStore, State, Store,
};

use super::restarts::{self, key};
use support::store_server::Server;

/// What the stores that [`survives_hangs`] opens have to be given.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// At which events, counted by the reader, the server hangs.
const HANGS: [u64; 2] = [50, 200];

/// One instance writes, another one reads along; while the server hangs, a third one asks for everything. For a runtime
/// of one thread: while nothing but the patience can end an operation, its clock does not wait for it.
pub(crate) async fn survives_hangs<S: Store + SessionStore>(
    server: &Server,
    open: impl AsyncFn() -> Result<S, Error>,
) {
    let open_now = async || open().await.expect("it connects");
    let (writer, reader, other) = (open_now().await, open_now().await, open_now().await);
    restarts::create(&writer).await;
    let (progress, mut seen) = watch::channel(0);
    let hanging = async {
        for hang in HANGS {
            seen.wait_for(|seen| *seen >= hang).await.unwrap();
            server.pause();
            time::pause();
            // The second time, connections that the first one has given up are made again.
            for _ in 0..2 {
                tokio::join!(
                    Box::pin(streams_fail(&other)),
                    Box::pin(sessions_fail(&other)),
                    fails("connect", async { open().await.map(drop) }),
                );
            }
            time::resume();
            server.resume();
        }
    };
    restarts::write_and_read(&writer, &reader, &progress, hanging).await;
}

/// Says which operation is answered, or later than it may be.
async fn fails<T>(operation: &str, answer: impl Future<Output = Result<T, Error>>) {
    let begun = Instant::now();
    let error = Box::pin(answer).await.err().unwrap_or_else(|| panic!("{operation} is answered"));
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{operation}");
    let late = begun.elapsed().saturating_sub(PATIENCE);
    assert!(late < Duration::from_millis(10), "{operation} fails {late:?} after the patience");
}

async fn streams_fail(store: &impl Store) {
    // What is asked for may happen later, and must not be in the way of who writes and reads.
    let (stream, other) = (key("stream"), key("other"));
    let new = restarts::new_stream();
    let seen = Extent {
        state: State::Live,
        generation: 1,
        producer: key("producer"),
        lapsed: false,
        first: 1,
        next: 1,
    };
    let pieces = || vec![Piece::events(1, 1, "event")];
    let entry = |n: u32| Append {
        stream: key(&format!("stream {n}")),
        generation: 1,
        first: 1,
        pieces: pieces(),
        progress: None,
        gap: None,
        end: None,
    };
    let batch: Vec<Append> = (0..100).map(entry).collect();
    let claim = Claim { after: 1, producer: key("other producer"), gap: None };
    let (purge, purge_all) = (Purge::Stream(other.clone()), Purge::Session(other.clone()));
    tokio::join!(
        fails("create", store.create(&other, &new)),
        fails("append", store.append(&batch)),
        fails("record", store.record(&stream)),
        fails("read", store.read(&stream, 0, 1 << 20)),
        fails("wait", store.wait(&stream, &seen)),
        fails("claim", store.claim(&stream, &claim)),
        fails("renew", store.renew(&other, Duration::from_secs(15))),
        fails("sweep", store.sweep()),
        fails("purge of a stream", store.purge(&purge)),
        fails("purge of a session", store.purge(&purge_all)),
    );
}

async fn sessions_fail(store: &impl SessionStore) {
    let (id, name, value) = (key("session"), key("name"), Some(Bytes::from("value")));
    let new = NewSession { owner: None, metadata: Bytes::new(), idle: Duration::from_secs(3600) };
    tokio::join!(
        fails("create_session", store.create_session(&id, &new, 10)),
        fails("session", store.session(&id)),
        fails("touch", store.touch(&id)),
        fails("value", store.value(&id, &name)),
        fails("set_value", store.set_value(&id, &name, value.clone())),
        fails("compare_and_set", store.compare_and_set(&id, &name, None, value)),
        fails("list", store.list(None, 10)),
        fails("count", store.count()),
        fails("expire", store.expire()),
        fails("delete", store.delete(&id)),
    );
}
