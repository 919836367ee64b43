//! Asks DynamoDB, again where that is safe.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ConditionCheck, Delete, DeleteRequest, KeySchemaElement,
    KeyType, KeysAndAttributes, Put, ScalarAttributeType, TimeToLiveSpecification,
    TransactWriteItem, Update, WriteRequest,
};
use tokio::time::timeout;

use super::clock::Clock;
use super::error::{Failure, failure, transaction_failure};
use super::item::{Attributes, Change, Item, PARTITION, Place, SORT, TTL, What, number, text};
use crate::store::backoff::Backoff;
use crate::store::{Error, ErrorKind};

/// The version of all items.
const SCHEMA: u64 = 1;
/// How many items are asked for, and removed, in one request.
const MOST_READ: usize = 100;
const MOST_REMOVED: usize = 25;
/// Before and after all sort keys.
pub(super) const LOWEST: &str = "!";
pub(super) const HIGHEST: &str = "~";

/// Sends an operation, and notes what time the answer says it is.
macro_rules! send {
    ($server:expr, $operation:expr, $failure:expr) => {
        $operation
            .customize()
            .interceptor($server.clock.asking())
            .send()
            .await
            .map_err(|error| $failure(&error))
    };
}

/// A table.
pub(super) struct Server {
    client: Client,
    table: String,
    prefix: String,
    patience: Duration,
    pub(super) clock: Clock,
}

/// Items of one partition, from one sort key to another one.
#[derive(Clone, Debug)]
pub(super) struct Range {
    partition: String,
    from: String,
    to: String,
}

impl Range {
    pub(super) fn new(
        partition: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        Self { partition: partition.into(), from: from.into(), to: to.into() }
    }

    /// All items of a partition.
    pub(super) fn all(partition: impl Into<String>) -> Self {
        Self::new(partition, LOWEST, HIGHEST)
    }
}

/// Some items of a range, and where to go on.
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    pub(super) rest: Option<Attributes>,
}

impl Server {
    pub(super) fn new(client: &Client, table: String, prefix: String, patience: Duration) -> Self {
        // A write that is repeated by the client without our knowing would be refused, though the first one happened.
        let config = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        let client = Client::from_conf(config);
        Self { client, table, prefix, patience, clock: Clock::default() }
    }

    /// The name of a partition.
    pub(super) fn partition(&self, kind: &str) -> String {
        format!("{}#{kind}", self.prefix)
    }

    /// Makes the table if it is not there, notes the version in an empty one, and refuses another one.
    pub(super) async fn open(&self) -> Result<(), Error> {
        let place = Place::new(self.partition("schema"), "schema");
        let opening = async {
            let mut backoff = Backoff::new();
            loop {
                match self.try_get(&place).await {
                    Ok(Some(item)) if item.number::<u64>("version")? == SCHEMA => return Ok(()),
                    Ok(Some(_)) => return Err(ErrorKind::IncompatibleSchema.into()),
                    Ok(None) => {
                        self.forget_by_itself().await?;
                        let note = Change::put(place.clone(), [("version", number(SCHEMA))]);
                        match self.write(vec![note.only_if("attribute_not_exists(#pk)")]).await {
                            Ok(()) | Err(Failure::Condition(_)) => continue,
                            Err(failure) => return Err(failure.into()),
                        }
                    }
                    Err(Failure::NoTable(_)) => self.make_table().await?,
                    Err(failure) => retry(failure)?,
                }
                backoff.wait().await;
            }
        };
        self.in_time(opening).await
    }

