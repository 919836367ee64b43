//! The store in DynamoDB does what a store promises, against a private substitute for the service.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::servers::{restarts, swallow};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use support::store_server::Server;
use tower_sse_resume::store::{
    Append, DynamoDbOptions, DynamoDbStore, Error, ErrorKind, Extent, Keep, Key, NewSession,
    NewStream, Piece, Purge, SessionStore, Store,
};

/// The server that most tests share, each with a prefix of its own.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start("dynamodb"))
}

fn url(server: &Server) -> String {
    format!("http://127.0.0.1:{}", server.port)
}

fn options(server: &Server) -> DynamoDbOptions {
    DynamoDbOptions::new("test")
        .endpoint(url(server))
        .credentials("key", "secret")
        .patience(Duration::from_secs(30))
        .poll(Duration::from_millis(20))
}

fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn connected(options: &DynamoDbOptions) -> DynamoDbStore {
    options.clone().connect().await.expect("it connects")
}

fn fresh() -> impl AsyncFn() -> DynamoDbStore {
    let options = options(server()).key_prefix(prefix());
    async move || connected(&options).await
}

tower_sse_resume::store_conformance!(dynamodb_service, fresh());
tower_sse_resume::session_store_conformance!(dynamodb_sessions, fresh());

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_and_comes_back_loses_nothing() {
    let server = Server::start("dynamodb");
    let options = options(&server);
    Box::pin(restarts::survives_restarts(&server, async || connected(&options).await)).await;
}

fn key(name: impl Into<String>) -> Key {
    Key::new(name.into()).unwrap()
}

fn new_stream(age: Duration) -> NewStream {
    let (session, owner) = (Some(key("session")), Some(key("owner")));
    let keep = Keep { events: 1 << 40, bytes: 1 << 40, age };
    NewStream { producer: key("p"), session, owner, origin: Bytes::from("origin"), keep }
}

const HOUR: Duration = Duration::from_secs(3600);

fn entry(stream: Key, pieces: Vec<Piece>) -> Append {
    let first = pieces[0].first;
    Append { stream, generation: 1, first, pieces, progress: None, gap: None, end: None }
}

async fn append(store: &DynamoDbStore, entry: Append) -> Result<(), Error> {
    store.append(&[entry]).await?.remove(0)
}

fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

/// A client of one of the services, as a user may have configured it.
macro_rules! plain_client {
    ($service:ident, $server:expr) => {{
        let config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .http_client(http())
            .endpoint_url(url($server));
        $service::Client::from_conf(config.build())
    }};
}

type Item = HashMap<String, AttributeValue>;

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item[name].as_s().unwrap()
}

/// All items of a store.
async fn items(prefix: &str) -> Vec<Item> {
    let client = plain_client!(aws_sdk_dynamodb, server());
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let scan = client.scan().table_name("test").consistent_read(true);
        let page = scan.set_exclusive_start_key(after).send().await.unwrap();
        items.extend(page.items.unwrap_or_default());
        after = page.last_evaluated_key;
        if after.is_none() {
            items.retain(|item| text(item, "pk").starts_with(&format!("{prefix}#")));
            return items;
        }
    }
}

/// How many items there are with this in their sort key.
fn of_kind(items: &[Item], kind: &str) -> usize {
    items.iter().filter(|item| text(item, "sk").contains(kind)).count()
}

async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), asking).await;
    assert!(asked.is_ok(), "{what} does not happen");
}

/// Neither the store nor the client behind it does it again: that would be refused, though it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_not_repeated() {
    let options = options(server()).key_prefix(prefix());
    let proxy =
        swallow::Swallow::start(server().port, "DynamoDB_20120810.TransactWriteItems").await;
    let (store, elsewhere) = (connected(&options).await, {
        let url = format!("http://127.0.0.1:{}", proxy.port);
        connected(&options.endpoint(url)).await
    });
    store.create(&key("s"), &new_stream(HOUR)).await.unwrap();
    let lost = append(&elsewhere, entry(key("s"), vec![Piece::events(1, 1, "a")])).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(proxy.swallowed(), 1);
    assert_eq!(elsewhere.record(&key("s")).await.unwrap().extent.next, 2);
}

