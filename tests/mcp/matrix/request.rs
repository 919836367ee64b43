//! Requests of MCP clients over HTTP/1.1.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call of the tool `count`.
    Call,
    /// A GET that goes on where another response broke off.
    Resume,
    /// A GET without a position.
    Standalone,
    Other,
}

/// One request, as it came.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    /// Takes the first whole request out of what has been read.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        assert!(!text.contains("transfer-encoding"), "no client sends chunks: {text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let whole = head + length.map_or(0, |length| length.trim().parse().expect("a number"));
        (bytes.len() >= whole).then(|| Self { bytes: bytes.drain(..whole).collect() })
    }

    pub(crate) fn kind(&self) -> Kind {
        let text = self.text();
        let calls = text.contains(r#""tools/call""#) && text.contains(r#""count""#);
        if text.starts_with("POST ") && calls {
            Kind::Call
        } else if text.starts_with("GET ") && self.header("last-event-id").is_some() {
            Kind::Resume
        } else if text.starts_with("GET ") {
            Kind::Standalone
        } else {
            Kind::Other
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next()?;
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let line = text.lines().next().unwrap_or_default();
        write!(f, "{line}, last-event-id {:?}", self.header("last-event-id"))
    }
}
