//! Calls that want inputs of the client first, in one or more rounds.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use rmcp::ErrorData;
use rmcp::model::{InputRequiredResult, InputResponses};
use serde_json::{Map, Value, json};

use crate::script;

/// The inputs that a call has, and the rounds that it has gone through.
pub(crate) struct Given<'a> {
    pub(crate) responses: Option<&'a InputResponses>,
    pub(crate) state: Option<&'a str>,
    /// What the client can do.
    pub(crate) capabilities: Value,
}

impl Given<'_> {
    /// What a tool or prompt still wants to know; nothing if it may answer.
    pub(crate) fn wanted(&self, item: &Value) -> Result<Option<InputRequiredResult>, ErrorData> {
        let Some(rounds) = item["rounds"].as_array() else { return Ok(None) };
        let sealed = item["sealed"] == true;
        let mut round = match self.state {
            Some(state) if sealed => opened(state)?,
            _ => 0,
        };
        let has_begun = !sealed || self.state.is_some();
        if has_begun && rounds.get(round).is_some_and(|round| self.has_all(item, round)) {
            round += 1;
        }
        Ok(rounds.get(round).map(|names| {
            let asked: Map<_, _> =
                self.names(item, names).map(|n| (n.into(), script::input(n))).collect();
            let mut wanted = json!({ "resultType": "input_required", "inputRequests": asked });
            if sealed {
                wanted["requestState"] = seal(round).into();
            }
            serde_json::from_value(wanted).expect("inputs that are well-formed")
        }))
    }

    fn has_all(&self, item: &Value, round: &Value) -> bool {
        let given = |name| self.responses.and_then(|responses| responses.get(name));
        self.names(item, round).all(|name| given(name).is_some_and(Value::is_object))
    }

    fn names<'b>(&'b self, item: &'b Value, round: &'b Value) -> impl Iterator<Item = &'b str> {
        let names = round.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.filter(|name| item["only_declared"] != true || self.can(name))
    }

    /// Whether the client has said that it can give this input.
    fn can(&self, name: &str) -> bool {
        let input = script::input(name);
        let capability = input["method"].as_str().and_then(|method| method.split('/').next());
        capability.is_some_and(|capability| self.capabilities.get(capability).is_some())
    }
}

/// The key of the seals.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A round that the client can hand back but not make up.
fn seal(round: usize) -> String {
    format!("{round}.{:016x}", KEY.hash_one(round))
}

fn opened(state: &str) -> Result<usize, ErrorData> {
    let round = state.split('.').next().and_then(|round| round.parse().ok());
    let genuine = round.filter(|round| seal(*round) == state);
    genuine.ok_or_else(|| ErrorData::invalid_params("this state was not given", None))
}
