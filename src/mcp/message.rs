//! What a JSON-RPC message is about, found while it passes: nothing is kept of it but the few values that are looked
//! for, each bounded.
//!
//! It is no validating parser: what is no JSON is for the server to answer, and says nothing here.

use memchr::memchr2;

/// A longer `id` or `method` is not remembered.
const LONGEST: usize = 512;

/// What is known of a JSON-RPC message, or of a batch of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) shape: Shape,
    pub(super) method: Option<Box<str>>,
    /// A string or a number, as it stands in the message.
    pub(super) id: Option<Box<str>>,
    /// `params.requestId`, in the same way: what a notification is about.
    pub(super) request_id: Option<Box<str>>,
    /// Whether it has a `result` or an `error`.
    pub(super) has_outcome: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// Not begun, or no JSON-RPC.
    #[default]
    Unknown,
    Single,
    Batch,
}

impl Message {
    /// Whether it answers a request.
    pub(super) fn is_response(&self) -> bool {
        self.shape == Shape::Single && self.method.is_none() && self.has_outcome
    }

    /// Whether it is to be answered by one response.
    pub(super) fn is_request(&self) -> bool {
        self.shape == Shape::Single && self.method.is_some() && self.id.is_some()
    }
}

/// Reads one message in pieces that are cut anywhere.
#[derive(Debug, Default)]
pub(super) struct MessageScanner {
    message: Message,
    state: State,
    depth: u32,
    /// Whether the object two levels down is one of names and values.
    inner_is_object: bool,
    expects_name: bool,
    /// The name whose value this is, at the top and one level down.
    name: Name,
    inner_name: Name,
    /// What is being read of a name or a value, if it is wanted.
    text: Vec<u8>,
    is_whole: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    String,
    Escape,
    /// A number, or one of `true`, `false` and `null`.
    Literal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    Id,
    Method,
    Params,
    RequestId,
    Outcome,
}

impl Name {
    /// Of the text between its quotes. One with escapes is none that is looked for, for nobody writes these so.
    fn of(text: &[u8]) -> Self {
        match text {
            b"id" => Self::Id,
            b"method" => Self::Method,
            b"params" => Self::Params,
            b"requestId" => Self::RequestId,
            b"result" | b"error" => Self::Outcome,
            _ => Self::Other,
        }
    }
}

impl MessageScanner {
    /// Reads on. Returns whether the message is whole; what comes after it says nothing.
    pub(super) fn scan(&mut self, mut bytes: &[u8]) -> bool {
        while let (false, Some((&byte, rest))) = (self.is_whole, bytes.split_first()) {
            bytes = match self.state {
                State::Between => {
                    self.between(byte);
                    rest
                }
                State::String => self.string(bytes),
                State::Escape => {
                    self.keep(&[byte]);
                    self.state = State::String;
                    rest
                }
                State::Literal if is_of_literal(byte) => {
                    self.keep(&[byte]);
                    rest
                }
                State::Literal => {
                    self.end_value();
                    self.state = State::Between;
                    bytes
                }
            };
        }
        self.is_whole
    }

