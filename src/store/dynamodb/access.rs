//! Makes clients of what the options say, where none are given.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::store::{Error, ErrorKind};

/// How services are reached.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials: Option<Credentials>,
}

/// A client of one of the services, which all are configured in the same way.
macro_rules! client {
    ($service:ident, $access:expr, $region:expr, $endpoint:expr) => {{
        let endpoint: Option<&str> = $endpoint;
        let mut config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new($region))
            .credentials_provider($access.credentials()?)
            .http_client(http(endpoint));
        config.set_endpoint_url(endpoint.map(str::to_owned));
        $service::Client::from_conf(config.build())
    }};
}

impl Access {
    pub(super) fn table(&self) -> Result<aws_sdk_dynamodb::Client, Error> {
        Ok(client!(aws_sdk_dynamodb, self, self.region(), self.endpoint.as_deref()))
    }

    /// For a topic, whose name says where it is.
    pub(super) fn topic(
        &self,
        arn: &str,
        endpoint: Option<&str>,
    ) -> Result<(aws_sdk_sns::Client, aws_sdk_sqs::Client), Error> {
        let malformed = || Error::new(ErrorKind::InvalidData, "a topic is named by its ARN");
        let region = arn.split(':').nth(3).filter(|region| !region.is_empty());
        let region = region.ok_or_else(malformed)?.to_owned();
        let sns = client!(aws_sdk_sns, self, region.clone(), endpoint);
        Ok((sns, client!(aws_sdk_sqs, self, region, endpoint)))
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        if let Some(credentials) = &self.credentials {
            return Ok(credentials.clone());
        }
        let variable = |name: &str| {
            let missing = || Error::new(ErrorKind::InvalidData, format!("there is no {name}"));
            std::env::var(name).map_err(|_| missing())
        };
        let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        Ok(Credentials::new(key, secret, variable("AWS_SESSION_TOKEN").ok(), None, "environment"))
    }

    fn region(&self) -> String {
        let region = self.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
        region.unwrap_or_else(|| "us-east-1".into())
    }
}

/// Connections that are made when they are needed; with TLS, unless the URL says `http:`.
fn http(endpoint: Option<&str>) -> SharedHttpClient {
    if endpoint.is_some_and(|url| url.starts_with("http:")) {
        Builder::new().build_http()
    } else {
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    }
}
