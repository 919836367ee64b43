//! `--store dynamodb://TABLE?endpoint=…&region=…&topic=…`.

use tower_sse_resume::store::{AnyStore, DynamoDbOptions, Error, ErrorKind};

use super::{Open, Opening};

pub(super) const OPEN: Option<Open> = Some(open);

fn open(url: String) -> Opening {
    Box::pin(async move { options(&url)?.connect().await.map(AnyStore::new) })
}

fn options(url: &str) -> Result<DynamoDbOptions, Error> {
    let (table, parameters) = url.split_once('?').unwrap_or((url, ""));
    let options = DynamoDbOptions::new(table.trim_start_matches("dynamodb://"));
    let parameters = parameters.split('&').filter(|parameter| !parameter.is_empty());
    parameters.into_iter().try_fold(options, |options, parameter| match parameter.split_once('=') {
        Some(("endpoint", url)) => Ok(options.endpoint(url)),
        Some(("region", region)) => Ok(options.region(region)),
        Some(("topic", arn)) => Ok(options.topic(arn)),
        _ => Err(Error::new(ErrorKind::InvalidData, format!("unknown parameter `{parameter}`"))),
    })
}
