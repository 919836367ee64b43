//! Which kind of error a failure of AWS is.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;

use crate::store::{Error, ErrorKind};

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// A condition did not hold; of a transaction, those of the actions with these numbers.
    Condition(Vec<usize>),
    /// There is no such table.
    NoTable(Error),
    /// It was not done, and may be later.
    NotNow(Error),
    Other(Error),
}

/// What the service said, as far as it can be shown: neither the question nor the answer itself, which have keys, bytes
/// and signatures in them.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Condition(_) => ErrorKind::Refused.into(),
            Failure::NoTable(error) | Failure::NotNow(error) | Failure::Other(error) => error,
        }
    }
}

pub(super) fn failure<E>(error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let SdkError::ServiceError(service) = error else { return undelivered(error) };
    let status = service.raw().status().as_u16();
    let metadata = service.err().meta();
    let code = metadata.code().unwrap_or("an error without a code");
    let told = |kind| Error::new(kind, cause(code, metadata.message()));
    match code {
        "ConditionalCheckFailedException" => Failure::Condition(vec![0]),
        "ResourceNotFoundException" => Failure::NoTable(told(ErrorKind::Failed)),
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "TransactionConflictException"
        | "TransactionInProgressException" => Failure::NotNow(told(ErrorKind::Unreachable)),
        "ItemCollectionSizeLimitExceededException" => Failure::Other(told(ErrorKind::LimitReached)),
        _ if status >= 500 => Failure::Other(told(ErrorKind::Unreachable)),
        _ => Failure::Other(told(ErrorKind::Failed)),
    }
}

/// A transaction says of each action why it was not done.
pub(super) fn transaction_failure(error: &SdkError<TransactWriteItemsError>) -> Failure {
    let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
        error.as_service_error()
    else {
        return failure(error);
    };
    let reasons = canceled.cancellation_reasons().iter().enumerate();
    let codes: Vec<_> = reasons.filter_map(|(n, reason)| Some((n, reason.code()?))).collect();
    let failed = codes.iter().filter(|(_, code)| *code == "ConditionalCheckFailed");
    let failed: Vec<usize> = failed.map(|(n, _)| *n).collect();
    if !failed.is_empty() {
        return Failure::Condition(failed);
    }
    let codes: Vec<&str> = codes.into_iter().map(|(_, code)| code).collect();
    let again = ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];
    let told = |kind| Error::new(kind, Cause(format!("canceled: {}", codes.join(", "))));
    if codes.iter().any(|code| again.contains(code)) {
        Failure::NotNow(told(ErrorKind::Unreachable))
    } else {
        Failure::Other(told(ErrorKind::Failed))
    }
}

/// Of what had no answer.
fn undelivered<E>(error: &SdkError<E>) -> Failure
where
    E: StdError + 'static,
{
    let mut chain = Vec::new();
    let mut refused = false;
    let mut next: Option<&dyn StdError> = error.source();
    while let Some(cause) = next {
        let io = cause.downcast_ref::<io::Error>();
        refused |= io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused);
        chain.push(cause.to_string());
        next = cause.source();
    }
    let told = |kind| Error::new(kind, Cause(chain.join(": ")));
    match error {
        _ if refused => Failure::NotNow(told(ErrorKind::Unreachable)),
        SdkError::ConstructionFailure(_) => Failure::Other(told(ErrorKind::Failed)),
        _ => Failure::Other(told(ErrorKind::Unreachable)),
    }
}

/// Some messages repeat what was signed; these do not.
fn cause(code: &str, message: Option<&str>) -> Cause {
    let is_shown = ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"];
    match message.filter(|_| is_shown.contains(&code)) {
        Some(message) => Cause(format!("{code}: {message}")),
        None => Cause(code.to_owned()),
    }
}

/// Of what is stored in another form than this store writes it.
pub(super) fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "an item in DynamoDB is not as this store writes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_may_repeat_what_was_signed_is_not_shown() {
        let signed = Some("the canonical string was: x-amz-security-token:s3cret");
        assert_eq!(
            cause("InvalidSignatureException", signed).to_string(),
            "InvalidSignatureException"
        );
        let denied = cause("AccessDeniedException", Some("may not dynamodb:PutItem"));
        assert_eq!(denied.to_string(), "AccessDeniedException: may not dynamodb:PutItem");
    }
}
