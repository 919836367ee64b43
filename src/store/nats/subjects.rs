//! What messages are called. Names are in hexadecimal digits, since a part of a subject cannot have any byte; so they
//! have the order of their bytes, too.

use super::bytes::malformed;
use crate::store::hex::{hex, named};
use crate::store::{Error, Key};

/// Where nothing is, in the place of a name.
const NONE: &str = "-";

/// The name that is the part of a subject at a place.
pub(super) fn part(subject: &str, at: usize) -> Result<Key, Error> {
    named(subject.split('.').nth(at).ok_or_else(malformed)?)
}

/// The subjects of streams, their origins and leases.
pub(super) struct Subjects(pub(super) String);

impl Subjects {
    /// A stream's steps.
    pub(super) fn steps(&self, stream: &Key) -> String {
        format!("{}.s.{}.l", self.0, hex(stream))
    }

    pub(super) fn chunks(&self, stream: &Key) -> String {
        format!("{}.s.{}.c", self.0, hex(stream))
    }

    pub(super) fn all_steps(&self) -> String {
        format!("{}.s.*.l", self.0)
    }

    pub(super) fn all_chunks(&self) -> String {
        format!("{}.s.*.c", self.0)
    }

    /// Where steps are told, without what they say.
    pub(super) fn news(&self) -> String {
        format!("{}.n.*", self.0)
    }

    pub(super) fn origin(
        &self,
        stream: &Key,
        session: Option<&Key>,
        owner: Option<&Key>,
    ) -> String {
        let name = |key: Option<&Key>| key.map_or(NONE.into(), hex);
        format!("{}.o.{}.{}.{}", self.0, name(session), name(owner), hex(stream))
    }

    pub(super) fn origins_of_session(&self, session: &Key) -> String {
        format!("{}.o.{}.*.*", self.0, hex(session))
    }

    pub(super) fn origins_of_owner(&self, owner: &Key) -> String {
        format!("{}.o.*.{}.*", self.0, hex(owner))
    }

    pub(super) fn all_origins(&self) -> String {
        format!("{}.o.*.*.*", self.0)
    }

    pub(super) fn lease(&self, instance: &Key) -> String {
        format!("{}.i.{}", self.0, hex(instance))
    }

    pub(super) fn all_leases(&self) -> String {
        format!("{}.i.*", self.0)
    }

    pub(super) fn clock(&self) -> String {
        format!("{}.t", self.0)
    }

    /// All that is stored: not the news.
    pub(super) fn stored(&self) -> Vec<String> {
        [".s.*.*", ".o.*.*.*", ".i.*", ".t"].iter().map(|end| format!("{}{end}", self.0)).collect()
    }
}
