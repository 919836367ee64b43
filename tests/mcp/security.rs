//! Ten thousand attempts to read with IDs that were never given, or belong elsewhere.

use std::env;

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::app::{Ask, Mcp, McpClient, SESSION, note, text};
use crate::read_messages;
use support::client::settle;
use support::random::Random;
use support::scripted::status;

const ATTEMPTS: usize = 10_000;
const SECRET: &str = "what-only-its-owner-may-read";
const SESSIONS: u64 = 6;
/// Of these the sessions were deleted.
const DELETED: u64 = 2;

/// Who asks: a session of an owner, from a page, at a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Who {
    session: u64,
    owner: u64,
    origin: u64,
    host: u64,
}

impl Who {
    /// The one whose session this is.
    fn of(session: u64) -> Self {
        Self { session, owner: session / 2, origin: session % 2, host: 0 }
    }

    fn any(random: &mut Random) -> Self {
        Self {
            session: random.within(0..SESSIONS + 1),
            owner: random.within(0..SESSIONS / 2 + 1),
            origin: random.within(0..3),
            host: random.within(0..2),
        }
    }

    fn ask(self, ask: Ask) -> Ask {
        ask.session(&format!("session-{}", self.session))
            .with("authorization", format!("Bearer {}", self.owner))
            .with("origin", format!("https://{}.example", self.origin))
            .with("host", format!("{}.mcp.example", self.host))
    }
}

/// An event ID, and whose it is.
struct Given {
    id: String,
    who: Who,
}

/// Sessions with calls and standalone streams that live, linger or have ended, and all IDs of theirs.
async fn given(app: &mut Mcp) -> Vec<Given> {
    let mut given = Vec::new();
    for session in 0..SESSIONS {
        let who = Who::of(session);
        for (at, ask) in [Ask::call(1), Ask::get(), Ask::call(2)].into_iter().enumerate() {
            let mut client = app.send(&who.ask(ask)).await;
            let call = app.calls() - 1;
            for n in 0..4 {
                let mut message = note(n);
                message["params"]["message"] = SECRET.into();
                app.body(call).send(format!("data: {message}\nid: {SECRET}-{n}\n\n"));
            }
            read_messages(&mut client, 4).await;
            let ids = client.events().into_iter().map(|event| event.id);
            given.extend(ids.map(|id| Given { id, who }));
            if at == 2 {
                app.body(call).end();
            }
            client.settle().await;
        }
        if session < DELETED {
            app.server.scripted.answer_next(status(StatusCode::NO_CONTENT));
            app.send(&who.ask(Ask::delete())).await;
        }
    }
    settle().await;
    given
}

/// An ID with a few bytes changed behind its marker, or one of the right form that is made up.
fn forged(random: &mut Random, id: &str) -> Vec<u8> {
    let marker = id.find('.').unwrap() + 1;
    let token = marker..id[marker..].find('.').unwrap() + marker;
    let mut forged = id.as_bytes().to_vec();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |random: &mut Random| letters[random.within(0..64) as usize];
    match random.within(0..4) {
        0 => token.for_each(|at| forged[at] = letter(random)),
        1 => {
            let at = random.within(token.start as u64..token.end as u64) as usize;
            // Never what it was. The last letter has bits to spare, which must be zero.
            forged[at] = letters[(letters.iter().position(|l| *l == forged[at]).unwrap() + 4) % 64];
        }
        2 => forged.truncate(random.within(marker as u64..token.end as u64) as usize),
        _ => {
            let at = random.within(token.start as u64..token.end as u64) as usize;
            forged.insert(at, random.within(0..256) as u8);
        }
    }
    forged
}

/// What of an answer anybody can see.
fn seen(client: &McpClient) -> (StatusCode, HeaderMap, String) {
    (client.status, client.headers.clone(), text(client))
}

#[tokio::test(start_paused = true)]
async fn ids_of_others_and_ids_that_are_made_up_get_one_identical_answer() {
    let seed = env::var("SEED").map_or_else(|_| any_seed(), |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let mut app = Mcp::new();
    let given = given(&mut app).await;
    let calls = app.calls();
    let mut first = None;
    let (mut tried, mut of_others, mut deleted, mut made_up) = (0, 0, 0, 0);
    while tried < ATTEMPTS {
        let Given { id, who } = &given[random.within(0..given.len() as u64) as usize];
        let asking = if random.within(0..2) == 0 { *who } else { Who::any(&mut random) };
        let forge = random.within(0..2) == 0;
        let id = if forge { forged(&mut random, id) } else { id.clone().into_bytes() };
        let is_deleted = who.session < DELETED;
        if HeaderValue::from_bytes(&id).is_err() || !forge && !is_deleted && asking == *who {
            continue;
        }
        tried += 1;
        made_up += usize::from(forge);
        deleted += usize::from(!forge && is_deleted);
        of_others += usize::from(!forge && !is_deleted);
        let mut client = app.send(&asking.ask(Ask::get().after(&id))).await;
        client.settle().await;
        let answer = seen(&client);
        let context = format!("{} of {who:?} asked by {asking:?}", id.escape_ascii());
        assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{context}");
        assert!(!format!("{answer:?}").contains(SECRET), "{context}");
        assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer, "{context}");
    }
    assert!(of_others > 500 && deleted > 500 && made_up > 500, "{of_others} {deleted} {made_up}");
    assert_eq!(app.calls(), calls, "none of them reaches the server");
    let body: serde_json::Value = serde_json::from_str(&first.unwrap().2).unwrap();
    assert!(body["error"]["code"].is_i64(), "{body}");
    // And each owner can still read its own.
    for Given { id, who } in given.iter().filter(|given| given.who.session >= DELETED) {
        let mut client = app.send(&who.ask(Ask::get().after(id))).await;
        client.settle().await;
        assert!(client.status.is_success(), "{who:?} {}", client.status);
    }
}

fn any_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), SESSION)
}
