//! Items, and changes of them.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;

use super::error::malformed;
use crate::store::{Error, Key};

/// The attributes that are its key.
pub(super) const PARTITION: &str = "pk";
pub(super) const SORT: &str = "sk";
/// When DynamoDB may remove an item by itself, in seconds.
pub(super) const TTL: &str = "ttl";

pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn binary(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) partition: String,
    pub(super) sort: String,
}

impl Place {
    pub(super) fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }

    pub(super) fn attributes(&self) -> Attributes {
        let parts = [(PARTITION, &self.partition), (SORT, &self.sort)];
        parts.map(|(name, part)| (name.to_owned(), text(part))).into()
    }
}

/// An item, or a map in one.
#[derive(Debug)]
pub(super) struct Item(pub(super) Attributes);

impl Item {
    pub(super) fn place(&self) -> Result<Place, Error> {
        Ok(Place::new(self.text(PARTITION)?, self.text(SORT)?))
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        self.optional_number(name)?.ok_or_else(malformed)
    }

    pub(super) fn optional_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| malformed()),
            Some(_) => Err(malformed()),
            None => Ok(None),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, Error> {
        self.optional_text(name)?.ok_or_else(malformed)
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.0.get(name) {
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(malformed()),
            None => Ok(None),
        }
    }

    /// Bytes; none, where there is no such attribute.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Bytes, Error> {
        match self.0.remove(name) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.into_inner().into()),
            Some(_) => Err(malformed()),
            None => Ok(Bytes::new()),
        }
    }

    pub(super) fn key(&mut self, name: &str) -> Result<Key, Error> {
        self.optional_key(name)?.ok_or_else(malformed)
    }

    pub(super) fn optional_key(&mut self, name: &str) -> Result<Option<Key>, Error> {
        let bytes = self.bytes(name)?;
        if bytes.is_empty() { Ok(None) } else { Key::new(bytes).map(Some) }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<AttributeValue>, Error> {
        match self.0.remove(name) {
            Some(AttributeValue::L(list)) => Ok(list),
            _ => Err(malformed()),
        }
    }
}

/// What is done with one item, if a condition holds. In expressions, names of attributes begin with `#`, since many
/// words are reserved, and values with `:`.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) place: Place,
    pub(super) what: What,
    pub(super) condition: Option<String>,
    pub(super) values: Attributes,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Stores this item, and its key with it.
    Put(Attributes),
    Update(String),
    Delete,
    /// Only the condition counts.
    Check,
}

impl Change {
    fn new(place: Place, what: What) -> Self {
        Self { place, what, condition: None, values: Attributes::new() }
    }

    pub(super) fn put<const N: usize>(place: Place, item: [(&str, AttributeValue); N]) -> Self {
        let mut attributes = place.attributes();
        attributes.extend(item.map(|(name, value)| (name.to_owned(), value)));
        Self::new(place, What::Put(attributes))
    }

    pub(super) fn update(place: Place, expression: impl Into<String>) -> Self {
        Self::new(place, What::Update(expression.into()))
    }

    pub(super) fn delete(place: Place) -> Self {
        Self::new(place, What::Delete)
    }

    pub(super) fn check(place: Place) -> Self {
        Self::new(place, What::Check)
    }

    /// Only if this holds.
    pub(super) fn only_if(mut self, condition: impl Into<String>) -> Self {
        self.condition = Some(condition.into());
        self
    }

    /// Sets what a value in the expressions is.
    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// An attribute of the item that is put.
    pub(super) fn and(mut self, name: &str, value: Option<AttributeValue>) -> Self {
        if let (What::Put(item), Some(value)) = (&mut self.what, value) {
            item.insert(name.to_owned(), value);
        }
        self
    }

    /// One more step of an update.
    pub(super) fn set(mut self, step: &str) -> Self {
        if let What::Update(expression) = &mut self.what {
            *expression = format!("{expression}, {step}");
        }
        self
    }

    /// What the names in its expressions stand for; none, if there are none.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        let update = match &self.what {
            What::Update(expression) => expression.as_str(),
            _ => "",
        };
        let expressions = [update, self.condition.as_deref().unwrap_or_default()];
        let names: HashMap<_, _> = expressions.into_iter().flat_map(names).collect();
        Some(names).filter(|names| !names.is_empty())
    }

    pub(super) fn values(&self) -> Option<Attributes> {
        Some(self.values.clone()).filter(|values| !values.is_empty())
    }
}

/// What the names in an expression stand for: themselves, without the sign before them.
fn names(expression: &str) -> impl Iterator<Item = (String, String)> + '_ {
    expression.split('#').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        (format!("#{}", &rest[..end]), rest[..end].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_expressions_stand_for_themselves() {
        let change = Change::update(Place::new("p", "s"), "SET #next = :next")
            .set("#total = #total + :n")
            .only_if("attribute_exists(#life) AND #next = :first");
        let names = change.names().unwrap();
        let mut names: Vec<_> = names.iter().map(|(key, name)| format!("{key} {name}")).collect();
        names.sort_unstable();
        assert_eq!(names, ["#life life", "#next next", "#total total"]);
        assert!(Change::delete(Place::new("p", "s")).names().is_none());
    }

    #[test]
    fn what_is_not_as_it_was_written_is_malformed() {
        let mut item =
            Item(Change::put(Place::new("p", "s"), [("n", text("x"))]).place.attributes());
        item.0.insert("n".into(), text("x"));
        assert!(item.number::<u64>("n").is_err() && item.number::<u64>("m").is_err());
        assert!(item.optional_number::<u64>("m").unwrap().is_none());
        assert!(item.bytes("n").is_err() && item.bytes("m").unwrap().is_empty());
        assert!(item.list("m").is_err() && item.text("m").is_err());
    }
}