/// Above what an item holds, and above what a transaction holds; of few pieces, and of very many.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_any_size_comes_back_whole() {
    let store = fresh()().await;
    for (name, count, bytes) in [
        ("item", 3, 130 << 10),
        ("transaction", 6, 1088 << 10),
        ("one", 1, 3 << 20),
        ("many", 20_000, 50),
    ] {
        store.create(&key(name), &new_stream(HOUR)).await.unwrap();
        let mut pieces: Vec<Piece> =
            (1..=count).map(|n| Piece::events(n, 1, vec![n as u8; bytes])).collect();
        pieces.push(Piece::hole(count + 1, 2, tower_sse_resume::GapReason::Oversize));
        append(&store, entry(key(name), pieces.clone())).await.unwrap();
        let mut read: Vec<Piece> = Vec::new();
        while read.len() < pieces.len() {
            let after = read.last().map_or(0, |piece| piece.next() - 1);
            read.extend(store.read(&key(name), after, 1 << 20).await.unwrap().pieces);
        }
        assert!(read == pieces, "{name}");
    }
    // More pieces than a transaction can have.
    let name = key("too many");
    store.create(&name, &new_stream(HOUR)).await.unwrap();
    let pieces = (1..=300_000).map(|n| Piece::events(n, 1, "")).collect();
    let error = append(&store, entry(name.clone(), pieces)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    assert_eq!(store.record(&name).await.unwrap().extent.next, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_trimmed_purged_and_expired_leaves_nothing() {
    let prefix = prefix();
    let store = connected(&options(server()).key_prefix(&prefix)).await;
    let large = |n| Piece::events(n, 1, vec![b'e'; 600 << 10]);
    let (trimmed, age) = (key("trimmed"), Duration::from_millis(200));
    let keep = Keep { events: 1, bytes: 1 << 40, age: HOUR };
    store.create(&trimmed, &NewStream { keep, ..new_stream(HOUR) }).await.unwrap();
    for n in 1..=3 {
        append(&store, entry(trimmed.clone(), vec![large(n)])).await.unwrap();
    }
    // One that comes too late leaves bytes behind.
    let late = append(&store, entry(trimmed.clone(), vec![large(1)])).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(store.sweep().await.unwrap().pieces, 2);
    let left = items(&prefix).await;
    assert_eq!((of_kind(&left, "#step#"), of_kind(&left, "#chunk#")), (1, 3), "{left:?}");
    let page = store.read(&trimmed, 0, 1 << 20).await.unwrap();
    assert_eq!(page.pieces, [large(3)]);

    let expires = key("expires");
    store.create(&expires, &new_stream(age)).await.unwrap();
    append(&store, entry(expires.clone(), vec![large(1)])).await.unwrap();
    store.purge(&Purge::Stream(trimmed)).await.unwrap();
    eventually("the expiry", async || {
        store.sweep().await.unwrap();
        store.record(&expires).await.is_err()
    })
    .await;
    let left = items(&prefix).await;
    // The tombstone, and its name in the list; the version.
    assert_eq!((left.len(), of_kind(&left, "head")), (3, 1), "{left:?}");
}

#[tokio::test]
async fn sessions_are_counted_and_leave_nothing() {
    let prefix = prefix();
    let store = connected(&options(server()).key_prefix(&prefix)).await;
    let new = |idle| NewSession { owner: None, metadata: Bytes::new(), idle };
    store.create_session(&key("deleted"), &new(HOUR), 2).await.unwrap();
    store.create_session(&key("expires"), &new(Duration::from_millis(100)), 2).await.unwrap();
    store.set_value(&key("deleted"), &key("v"), Some("x".into())).await.unwrap();
    eventually("the expiry", async || store.session(&key("expires")).await.is_err()).await;
    // In the place of the one that has expired, but not beside it.
    let third = store.create_session(&key("third"), &new(HOUR), 2).await;
    assert_eq!(third.unwrap_err().kind(), ErrorKind::LimitReached);
    store.create_session(&key("expires"), &new(Duration::ZERO), 2).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
    assert!(store.delete(&key("deleted")).await.unwrap());
    eventually("the expiry", async || store.expire().await.unwrap() == [key("expires")]).await;
    assert_eq!(store.count().await.unwrap(), 0);
    let none = store.create_session(&key("none"), &new(HOUR), 0).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::LimitReached);
    // The version and the count.
    assert_eq!(items(&prefix).await.len(), 2);
}

#[tokio::test]
async fn the_table_forgets_by_itself_and_its_clients_may_be_given() {
    let prefix = prefix();
    let client = plain_client!(aws_sdk_dynamodb, server());
    let options = DynamoDbOptions::new("test").client(client.clone()).key_prefix(&prefix);
    let store = options.patience(Duration::from_secs(30)).connect().await.unwrap();
    let ttl = client.describe_time_to_live().table_name("test").send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(ttl.attribute_name.as_deref(), Some("ttl"));
    store.create(&key("s"), &new_stream(HOUR)).await.unwrap();
    append(&store, entry(key("s"), vec![Piece::events(1, 1, "a")])).await.unwrap();
    let items = items(&prefix).await;
    let step = items.iter().find(|item| item.contains_key("pieces")).unwrap();
    let number = |name: &str| step[name].as_n().unwrap().parse::<u64>().unwrap();
    // A day after its age, in seconds.
    assert_eq!(number("ttl"), (number("time") + 25 * 3_600_000) / 1000);
}

#[tokio::test]
async fn items_of_another_schema_are_refused() {
    let prefix = prefix();
    let connect = async || options(server()).key_prefix(&prefix).connect().await;
    drop(connect().await.unwrap());
    let put = plain_client!(aws_sdk_dynamodb, server()).put_item().table_name("test");
    let put = put.item("pk", AttributeValue::S(format!("{prefix}#schema")));
    let put = put.item("sk", AttributeValue::S("schema".into()));
    put.item("version", AttributeValue::N("2".into())).send().await.unwrap();
    assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::IncompatibleSchema);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unreachable_after_the_patience_and_no_secret_is_shown() {
    // A port that is taken, and where nobody speaks.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    let options = DynamoDbOptions::new("test")
        .endpoint(format!("http://127.0.0.1:{port}"))
        .credentials("k3y", "s3cret")
        .patience(Duration::from_millis(200));
    let shown = format!("{options:?}");
    let error = options.clone().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let prefix = options.clone().key_prefix("a#b").connect().await.unwrap_err();
    assert_eq!(prefix.kind(), ErrorKind::InvalidData);
    let topic = options.topic("news").connect().await.unwrap_err();
    assert_eq!(topic.kind(), ErrorKind::InvalidData);
    for text in [shown, format!("{error:?}"), format!("{prefix:?}"), format!("{topic:?}")] {
        assert!(!text.contains("s3cret") && !text.contains("k3y"), "{text}");
    }
}

/// A substitute for SNS and SQS, which forgets all when it is killed.
struct News {
    server: Server,
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
}

impl News {
    fn start() -> Self {
        let server = Server::start("sns");
        let sns = plain_client!(aws_sdk_sns, &server);
        let sqs = plain_client!(aws_sdk_sqs, &server);
        Self { server, sns, sqs }
    }

    /// Makes the topic, as soon as the server is ready.
    async fn topic(&self) -> String {
        loop {
            match self.sns.create_topic().name("news").send().await {
                Ok(made) => return made.topic_arn.unwrap(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn subscriptions(&self) -> usize {
        self.sns.list_subscriptions().send().await.unwrap().subscriptions().len()
    }

    async fn queues(&self) -> usize {
        self.sqs.list_queues().send().await.unwrap().queue_urls().len()
    }
}

/// An instance that ends without a word leaves its queue.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_a_dead_instance_is_removed_a_day_later() {
    let (news, prefix) = (News::start(), prefix());
    let arn = news.topic().await;
    let options =
        options(server()).key_prefix(&prefix).topic(arn).topic_endpoint(url(&news.server));
    let dies = {
        let options = options.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let store = runtime.block_on(connected(&options));
            drop(runtime);
            drop(store);
        })
    };
    dies.join().unwrap();
    assert_eq!((news.subscriptions().await, news.queues().await), (1, 1));
    let queue = |item: &Item| text(item, "pk").ends_with("#queues");
    let mut dead = items(&prefix).await.into_iter().find(queue).unwrap();
    let store = connected(&options).await;
    store.sweep().await.unwrap();
    assert_eq!((news.subscriptions().await, news.queues().await), (2, 2));
    // As it is after that time.
    dead.insert("until".into(), AttributeValue::N("1".into()));
    let client = plain_client!(aws_sdk_dynamodb, server());
    client.put_item().table_name("test").set_item(Some(dead)).send().await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!((news.subscriptions().await, news.queues().await), (1, 1));
    assert_eq!(items(&prefix).await.iter().filter(|item| queue(item)).count(), 1);
}

/// Appends an event to a stream, for which another instance waits.
async fn is_woken(writer: &DynamoDbStore, reader: &DynamoDbStore, stream: &Key, event: u64) {
    let seen: Extent = reader.record(stream).await.unwrap().extent;
    let waiting = async {
        let woken = tokio::time::timeout(Duration::from_secs(60), reader.wait(stream, &seen));
        assert_eq!(woken.await.expect("it is woken").unwrap().next, event + 1);
    };
    let writing = async {
        // By now it waits, or not yet: both have to work.
        tokio::time::sleep(Duration::from_millis(20)).await;
        append(writer, entry(stream.clone(), vec![Piece::events(event, 1, "e")])).await.unwrap();
    };
    tokio::join!(waiting, writing);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_wake_each_other_through_a_topic_and_look_while_it_is_away() {
    let news = News::start();
    let arn = news.topic().await;
    let options =
        options(server()).key_prefix(prefix()).topic(arn).topic_endpoint(url(&news.server));
    let (writer, looks) = (connected(&options).await, connected(&options).await);
    // It looks once, and then not before the test has ended.
    let told = connected(&options.clone().poll(HOUR)).await;
    assert_eq!((news.subscriptions().await, news.queues().await), (3, 3));
    let stream = key("stream");
    writer.create(&stream, &new_stream(HOUR)).await.unwrap();
    for event in 1..=5 {
        is_woken(&writer, &told, &stream, event).await;
    }

    news.server.kill();
    for event in 6..=7 {
        is_woken(&writer, &looks, &stream, event).await;
    }
    let late = connected(&options).await;
    is_woken(&writer, &late, &stream, 8).await;

    news.server.restart();
    news.topic().await;
    eventually("the subscription of all", async || news.subscriptions().await == 4).await;
    for event in 9..=12 {
        is_woken(&writer, &told, &stream, event).await;
    }
    drop((writer, looks, told, late));
    eventually("the removal of the queues", async || {
        (news.subscriptions().await, news.queues().await) == (0, 0)
    })
    .await;
}
