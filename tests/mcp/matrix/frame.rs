//! Frames of an event stream, as they came.

use serde_json::Value;

/// One block up to and with its blank line.
pub(crate) struct Frame {
    pub(crate) text: String,
}

impl Frame {
    /// Takes the first whole frame out of what has been read.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let end = |blank: &[u8]| {
            let at = bytes.windows(blank.len()).position(|window| window == blank)?;
            Some(at + blank.len())
        };
        let end = [end(b"\n\n"), end(b"\r\n\r\n")].into_iter().flatten().min()?;
        let text = String::from_utf8(bytes.drain(..end).collect()).expect("UTF-8");
        Some(Self { text })
    }

    pub(crate) fn id(&self) -> Option<String> {
        self.field("id")
    }

    pub(crate) fn message(&self) -> Option<Value> {
        let data = self.field("data").filter(|data| !data.is_empty())?;
        Some(serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}")))
    }

    pub(crate) fn without_id_and_retry(&self) -> String {
        let lines = self.text.split_inclusive('\n');
        lines.filter(|line| !line.starts_with("id:") && !line.starts_with("retry:")).collect()
    }

    /// The value of a field that has one line.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let value =
            self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
    }
}
