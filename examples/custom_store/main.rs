//! A store of one's own, and the suite that says whether it does what a store promises.
//!
//! ```text
//! cargo test --example custom_store --features store-conformance
//! ```

mod table;

use bytes::Bytes;
use std::time::Duration;
use table::TableStore;
use tower_sse_resume::store::{Append, End, Error, Keep, Key, NewStream, Piece, Store};

/// What a layer does with it: an instance says that it lives, a stream is made, written, and read from its middle.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let store = TableStore::default();
    let (stream, producer) = (Key::new("news")?, Key::new("instance 1")?);
    store.renew(&producer, Duration::from_secs(15)).await?;
    let keep = Keep { events: 1000, bytes: 1 << 20, age: Duration::from_secs(300) };
    let new = NewStream { producer, session: None, owner: None, origin: Bytes::new(), keep };
    store.create(&stream, &new).await?;

    let pieces = vec![
        Piece::events(1, 1, "data: one\n\n"),
        Piece::events(2, 2, "data: two\n\ndata: three\n\n"),
    ];
    let (generation, first, end) = (1, 1, Some(End::Finished));
    let entry = Append {
        stream: stream.clone(),
        generation,
        first,
        pieces,
        progress: None,
        gap: None,
        end,
    };
    for result in store.append(&[entry]).await? {
        result?;
    }
    println!("{:#?}", store.read(&stream, 1, 64 * 1024).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::TableStore;

    /// An empty store for each test; all that open it share it.
    fn fresh() -> impl AsyncFn() -> TableStore {
        let store = TableStore::default();
        async move || store.clone()
    }

    tower_sse_resume::store_conformance!(table, fresh());
}
