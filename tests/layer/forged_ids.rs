//! Ten thousand event IDs that were never given, or belong elsewhere: what they get tells nothing, and nothing of them
//! comes back.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request};
use support::app::{App, TestClient, request, with};
use support::client::settle;
use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{LayerHandle, Linger, OnMissing, Persistence, SseResumeLayer};

const SECRET: &str = "SECRET-OF-ANOTHER";

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn mutate(&mut self, id: &[u8]) -> Vec<u8> {
        let mut id = id.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(id.len());
            match self.below(5) {
                0 => id[at] ^= 1 << self.below(8),
                1 => id[at] = self.below(256) as u8,
                2 => id.insert(at, self.below(256) as u8),
                3 if id.len() > 4 => drop(id.remove(at)),
                _ => id.extend_from_within(at..),
            }
        }
        id
    }
}

fn owned(method: Method, id: &[u8]) -> Request<()> {
    let request = with(request(method, ""), "authorization", "Bearer of the owner");
    let request = with(request, "host", "a.example");
    let request = with(request, "origin", "https://a.example");
    let request = with(request, "session", "one");
    if id.is_empty() { request } else { with(request, "last-event-id", id) }
}

fn app(on_missing: OnMissing) -> App {
    let layer = SseResumeLayer::new()
        .methods([Method::GET, Method::POST])
        .session_header("session".parse().unwrap())
        .linger(Linger::none())
        .on_missing(on_missing);
    App::with(layer)
}

/// A stream of the owner with some events; its IDs.
async fn stream(app: &mut App) -> (TestClient, Vec<String>) {
    let mut client = app.send(owned(Method::GET, b"")).await;
    for n in 0..4 {
        app.body().send(format!("id: inner-{n}\ndata: {SECRET}-{n}\n\n"));
    }
    client.read();
    let ids = client.events().into_iter().map(|event| event.id).collect();
    (client, ids)
}

