//! Takes the answers of the scripts apart.

use std::str::FromStr;

use bytes::Bytes;
use redis::Value;

use crate::store::{Error, ErrorKind, Key};

/// An answer, or a part of one.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Value);

impl Reply {
    /// The parts of a list.
    pub(super) fn parts(self) -> Result<std::vec::IntoIter<Value>, Error> {
        match self.0 {
            Value::Array(parts) => Ok(parts.into_iter()),
            _ => Err(unexpected()),
        }
    }

    /// The parts after the word with which an answer begins: `ok`, or why not.
    pub(super) fn checked(self) -> Result<Parts, Error> {
        let mut parts = Parts(self.parts()?);
        parts.next()?.check()?;
        Ok(parts)
    }

    /// `ok`, or why not.
    pub(super) fn check(self) -> Result<(), Error> {
        match &self.bytes()?[..] {
            b"ok" => Ok(()),
            b"refused" => Err(ErrorKind::Refused.into()),
            b"none" => Err(ErrorKind::NotFound.into()),
            b"purged" => Err(ErrorKind::Purged.into()),
            b"full" => Err(ErrorKind::LimitReached.into()),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, Error> {
        self.optional()?.ok_or_else(unexpected)
    }

    /// Bytes, or nothing.
    pub(super) fn optional(self) -> Result<Option<Bytes>, Error> {
        match self.0 {
            Value::BulkString(bytes) => Ok(Some(bytes.into())),
            Value::SimpleString(text) => Ok(Some(text.into())),
            Value::Okay => Ok(Some(Bytes::from_static(b"OK"))),
            Value::Nil => Ok(None),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| unexpected())
    }

    /// A number, as such or in digits.
    pub(super) fn number<T: FromStr>(self) -> Result<T, Error> {
        let text = match self.0 {
            Value::Int(number) => number.to_string(),
            other => Self(other).text()?,
        };
        text.parse().map_err(|_| unexpected())
    }

    pub(super) fn key(self) -> Result<Key, Error> {
        Key::new(self.bytes()?)
    }
}

/// The parts of a list, one after the other.
pub(super) struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    pub(super) fn of(reply: Reply) -> Result<Self, Error> {
        Ok(Self(reply.parts()?))
    }

    /// The next part, which has to be there.
    pub(super) fn next(&mut self) -> Result<Reply, Error> {
        self.0.next().map(Reply).ok_or_else(unexpected)
    }

    /// The next part, which a script left out because it is nothing.
    pub(super) fn next_or_nothing(&mut self) -> Reply {
        Reply(self.0.next().unwrap_or(Value::Nil))
    }
}

pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::InvalidData, "Redis answered something that was not expected")
}
