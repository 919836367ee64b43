//! Which part of the crate may know of which: the purity of its core and the order of its layers, held by a table.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of `src`, each a file and the folder of its name. A part may import parts of its own level and of those
/// above it in this table; the parts of the first level import nothing of the crate, not even each other.
const LEVELS: [(&str, &[&str]); 8] = [
    (
        "pure",
        &[
            "caches",
            "cors",
            "error",
            "host",
            "query",
            "random",
            "resume",
            "set_cookie",
            "sse",
            "time",
        ],
    ),
    ("made of these", &["content", "jitter", "pass", "store"]),
    (
        "what is configured, observed, and whose a request is",
        &["binding", "config", "exchange", "observer"],
    ),
    ("one history", &["log"]),
    ("streams and their inner bodies", &["driver", "persistence", "registry", "stream"]),
    (
        "requests and responses",
        &[
            "answer",
            "ask",
            "body",
            "course",
            "elsewhere",
            "future",
            "handle",
            "operator",
            "resumed",
            "sessions",
            "sharing",
            "takeover",
            "wrap",
        ],
    ),
    ("the layers", &["layer", "reconnect", "service"]),
    ("presets", &["mcp"]),
];

/// Parts that may know of less than their level.
const STRICT: [(&str, &[&str]); 2] = [
    // A layer of its own: it knows heads and events, and nothing of streams that can be resumed.
    (
        "reconnect",
        &["answer", "ask", "content", "error", "jitter", "pass", "random", "resume", "sse", "time"],
    ),
    // Whoever writes a store needs nothing but these: it copies bytes.
    ("store", &["jitter", "random", "resume"]),
];

/// Imports from a later level, each with its reason.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    ("config", "handle", "a closure of the configuration is given a `StreamId`"),
    ("persistence", "handle", "a store knows streams by what operators know them by"),
    ("config", "sessions", "the configuration holds what keeps sessions, and knows nothing of it"),
    ("registry", "sharing", "the registry holds what is shared, and knows nothing of it"),
];

/// What the scanner and the resume core must not know of: I/O, tasks, HTTP, and any clock but the one passed in.
const IMPURE: [&str; 12] = [
    "tokio::",
    "futures_util::",
    "http::",
    "http_body::",
    "tower",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "Instant",
    "SystemTime",
];

#[test]
fn a_part_imports_only_what_lies_below_it() {
    let mut wrong = String::new();
    for file in sources().iter().filter(|file| file.part != "lib") {
        for imported in file.imports() {
            if let Err(why) = check(&file.part, &imported) {
                writeln!(wrong, "{}: `crate::{imported}`: {why}", file.path.display()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}\nThe table is in tests/repo/architecture.rs.");
}

#[test]
fn the_pure_core_does_no_io_and_knows_no_clock() {
    let mut wrong = String::new();
    for file in sources().iter().filter(|file| ["sse", "resume"].contains(&&*file.part)) {
        for word in IMPURE.iter().filter(|word| file.code.contains(*word)) {
            writeln!(wrong, "{}: uses `{word}`", file.path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}\n`sse` and `resume` are pure.");
}

#[test]
fn every_part_has_a_place_in_the_table_and_begins_with_what_it_is_for() {
    for file in sources() {
        let path = file.path.display();
        let is_placed = file.part == "lib" || level(&file.part).is_some();
        assert!(is_placed, "{path}: `{}` is in no level of tests/repo/architecture.rs", file.part);
        let is_test = file.path.ends_with("tests.rs");
        assert!(is_test || file.text.starts_with("//! "), "{path}: does not say what it is for");
    }
}

fn check(part: &str, imported: &str) -> Result<(), String> {
    let allowed = EXCEPTIONS.iter().any(|(from, to, _)| (*from, *to) == (part, imported));
    if part == imported || allowed {
        return Ok(());
    }
    let strict = STRICT.iter().find(|(strict, _)| *strict == part);
    if let Some((_, allowed)) = strict.filter(|(_, allowed)| !allowed.contains(&imported)) {
        return Err(format!("`{part}` may import only {allowed:?}"));
    }
    match (level(part), level(imported)) {
        (Some(0), Some(_)) => Err(format!("`{part}` is pure and imports nothing of the crate")),
        (Some(own), Some(other)) if other > own => {
            let (own, other) = (LEVELS[own].0, LEVELS[other].0);
            Err(format!("`{part}` ({own}) must not know of `{imported}` ({other})"))
        }
        // Parts without a level have a test of their own.
        (Some(_), Some(_)) | (None, _) => Ok(()),
        (_, None) => Err(format!("`{imported}` is no part of the crate; import from its module")),
    }
}

fn level(part: &str) -> Option<usize> {
    LEVELS.iter().position(|(_, parts)| parts.contains(&part))
}

/// A file of `src`.
struct Source {
    path: PathBuf,
    /// The name of the file, or of the folder in `src` that it lies in.
    part: String,
    text: String,
    /// The text without comments and unit tests.
    code: String,
}

impl Source {
    fn read(path: &Path, root: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
        let code = text[..tests].lines().filter(|line| !line.trim_start().starts_with("//"));
        let first = path.strip_prefix(root).unwrap().components().next().unwrap();
        let part = Path::new(&first).file_stem().unwrap().to_string_lossy().into_owned();
        let code = if path.ends_with("tests.rs") {
            String::new()
        } else {
            code.fold(String::new(), |code, line| code + line + "\n")
        };
        Self { path: path.to_owned(), part, code, text }
    }

    /// The parts that it names, in imports and elsewhere.
    fn imports(&self) -> Vec<String> {
        // What an exported macro names is named by who uses it.
        let code = self.code.replace("$crate::", "");
        let rests = code.split("crate::").skip(1);
        let name = |rest: &str| -> String {
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        rests.map(name).collect()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::read(&path, &root));
            }
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}
