//! The answers that the preset gives in place of the server.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

/// JSON-RPC 2.0, section 5.1: "Invalid Request".
const NOT_HERE: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"this event ID cannot be resumed: it is unknown here"}}"#;

/// For every event ID that is not served. A status of 404 would end the session, 405 the use of streams.
pub(super) fn rejection() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(NOT_HERE.as_bytes()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_an_error_of_json_rpc() {
        let error: serde_json::Value = serde_json::from_slice(rejection().body()).unwrap();
        assert_eq!(error["error"]["code"], -32600);
        assert_eq!(error["id"], serde_json::Value::Null);
    }
}