/// The request with one thing else, so that it is somebody else's.
fn of_another(request: Request<()>, which: usize) -> Request<()> {
    let mut request = request;
    let mut set = |name: &'static str, value: &'static str| {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    match which % 8 {
        0 => set("authorization", "Bearer of another"),
        1 => set("host", "b.example"),
        2 => set("origin", "https://b.example"),
        3 => set("session", "two"),
        4 => drop(request.headers_mut().remove("authorization")),
        5 => drop(request.headers_mut().remove("session")),
        6 => *request.uri_mut() = "/other".parse().unwrap(),
        _ => *request.uri_mut() = "/events?all".parse().unwrap(),
    }
    request
}

/// IDs that must not be served, with whether the request is to be somebody else's.
fn bad(random: &mut Random, ids: &[String], round: usize) -> (Vec<u8>, bool) {
    let id = ids[random.below(ids.len())].as_bytes();
    match round % 4 {
        0 => (id.to_vec(), true),
        1 => {
            // Any bit of the token.
            let mut id = id.to_vec();
            let at = 3 + random.below(22);
            id[at] ^= 1 << random.below(7);
            (id, false)
        }
        2 => {
            let len = 1 + random.below(150);
            let bytes = (0..len).map(|_| random.below(256) as u8);
            (b"r1.".iter().copied().chain(bytes).collect(), false)
        }
        _ => (random.mutate(id), true),
    }
}

fn head(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

#[tokio::test]
async fn whoever_asks_with_whatever_gets_the_identical_rejection() {
    for on_missing in [OnMissing::Reject, OnMissing::Signal] {
        let mut app = app(on_missing);
        let (_client, ids) = stream(&mut app).await;
        let mut random = Random(7);
        let calls = app.inner.calls();
        let mut first = None;
        let mut asked = 0;
        for round in 0..10_000 {
            let (id, elsewhere) = bad(&mut random, &ids, round);
            let is_ours = id.starts_with(b"r1.") && HeaderValue::from_bytes(&id).is_ok();
            if !is_ours {
                continue;
            }
            let method = match on_missing {
                OnMissing::Reject if round % 3 == 0 => Method::GET,
                _ => Method::POST,
            };
            let mut request = owned(method, &id);
            if elsewhere {
                request = of_another(request, random.below(8));
            }
            let mut client = app.send(request).await;
            client.read();
            let answer =
                (client.status, head(&client.headers), client.received.to_vec(), client.end);
            assert_eq!(answer.0, 410, "{}", id.escape_ascii());
            assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer);
            asked += 1;
        }
        assert!(asked > 5_000, "{asked}");
        assert_eq!(app.inner.calls(), calls, "none of them reaches the inner service");
    }
}

/// What of a response depends on nothing but the request's ID: without our new stream's own token.
fn without_token(client: &TestClient) -> String {
    let from = client.header("sse-resume-from").unwrap();
    let token = from.split('.').nth(1).unwrap();
    let mut all = format!("{} {:?}\n", client.status, head(&client.headers));
    all = all.replace(&format!("{:?}", from.as_bytes()), "FROM");
    all + &String::from_utf8_lossy(&client.received).replace(token, "TOKEN")
}

#[tokio::test]
async fn a_get_is_forwarded_and_learns_nothing_of_what_is_there() {
    let mut app = app(OnMissing::Signal);
    let (_client, ids) = stream(&mut app).await;
    let mut random = Random(8);
    for round in 0..3_000 {
        let (id, elsewhere) = bad(&mut random, &ids, round);
        if !id.starts_with(b"r1.") || HeaderValue::from_bytes(&id).is_err() {
            continue;
        }
        let mut request = owned(Method::GET, &id);
        if elsewhere {
            request = of_another(request, random.below(8));
        }
        let mut client = app.send(request).await;
        client.read();
        let seen = without_token(&client);
        assert!(!seen.contains(SECRET), "{seen}");
        assert!(["fresh", "gap"].contains(&client.header("sse-resume").unwrap()), "{seen}");
        let sent = app.inner.call(app.inner.calls() - 1).headers;
        let sent = sent.get("last-event-id").map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        assert!(!sent.starts_with(b"r1."), "our IDs never reach the inner service");
        assert_eq!(sent.is_empty(), client.header("sse-resume") == Some("gap"), "{seen}");
        drop(client);
    }
    settle().await;
}

#[tokio::test]
async fn an_id_of_another_gets_byte_for_byte_what_a_forged_one_gets() {
    let mut app = app(OnMissing::Signal);
    let (_client, ids) = stream(&mut app).await;
    for id in &ids {
        // The same position and inner ID under a token that nobody has.
        let forged = format!("r1.{}{}", "A".repeat(22), &id[25..]);
        for which in 0..8 {
            let mut answers = vec![];
            for id in [id, &forged] {
                let request = of_another(owned(Method::GET, id.as_bytes()), which);
                let mut client = app.send(request).await;
                client.read();
                let call = app.inner.call(app.inner.calls() - 1);
                answers.push((without_token(&client), call.last_event_id()));
            }
            assert_eq!(answers[0], answers[1], "{which}");
        }
    }
}

#[tokio::test]
async fn nothing_public_shows_a_token_or_a_credential() {
    let mut app = app(OnMissing::Signal);
    let (client, ids) = stream(&mut app).await;
    let token = ids[0].split('.').nth(1).unwrap();
    let handle: &LayerHandle = &app.handle;
    let call = app.inner.call(0);
    let stream = call.extensions.get::<tower_sse_resume::StreamHandle>().unwrap();
    let shown = [
        format!("{:?}", SseResumeLayer::new().secret([7; 32])),
        format!("{handle:?}"),
        format!("{stream:?} {:?}", stream.id()),
        format!("{:?} {:?}", handle.streams(None, 9), handle.sessions(None, 9)),
        format!("{:?}", handle.stats()),
    ]
    .concat();
    for secret in [token, SECRET, "Bearer", "owner", "inner-", "a.example", "one"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    drop(client);
}

/// Positions that a client can write with its own token: the greatest numbers of each kind, and those around them.
fn extreme_positions() -> impl Iterator<Item = (u64, u64)> {
    let generations = [0, 1, 2, 3, 1 << 31, (1 << 32) - 3, (1 << 32) - 2, (1 << 32) - 1, u64::MAX];
    let offsets =
        [0, 1, 1 << 32, (1 << 63) - 3, (1 << 63) - 2, (1 << 63) - 1, 1 << 63, u64::MAX - 1];
    let offsets = offsets.into_iter().chain([u64::MAX]);
    offsets.flat_map(move |offset| generations.map(|generation| (generation, offset)))
}

/// How a stream stands whose token the client has.
#[derive(Clone, Copy, Debug)]
enum Stands {
    Live,
    Finished,
    Aborted,
}

async fn bring(app: &App, client: &mut TestClient, stands: Stands) {
    match stands {
        Stands::Live => return,
        Stands::Finished => app.body().end(),
        Stands::Aborted => app.body().fail(),
    }
    client.settle().await;
}

#[tokio::test(start_paused = true)]
async fn the_greatest_numbers_with_an_own_token_are_positions_like_any_other() {
    for stands in [Stands::Live, Stands::Finished, Stands::Aborted] {
        for method in [Method::GET, Method::POST] {
            for (generation, offset) in extreme_positions() {
                // What was given: before the first event, and after it.
                let is_given = (generation, offset <= 1) == (1, true);
                let is_end = (generation, offset) == (2, 1) && !matches!(stands, Stands::Live);
                if is_given || is_end {
                    continue;
                }
                let mut app = app(OnMissing::Signal);
                let mut client = app.send(owned(Method::GET, b"")).await;
                app.body().send("data: 1\n\n");
                client.read();
                let token = client.last_event_id()[3..25].to_owned();
                bring(&app, &mut client, stands).await;
                let id = format!("r1.{token}.{generation}.{offset}");
                let answer = app.send(owned(method.clone(), id.as_bytes())).await;
                let what = format!("{id} {stands:?} {method}");
                if method == Method::POST {
                    assert_eq!(answer.status, 410, "{what}");
                } else {
                    assert_eq!(answer.header("sse-resume"), Some("gap"), "{what}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn so_they_are_where_only_a_store_knows_the_stream() {
    for stands in [Stands::Live, Stands::Finished, Stands::Aborted] {
        for (generation, offset) in extreme_positions() {
            let store = MemoryStore::new();
            let instance = || {
                let persistence = Persistence::with_secret(store.clone(), [7; 32]);
                App::with(SseResumeLayer::new().store(persistence))
            };
            let (mut producer, mut other) = (instance(), instance());
            let mut client = producer.get("").await;
            producer.body().send("data: 1\n\n");
            client.read();
            let token = client.last_event_id()[3..25].to_owned();
            bring(&producer, &mut client, stands).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let id = format!("r1.{token}.{generation}.{offset}");
            let mut answer = other.get(&id).await;
            answer.settle().await;
            let was_called = other.inner.calls() > 0;
            let is_given = (generation, offset <= 1) == (1, true);
            // The producer may be ahead of what it has stored; nobody can be ahead of what can be.
            let may_be_ahead = generation == 1 && (2..(1 << 63) - 1).contains(&offset);
            match stands {
                Stands::Live => assert_eq!(was_called, !is_given && !may_be_ahead, "{id}"),
                Stands::Finished => assert_eq!(was_called, !is_given, "{id}"),
                Stands::Aborted => assert!(was_called, "{id}"),
            }
            // It goes on to the end without a panic.
            producer.body().send("data: 2\n\n");
            producer.body().end();
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer.settle().await;
            assert!(answer.data().iter().all(|data| data != "2" || is_given), "{id}");
        }
    }
}
