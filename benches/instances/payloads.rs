//! Events as services send them, for what depends on what they say.

use std::fmt::Write;

use bytes::Bytes;

use ::support::random::Random;

/// Events of a kind.
pub struct Payloads {
    pub name: &'static str,
    pub events: Vec<Bytes>,
}

const EVENTS: usize = 2_000;

pub fn all() -> [Payloads; 3] {
    let of = |name, event: fn(&mut Random) -> String| {
        let mut random = Random::new(1);
        let events = (0..EVENTS).map(|_| format!("data: {}\n\n", event(&mut random)).into());
        Payloads { name, events: events.collect() }
    };
    [of("chat tokens", chat_token), of("JSON, 1 KB", object), of("base64, 1 KB", base64)]
}

/// What servers of language models send for each token.
fn chat_token(random: &mut Random) -> String {
    let (word, padding) = (word(random), text(random, 0..12));
    format!(
        r#"{{"id":"chatcmpl-DeVxnGdK1qzXmPWcYkO3uTtB7hRaL","object":"chat.completion.chunk","created":1763760000,"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":"fp_3f58d112f7","choices":[{{"index":0,"delta":{{"content":" {word}"}},"logprobs":null,"finish_reason":null}}],"obfuscation":"{padding}"}}"#
    )
}

/// What a dashboard gets: the same fields with other values.
fn object(random: &mut Random) -> String {
    let mut object = format!(
        r#"{{"type":"order.updated","id":"{:016x}{:016x}","sequence":{}"#,
        random.number(),
        random.number(),
        random.within(0..1 << 32),
    );
    let mut field = 0;
    while object.len() < 990 {
        field += 1;
        let (name, number) = (word(random), random.within(0..100_000));
        let _ = write!(
            object,
            r#","item_{field}":{{"sku":"{:08x}","name":"{name} {}","price":{}.{:02},"in_stock":{}}}"#,
            random.number() >> 32,
            word(random),
            number / 100,
            number % 100,
            number % 3 > 0,
        );
    }
    object + "}"
}

fn base64(random: &mut Random) -> String {
    text(random, 990..991)
}

fn word(random: &mut Random) -> &'static str {
    const WORDS: [&str; 64] = [
        "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by",
        "on", "not", "he", "this", "are", "or", "his", "from", "at", "which", "but", "have", "an",
        "had", "they", "you", "were", "their", "one", "all", "we", "can", "her", "has", "there",
        "been", "if", "more", "when", "will", "would", "who", "so", "no", "stream", "event",
        "position", "history", "reader", "server", "client", "gap", "answer", "question", "model",
        "token", "because", "between", "however", "through",
    ];
    WORDS[random.within(0..64) as usize]
}

fn text(random: &mut Random, len: std::ops::Range<u64>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let len = random.within(len);
    (0..len).map(|_| char::from(DIGITS[random.within(0..64) as usize])).collect()
}