    /// What was found, of a whole message; nothing, of a part of one.
    pub(super) fn into_message(self) -> Option<Message> {
        self.is_whole.then_some(self.message)
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(),
            b',' => self.expects_name = self.is_in_object(),
            b':' => self.expects_name = false,
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => self.begin(byte, State::String),
            _ => self.begin(byte, State::Literal),
        }
    }

    fn is_in_object(&self) -> bool {
        match self.depth {
            1 => self.message.shape == Shape::Single,
            2 => self.inner_is_object,
            _ => false,
        }
    }

    fn open(&mut self, is_object: bool) {
        self.depth += 1;
        self.expects_name = is_object && self.depth <= 2;
        match self.depth {
            1 => self.message.shape = if is_object { Shape::Single } else { Shape::Batch },
            2 => {
                self.inner_is_object = is_object;
                self.inner_name = Name::Other;
                self.end_value();
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        self.expects_name = false;
        self.depth = self.depth.saturating_sub(1);
        self.is_whole = self.depth == 0;
    }

    fn begin(&mut self, byte: u8, state: State) {
        self.state = state;
        self.text.clear();
        self.keep(&[byte]);
    }

    /// Reads on in a string, whose end or next escape may be far away.
    fn string<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = memchr2(b'"', b'\\', bytes) else {
            self.keep(bytes);
            return &[];
        };
        let (here, rest) = bytes.split_at(at + 1);
        self.keep(here);
        if here.ends_with(b"\\") {
            self.state = State::Escape;
        } else {
            self.end_string();
            self.state = State::Between;
        }
        rest
    }

    fn end_string(&mut self) {
        if !self.expects_name {
            return self.end_value();
        }
        let name = Name::of(unquoted(&self.text).unwrap_or_default());
        if self.depth == 1 { self.name = name } else { self.inner_name = name }
    }

    /// A value ends, or begins if it is an object or an array.
    fn end_value(&mut self) {
        match (self.depth, self.name, self.inner_name) {
            (0, ..) => self.is_whole = true,
            (1 | 2, Name::Outcome, _) if self.message.shape == Shape::Single => {
                self.message.has_outcome = true;
            }
            (1, Name::Id, _) => self.message.id = self.id(),
            (1, Name::Method, _) => {
                let text = unquoted(&self.text).and_then(|text| std::str::from_utf8(text).ok());
                self.message.method = text.map(Into::into);
            }
            (2, Name::Params, Name::RequestId) => self.message.request_id = self.id(),
            _ => {}
        }
    }

    /// Whether the text that is read now is wanted.
    fn is_wanted(&self) -> bool {
        match self.depth {
            1 | 2 if self.expects_name => true,
            1 => matches!(self.name, Name::Id | Name::Method),
            2 => self.name == Name::Params && self.inner_name == Name::RequestId,
            _ => false,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        // One byte too many stays, as a mark that it is too long.
        let room = (LONGEST + 1).saturating_sub(self.text.len());
        if self.is_wanted() {
            self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// The text as the JSON that an ID may be: it is sent back as it came.
    fn id(&self) -> Option<Box<str>> {
        let is_number = |text: &[u8]| {
            let is_digit = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            text.iter().any(u8::is_ascii_digit) && text.iter().all(is_digit)
        };
        let is_string =
            |text: &[u8]| unquoted(text).is_some_and(|text| text.iter().all(|byte| *byte >= b' '));
        let text = Some(&*self.text).filter(|text| text.len() <= LONGEST)?;
        let is_id = is_number(text) || is_string(text);
        is_id.then(|| std::str::from_utf8(text).ok()).flatten().map(Into::into)
    }
}

fn is_of_literal(byte: u8) -> bool {
    !matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"' | b' ' | b'\t' | b'\n' | b'\r')
}

/// What is between the quotes of a string that is whole.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (text.len() < LONGEST).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message, read in two pieces that are cut at each place.
    fn read(text: &str) -> Option<Message> {
        let read = |pieces: &[&[u8]]| {
            let mut scanner = MessageScanner::default();
            for piece in pieces {
                scanner.scan(piece);
            }
            scanner.into_message()
        };
        let whole = read(&[text.as_bytes()]);
        for at in 0..text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(read(&[head, tail]), whole, "{text} cut at {at}");
        }
        whole
    }

    fn id_of(text: &str) -> Option<String> {
        read(text).unwrap().id.map(Into::into)
    }

    #[test]
    fn a_request_has_an_id_and_a_method_in_any_order() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"id":9,"method":"x"}}"#,
            r#" { "params" : {"a":[{"id":1}]}, "method" : "tools/call" , "id" : 7 } "#,
        ] {
            let message = read(text).unwrap();
            assert_eq!(message.method.as_deref(), Some("tools/call"));
            assert_eq!(message.id.as_deref(), Some("7"));
            assert!(message.is_request() && !message.is_response());
        }
    }

    #[test]
    fn an_id_is_kept_as_it_stands() {
        assert_eq!(id_of(r#"{"id":"a\"\\b"}"#).as_deref(), Some(r#""a\"\\b""#));
        assert_eq!(id_of(r#"{"id":"\u00e9é"}"#).as_deref(), Some("\"\\u00e9é\""));
        assert_eq!(id_of(r#"{"id":-1.5e3}"#).as_deref(), Some("-1.5e3"));
        assert_eq!(id_of(r#"{"id":null}"#), None);
        assert_eq!(id_of(r#"{"id":{"id":1}}"#), None);
        assert_eq!(id_of("{\"id\":\"a\nb\"}"), None);
    }

    #[test]
    fn a_value_that_is_too_long_is_not_remembered() {
        let fits = "x".repeat(LONGEST - 2);
        assert_eq!(id_of(&format!(r#"{{"id":"{fits}"}}"#)).map(|id| id.len()), Some(LONGEST));
        assert_eq!(id_of(&format!(r#"{{"id":"{fits}x"}}"#)), None);
        assert_eq!(read(&format!(r#"{{"method":"{fits}xxx"}}"#)).unwrap().method, None);
    }

    #[test]
    fn a_response_has_an_outcome_and_no_method() {
        for text in [
            r#"{"id":1,"result":{}}"#,
            r#"{"result":null,"id":1}"#,
            r#"{"id":1,"error":{"code":-1,"message":"method"}}"#,
            r#"{"id":1,"result":[1]}"#,
        ] {
            assert!(read(text).unwrap().is_response(), "{text}");
        }
        for text in [
            r#"{"id":1,"method":"sampling/createMessage","params":{"result":1,"error":{}}}"#,
            r#"{"method":"x","params":{"result":{}}}"#,
            r#"[{"id":1,"result":{}}]"#,
            r#"{"id":1,"params":{"a":{"result":1}}}"#,
        ] {
            assert!(!read(text).unwrap().is_response(), "{text}");
        }
    }

    #[test]
    fn a_notification_names_the_request_that_it_is_about() {
        let text =
            r#"{"method":"notifications/cancelled","params":{"reason":"x","requestId":"a"}}"#;
        assert_eq!(read(text).unwrap().request_id.as_deref(), Some(r#""a""#));
        let elsewhere = r#"{"requestId":1,"params":{"a":{"requestId":2},"b":["requestId",3]}}"#;
        assert_eq!(read(elsewhere).unwrap().request_id, None);
    }

    #[test]
    fn what_is_no_message_says_nothing() {
        for text in ["", " ", "{", r#"{"id":1"#, r#"{"id":"a"#, "["] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["}", "]", "\"id\" ", "1 ", "nonsense\n"] {
            assert_eq!(read(text), Some(Message::default()), "{text}");
        }
        assert_eq!(read("[]").unwrap().shape, Shape::Batch);
    }

    #[test]
    fn nothing_is_kept_of_what_is_not_looked_for() {
        let mut scanner = MessageScanner::default();
        scanner.scan(br#"{"params":{"data":""#);
        for _ in 0..1000 {
            scanner.scan(&[b'x'; 1000]);
        }
        assert!(scanner.text.capacity() <= 2 * LONGEST);
        assert!(scanner.scan(br#""},"id":5}"#));
        assert_eq!(scanner.into_message().unwrap().id.as_deref(), Some("5"));
    }
}
