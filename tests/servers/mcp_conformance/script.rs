//! The script of the server: JSON with places to fill in.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

static SCRIPT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("script.json")).expect("JSON"));

/// What `script.json` has under this name.
pub(crate) fn all(kind: &str) -> &'static [Value] {
    SCRIPT[kind].as_array().expect("an array")
}

/// The one of them whose `key` is `name`.
pub(crate) fn one(kind: &str, key: &str, name: &str) -> Option<&'static Value> {
    all(kind).iter().find(|item| item[key] == name)
}

/// The request for an input of the client.
pub(crate) fn input(name: &str) -> Value {
    SCRIPT["inputs"][name].clone()
}

/// These fields of the items, where they have them.
pub(crate) fn listed(kind: &str, list: &str, fields: &[&str]) -> Value {
    let items = all(kind).iter().map(|item| {
        let with = |field: &&str| Some(((*field).to_owned(), item.get(*field)?.clone()));
        let mut listed: Map<_, _> = fields.iter().filter_map(with).collect();
        listed.entry("description").or_insert_with(|| json!("for the conformance suite"));
        if kind == "tools" {
            listed.entry("inputSchema").or_insert_with(|| json!({ "type": "object" }));
        }
        listed
    });
    json!({ (list): items.collect::<Vec<_>>(), "ttlMs": 60_000, "cacheScope": "public" })
}

/// The value with each `$name` replaced by the argument of that name, or by what the script has.
pub(crate) fn filled(value: &Value, arguments: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => {
            let names = ["PNG", "WAV"].map(|name| (name.to_owned(), SCRIPT[name].clone()));
            let fill = |text: String, (name, value): (&String, &Value)| {
                text.replace(&format!("${name}"), value.as_str().unwrap_or_default())
            };
            let text = arguments.iter().fold(text.clone(), fill);
            names.iter().fold(text, |text, (name, value)| fill(text, (name, value))).into()
        }
        Value::Array(items) => items.iter().map(|item| filled(item, arguments)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), filled(value, arguments))).collect()
        }
        other => other.clone(),
    }
}
