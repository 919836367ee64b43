//! A parser of whole event streams for tests: WHATWG HTML, sections 9.2.5 and 9.2.6, sentence by
//! sentence. Slow, and written so that it can be checked against the text by eye. Strings are
//! bytes, so that nothing is lost in decoding.

/// A dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event type: `message` unless an `event` field says otherwise.
    pub name: Vec<u8>,
    /// The values of the `data` fields, joined by LF.
    pub data: Vec<u8>,
    /// The last event ID in force.
    pub last_event_id: Vec<u8>,
}

/// What a stream does to a client, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An event is dispatched.
    Dispatch(Event),
    /// The reconnection time is set.
    Retry(u64),
}

/// All that `stream` does to a client that reads the whole of it.
pub fn effects(stream: &[u8]) -> Vec<Effect> {
    // "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut client = Client::default();
    for line in whole_lines(stream) {
        client.line(line);
    }
    // "Once the end of the file is reached, any pending data must be discarded."
    client.effects
}

/// The events that `stream` dispatches.
pub fn events(stream: &[u8]) -> Vec<Event> {
    let event = |effect| match effect {
        Effect::Dispatch(event) => Some(event),
        Effect::Retry(_) => None,
    };
    effects(stream).into_iter().filter_map(event).collect()
}

/// The last event ID that a client of `stream` would come back with: that of the last blank line. `None` if the stream
/// has set none.
pub fn last_event_id(stream: &[u8]) -> Option<Vec<u8>> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut client = Client::default();
    let mut last_event_id = None;
    for line in whole_lines(stream) {
        client.line(line);
        if line.is_empty() && !client.last_event_id.is_empty() {
            last_event_id = Some(client.last_event_id.clone());
        }
    }
    last_event_id
}

/// "Lines must be separated by either a U+000D U+000A (CRLF) pair, a single U+000A (LF), or a
/// single U+000D (CR)." The rest after the last of them is no line.
fn whole_lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = stream;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
        lines.push(&rest[..end]);
        let pair = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + if pair { 2 } else { 1 }..];
    }
    lines
}

#[derive(Default)]
struct Client {
    data: Vec<u8>,
    event_type: Vec<u8>,
    last_event_id: Vec<u8>,
    effects: Vec<Effect>,
}

impl Client {
    fn line(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.dispatch();
        } else if line[0] == b':' {
            // "Ignore the line."
        } else if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            let value = &line[colon + 1..];
            self.field(&line[..colon], value.strip_prefix(b" ").unwrap_or(value));
        } else {
            self.field(line, b"");
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"event" => self.event_type = value.to_vec(),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) => self.last_event_id = value.to_vec(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = String::from_utf8(value.to_vec()).unwrap();
                self.effects.push(Effect::Retry(digits.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        let mut event_type = std::mem::take(&mut self.event_type);
        if data.is_empty() {
            return;
        }
        assert_eq!(data.pop(), Some(b'\n'));
        if event_type.is_empty() {
            event_type = b"message".to_vec();
        }
        let last_event_id = self.last_event_id.clone();
        self.effects.push(Effect::Dispatch(Event { name: event_type, data, last_event_id }));
    }
}
