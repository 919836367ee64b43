//! `--store sqlite:FILE`.

use tower_sse_resume::store::{AnyStore, SqliteOptions};

use super::{Open, Opening};

pub(super) const OPEN: Option<Open> = Some(open);

fn open(place: String) -> Opening {
    Box::pin(async move {
        let file = place.strip_prefix("sqlite:").unwrap_or(&place);
        SqliteOptions::new(file).open().await.map(AnyStore::new)
    })
}
