//! The store in memory does what a store promises.

use tower_sse_resume::store::{AnySessionStore, AnyStore, MemoryStore};

fn fresh() -> impl AsyncFn() -> MemoryStore {
    let store = MemoryStore::new();
    async move || store.clone()
}

/// The same behind the type that a program uses which chooses when it starts.
fn fresh_any() -> impl AsyncFn() -> AnyStore {
    let store = AnyStore::new(MemoryStore::new());
    async move || store.clone()
}

fn fresh_any_sessions() -> impl AsyncFn() -> AnySessionStore {
    let store = AnySessionStore::new(MemoryStore::new());
    async move || store.clone()
}

tower_sse_resume::store_conformance!(memory, fresh());
tower_sse_resume::session_store_conformance!(memory_sessions, fresh());
tower_sse_resume::store_conformance!(any, fresh_any());
tower_sse_resume::session_store_conformance!(any_sessions, fresh_any_sessions());
