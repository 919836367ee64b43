//! `--store nats://…`.

use tower_sse_resume::store::{AnyStore, NatsOptions};

use super::{Open, Opening};

pub(super) const OPEN: Option<Open> = Some(open);

fn open(url: String) -> Opening {
    Box::pin(async move { NatsOptions::new(url).connect().await.map(AnyStore::new) })
}
