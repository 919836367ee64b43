//! The store in a file does what a store promises.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, io, process};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_sse_resume::store::{
    Append, ErrorKind, Keep, Key, NewStream, Piece, Purge, SqliteOptions, SqliteStore, Store,
};

/// A folder that goes with who holds it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("sse-resume-sqlite-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("streams.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fresh() -> impl AsyncFn() -> SqliteStore {
    let folder = Folder::new();
    // What the disk does at each write is not what is tested here.
    async move || {
        let options = SqliteOptions::new(folder.file()).survive_power_loss(false);
        options.open().await.expect("it opens")
    }
}

tower_sse_resume::store_conformance!(sqlite, fresh());
tower_sse_resume::session_store_conformance!(sqlite_sessions, fresh());

fn key(name: &str) -> Key {
    Key::new(name.to_owned()).unwrap()
}

fn new_stream() -> NewStream {
    let keep = Keep { events: 1 << 40, bytes: 1 << 40, age: Duration::from_secs(3600) };
    NewStream { producer: key("p"), session: None, owner: None, origin: Bytes::new(), keep }
}

fn one_event(next: u64) -> Append {
    let pieces = vec![Piece::events(next, 1, format!("{next}\n"))];
    let (stream, progress) = (key("stream"), None);
    Append { stream, generation: 1, first: next, pieces, progress, gap: None, end: None }
}

/// Tells which process this is: the test starts itself again as the one that is killed.
const WRITES: &str = "SSE_RESUME_SQLITE_WRITES";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_had_acknowledged_before_it_was_killed_is_there_and_nothing_in_part() {
    if let Some(file) = env::var_os(WRITES) {
        return write_until_killed(file).await;
    }
    let folder = Folder::new();
    let store = SqliteOptions::new(folder.file()).open().await.unwrap();
    store.renew(&key("p"), Duration::from_secs(3600)).await.unwrap();
    store.create(&key("stream"), &new_stream()).await.unwrap();
    let name =
        "sqlite::what_a_process_had_acknowledged_before_it_was_killed_is_there_and_nothing_in_part";
    let mut writer = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(WRITES, folder.file())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Woken by another process.
    let mut seen = store.record(&key("stream")).await.unwrap().extent;
    for _ in 0..20 {
        let woken = timeout(Duration::from_secs(60), store.wait(&key("stream"), &seen)).await;
        seen = woken.expect("it is woken").unwrap();
    }
    writer.kill().unwrap();
    let said = io::read_to_string(writer.stdout.take().unwrap()).unwrap();
    writer.wait().unwrap();
    let acknowledged =
        said.lines().rev().find_map(|line| line.strip_prefix("stored ")?.parse().ok());
    let acknowledged: u64 = acknowledged.expect("some were");
    // The last one may be there without its answer. A new process finds the same as one that was open.
    for store in [SqliteOptions::new(folder.file()).open().await.unwrap(), store] {
        let page = store.read(&key("stream"), 0, usize::MAX).await.unwrap();
        let stored = page.pieces.len() as u64;
        assert!((acknowledged..=acknowledged + 1).contains(&stored), "{stored} of {acknowledged}");
        assert_eq!(page.extent.next, stored + 1);
        for (piece, offset) in page.pieces.iter().zip(1..) {
            assert_eq!(*piece, one_event(offset).pieces[0]);
        }
    }
}

async fn write_until_killed(file: OsString) {
    let store = SqliteOptions::new(file).open().await.unwrap();
    for next in 1.. {
        store.append(&[one_event(next)]).await.unwrap().remove(0).unwrap();
        println!("stored {next}");
    }
}

#[tokio::test]
async fn a_file_of_a_newer_schema_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    drop(SqliteOptions::new(folder.file()).open().await.unwrap());
    let file = rusqlite::Connection::open(folder.file()).unwrap();
    let set = |version: i64| file.execute("UPDATE sse_resume_schema SET version = ?", [version]);
    set(2).unwrap();
    let error = SqliteOptions::new(folder.file()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncompatibleSchema);
    set(1).unwrap();
    SqliteOptions::new(folder.file()).open().await.unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_what_cannot_be_opened_is_unreachable() {
    let folder = Folder::new();
    fs::write(
        folder.file(),
        "a text that is longer than a header of a database has to be".repeat(99),
    )
    .unwrap();
    let error = SqliteOptions::new(folder.file()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let error = SqliteOptions::new(folder.0.join("none/streams.db")).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let error = SqliteOptions::new(folder.file()).table_prefix("x; --").open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn stores_with_other_prefixes_share_a_file_and_nothing_else() {
    let folder = Folder::new();
    let open = async |prefix: &str| {
        SqliteOptions::new(folder.file()).table_prefix(prefix).open().await.unwrap()
    };
    let (one, other) = (open("one_").await, open("other_").await);
    one.create(&key("stream"), &new_stream()).await.unwrap();
    let error = other.record(&key("stream")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    other.purge(&Purge::All).await.unwrap();
    one.record(&key("stream")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_who_open_a_new_file_at_the_same_time_all_get_a_store() {
    let folder = Folder::new();
    let mut opening = JoinSet::new();
    for _ in 0..8 {
        opening.spawn(SqliteOptions::new(folder.file()).open());
    }
    let stores: Vec<_> = opening.join_all().await.into_iter().map(Result::unwrap).collect();
    stores[0].create(&key("stream"), &new_stream()).await.unwrap();
    stores[7].record(&key("stream")).await.unwrap();
}
