//! Servers that have TLS, with a certificate of an authority that nobody knows.

use std::time::Duration;

use tower_sse_resume::store::{Error, ErrorKind, Store};

use super::restarts::{self, key};
use support::store_server::Server;

/// Connects with the server's authority, and without it, for which the store has this kind of error.
pub(crate) async fn trusts_only_whom_it_is_told<S: Store>(
    server: &Server,
    connect: impl AsyncFn(Option<Vec<u8>>, Duration) -> Result<S, Error>,
    distrusted: ErrorKind,
) {
    let long = Duration::from_secs(30);
    let store = connect(Some(server.authority("right")), long).await.expect("it is trusted");
    restarts::create(&store).await;
    assert_eq!(store.record(&key("stream")).await.unwrap().extent.next, 1);

    for others in [None, Some(server.authority("wrong"))] {
        let error = connect(others, Duration::from_secs(2)).await.err().expect("it is distrusted");
        assert_eq!(error.kind(), distrusted, "{error:?}");
    }
    let malformed = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for none in ["", "a word", malformed] {
        let error = connect(Some(none.into()), long).await.err().expect("it has no certificate");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{none}: {error:?}");
    }
}
