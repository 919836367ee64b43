//! `--store redis://…`.

use tower_sse_resume::store::{AnyStore, RedisOptions};

use super::{Open, Opening};

pub(super) const OPEN: Option<Open> = Some(open);

fn open(url: String) -> Opening {
    Box::pin(async move { RedisOptions::new(url).connect().await.map(AnyStore::new) })
}
