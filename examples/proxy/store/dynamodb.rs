//! `--store dynamodb://TABLE?endpoint=…&region=…&topic=…`.

use tower_sse_resume::store::{AnyStore, DynamoDbOptions, Error, ErrorKind};

use super::{Open, Opening};
use crate::BoxError;

pub(super) const OPEN: Option<Open> = Some(open);

fn open(url: String) -> Opening {
    Box::pin(async move { options(&url)?.connect().await.map(AnyStore::new) })
}

fn malformed(why: impl Into<BoxError>) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn options(url: &str) -> Result<DynamoDbOptions, Error> {
    let (table, parameters) = url.split_once('?').unwrap_or((url, ""));
    let options = DynamoDbOptions::new(table.trim_start_matches("dynamodb://"));
    let parameters = parameters.split('&').filter(|parameter| !parameter.is_empty());
    parameters.into_iter().try_fold(options, |options, parameter| match parameter.split_once('=') {
        Some(("endpoint", url)) => Ok(options.endpoint(url)),
        Some(("region", region)) => Ok(options.region(region)),
        Some(("topic", arn)) => Ok(options.topic(arn)),
        // Its value is not shown: it may have a password.
        Some((name, _)) => Err(malformed(format!("unknown parameter `{name}`"))),
        None => Err(malformed("a parameter without a value")),
    })
}
