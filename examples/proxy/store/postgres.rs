//! `--store postgres://…`.

use tower_sse_resume::store::{AnyStore, PostgresOptions};

use super::{Open, Opening};

pub(super) const OPEN: Option<Open> = Some(open);

fn open(url: String) -> Opening {
    Box::pin(async move { PostgresOptions::new(url).connect().await.map(AnyStore::new) })
}