    async fn make_table(&self) -> Result<(), Error> {
        let (mut definitions, mut keys) = (Vec::new(), Vec::new());
        for (name, kind) in [(PARTITION, KeyType::Hash), (SORT, KeyType::Range)] {
            let definition = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            definitions.push(definition.build().map_err(invalid)?);
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            keys.push(key.build().map_err(invalid)?);
        }
        let table = self.client.create_table().table_name(&self.table);
        let table = table.billing_mode(BillingMode::PayPerRequest);
        let table = table.set_attribute_definitions(Some(definitions)).set_key_schema(Some(keys));
        let made = table.customize().interceptor(self.clock.asking()).send().await;
        let is_there = |error: &SdkError<CreateTableError>| {
            error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception)
        };
        match made {
            Err(error) if is_there(&error) => Ok(()),
            made => made.map(drop).map_err(|error| failure(&error)).or_else(retry),
        }
    }

    /// Lets DynamoDB remove items after their time.
    async fn forget_by_itself(&self) -> Result<(), Error> {
        let specification = TimeToLiveSpecification::builder().attribute_name(TTL).enabled(true);
        let specification = specification.build().map_err(invalid)?;
        let (mut backoff, mut refused) = (Backoff::new(), None);
        loop {
            let ask = self.client.describe_time_to_live().table_name(&self.table);
            let state = send!(self, ask, failure);
            match state.map(|state| state.time_to_live_description) {
                Ok(state) => {
                    let attribute = state.and_then(|state| state.attribute_name);
                    if attribute.is_some_and(|name| name == TTL) {
                        return Ok(());
                    }
                    if let Some(refused) = refused {
                        return Err(refused);
                    }
                    let enable = self.client.update_time_to_live().table_name(&self.table);
                    let enable = enable.time_to_live_specification(specification.clone());
                    // Another instance may do the same, which the next look tells.
                    match send!(self, enable, failure) {
                        Ok(_) => return Ok(()),
                        Err(failure) => refused = retry(failure).err(),
                    }
                }
                Err(failure) => retry(failure)?,
            }
            backoff.wait().await;
        }
    }

    /// An item.
    pub(super) async fn get(&self, place: &Place) -> Result<Option<Item>, Error> {
        self.reading(|| self.try_get(place)).await
    }

    async fn try_get(&self, place: &Place) -> Result<Option<Item>, Failure> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let get = get.set_key(Some(place.attributes()));
        Ok(send!(self, get, failure)?.item.map(Item))
    }

    /// Those of the items that are there.
    pub(super) async fn get_all(&self, places: &[Place]) -> Result<HashMap<Place, Item>, Error> {
        self.get_each(places, KeysAndAttributes::builder().consistent_read(true)).await
    }

    /// Of those of the items that are there, these attributes. They may be as they were some time ago, at half the price.
    pub(super) async fn glance(
        &self,
        places: &[Place],
        attributes: &[&str],
    ) -> Result<HashMap<Place, Item>, Error> {
        let names = [PARTITION, SORT].iter().chain(attributes);
        let names: HashMap<_, _> =
            names.map(|name| (format!("#{name}"), (*name).to_owned())).collect();
        let all = names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let ask = KeysAndAttributes::builder().projection_expression(all);
        self.get_each(places, ask.set_expression_attribute_names(Some(names))).await
    }

    async fn get_each(
        &self,
        places: &[Place],
        ask: KeysAndAttributesBuilder,
    ) -> Result<HashMap<Place, Item>, Error> {
        let mut found = HashMap::new();
        for some in places.chunks(MOST_READ) {
            let mut rest: Vec<Attributes> = some.iter().map(Place::attributes).collect();
            let mut backoff = Backoff::new();
            loop {
                let ask = ask.clone().set_keys(Some(rest)).build().map_err(invalid)?;
                let (items, left) = self.reading(|| self.try_get_each(&ask)).await?;
                for item in items {
                    found.insert(item.place()?, item);
                }
                if left.is_empty() {
                    break;
                }
                rest = left;
                backoff.wait().await;
            }
        }
        Ok(found)
    }

    /// The items, and the keys of those that there was no room for.
    async fn try_get_each(
        &self,
        ask: &KeysAndAttributes,
    ) -> Result<(Vec<Item>, Vec<Attributes>), Failure> {
        let get = self.client.batch_get_item().request_items(&self.table, ask.clone());
        let mut answer = send!(self, get, failure)?;
        let items = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table));
        let rest = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
        let items = items.unwrap_or_default().into_iter().map(Item).collect();
        Ok((items, rest.map(|rest| rest.keys).unwrap_or_default()))
    }

    /// Some of the items of a range, from the beginning or where the ones before ended. The server gives a megabyte at
    /// most at once.
    pub(super) async fn some(
        &self,
        range: &Range,
        limit: Option<usize>,
        after: Option<Attributes>,
    ) -> Result<Part, Error> {
        self.reading(|| self.try_some(range, limit, after.clone(), false)).await
    }

    /// All items of a range.
    pub(super) async fn all(&self, range: &Range) -> Result<Vec<Item>, Error> {
        self.pages(range, false).await
    }

    async fn pages(&self, range: &Range, only_keys: bool) -> Result<Vec<Item>, Error> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let some =
                self.reading(|| self.try_some(range, None, after.clone(), only_keys)).await?;
            all.extend(some.items);
            match some.rest {
                Some(rest) => after = Some(rest),
                None => return Ok(all),
            }
        }
    }

    async fn try_some(
        &self,
        range: &Range,
        limit: Option<usize>,
        after: Option<Attributes>,
        only_keys: bool,
    ) -> Result<Part, Failure> {
        let mut query = self.client.query().table_name(&self.table).consistent_read(true);
        query = query
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_names("#sk", SORT)
            .expression_attribute_values(":pk", text(&range.partition))
            .expression_attribute_values(":from", text(&range.from))
            .expression_attribute_values(":to", text(&range.to))
            .set_limit(limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX)))
            .set_exclusive_start_key(after);
        if only_keys {
            query = query.projection_expression("#pk, #sk");
        }
        let answer = send!(self, query, failure)?;
        let items = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        Ok(Part { items, rest: answer.last_evaluated_key.filter(|key| !key.is_empty()) })
    }

    /// Removes the items of a range, a few at a time. Returns how many there were.
    pub(super) async fn remove(&self, range: &Range) -> Result<u64, Error> {
        let items = self.pages(range, true).await?;
        let keys: Vec<_> = items
            .iter()
            .map(|item| Ok(item.place()?.attributes()))
            .collect::<Result<_, Error>>()?;
        for some in keys.chunks(MOST_REMOVED) {
            let request = |key: &Attributes| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
                Ok(WriteRequest::builder().delete_request(delete.map_err(invalid)?).build())
            };
            let mut rest: Vec<_> = some.iter().map(request).collect::<Result<_, Error>>()?;
            let mut backoff = Backoff::new();
            while !rest.is_empty() {
                // Does the same when it is repeated.
                rest = self.reading(|| self.try_remove(&rest)).await?;
                if !rest.is_empty() {
                    backoff.wait().await;
                }
            }
        }
        Ok(keys.len() as u64)
    }

    async fn try_remove(&self, requests: &[WriteRequest]) -> Result<Vec<WriteRequest>, Failure> {
        let remove = self.client.batch_write_item().request_items(&self.table, requests.to_vec());
        let rest = send!(self, remove, failure)?.unprocessed_items;
        Ok(rest.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default())
    }

    /// Does all of these changes, or none. If the answer is lost, they are not repeated.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), Failure> {
        let writing = async {
            let mut backoff = Backoff::new();
            loop {
                match self.try_write(&changes).await {
                    Err(Failure::NotNow(_)) => backoff.wait().await,
                    result => return Ok(result),
                }
            }
        };
        self.in_time(writing).await.unwrap_or_else(|late| Err(Failure::Other(late)))
    }

    async fn try_write(&self, changes: &[Change]) -> Result<(), Failure> {
        match changes {
            [Change { what: What::Put(item), .. }] => {
                let put = self.client.put_item().table_name(&self.table);
                let put = put
                    .set_item(Some(item.clone()))
                    .set_condition_expression(changes[0].condition.clone())
                    .set_expression_attribute_names(changes[0].names())
                    .set_expression_attribute_values(changes[0].values());
                send!(self, put, failure).map(drop)
            }
            [Change { what: What::Update(expression), .. }] => {
                let update = self.client.update_item().table_name(&self.table);
                let update = update
                    .set_key(Some(changes[0].place.attributes()))
                    .update_expression(expression)
                    .set_condition_expression(changes[0].condition.clone())
                    .set_expression_attribute_names(changes[0].names())
                    .set_expression_attribute_values(changes[0].values());
                send!(self, update, failure).map(drop)
            }
            _ => {
                let actions = changes.iter().map(|change| self.action(change));
                let actions: Vec<_> = actions.collect::<Result<_, _>>().map_err(Failure::Other)?;
                let all = self.client.transact_write_items().set_transact_items(Some(actions));
                send!(self, all, transaction_failure).map(drop)
            }
        }
    }

    /// A change as an action of a transaction.
    fn action(&self, change: &Change) -> Result<TransactWriteItem, Error> {
        macro_rules! filled {
            ($builder:expr) => {
                $builder
                    .table_name(&self.table)
                    .set_condition_expression(change.condition.clone())
                    .set_expression_attribute_names(change.names())
                    .set_expression_attribute_values(change.values())
                    .build()
                    .map_err(invalid)?
            };
        }
        let key = Some(change.place.attributes());
        let action = TransactWriteItem::builder();
        Ok(match &change.what {
            What::Put(item) => action.put(filled!(Put::builder().set_item(Some(item.clone())))),
            What::Update(expression) => {
                action.update(filled!(Update::builder().set_key(key).update_expression(expression)))
            }
            What::Delete => action.delete(filled!(Delete::builder().set_key(key))),
            What::Check => action.condition_check(filled!(ConditionCheck::builder().set_key(key))),
        }
        .build())
    }

    /// Asks again if the answer is lost.
    async fn reading<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let reading = async {
            let mut backoff = Backoff::new();
            loop {
                match ask().await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => retry(failure)?,
                }
                backoff.wait().await;
            }
        };
        self.in_time(reading).await
    }

    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = |late| Err(Error::new(ErrorKind::Unreachable, late));
        timeout(self.patience, operation).await.unwrap_or_else(late)
    }
}

/// Whether it is worth asking again.
fn retry(failure: Failure) -> Result<(), Error> {
    let error = Error::from(failure);
    if error.kind() == ErrorKind::Unreachable { Ok(()) } else { Err(error) }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}
