//! What a client is told when it cannot have an event.

use std::fmt;

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The history had to make room.
    Evicted,
    /// The history was older than it is kept.
    Expired,
    /// The frame was over the limit, and went unrecorded to those who were there.
    Oversize,
    /// The store could not keep up, or failed.
    NotStored,
    /// The event ID is none that is known here.
    Unknown,
    /// Who produced the stream is gone, and with it what was to come.
    ProducerLost,
    /// The reader fell behind the history.
    TooSlow,
    /// The inner service gave a known ID to another event: its numbering began anew.
    Diverged,
}

impl GapReason {
    /// The word for this reason in the data of a gap signal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Oversize => "oversize",
            Self::NotStored => "not-stored",
            Self::Unknown => "unknown",
            Self::ProducerLost => "producer-lost",
            Self::TooSlow => "too-slow",
            Self::Diverged => "diverged",
        }
    }

    /// All reasons that there are.
    const ALL: [Self; 8] = [
        Self::Evicted,
        Self::Expired,
        Self::Oversize,
        Self::NotStored,
        Self::Unknown,
        Self::ProducerLost,
        Self::TooSlow,
        Self::Diverged,
    ];

    /// The reason that has this word, if one has.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Events that a client should have had and cannot get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The offset that the client named, where it named one that can be understood.
    pub requested: Option<u64>,
    /// The offset after which events go on.
    pub resumed: u64,
    /// How many events are missing, where that is known.
    pub missed: Option<u64>,
    /// Why they are missing.
    pub reason: GapReason,
}

impl Gap {
    /// What comes after the event `last`, whose producer is gone.
    pub(crate) const fn producer_lost(last: u64) -> Self {
        let reason = GapReason::ProducerLost;
        Self { requested: Some(last), resumed: last, missed: None, reason }
    }

    /// The data of a gap signal: JSON in one line.
    pub fn to_json(&self) -> String {
        let (requested, missed) = (OrNull(self.requested), OrNull(self.missed));
        let (resumed, reason) = (self.resumed, self.reason);
        format!(
            r#"{{"requested":{requested},"resumed":{resumed},"missed":{missed},"reason":"{reason}"}}"#
        )
    }
}

struct OrNull(Option<u64>);

impl fmt::Display for OrNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_signal_says_what_is_missing_and_where_it_goes_on() {
        let gap =
            Gap { requested: Some(3), resumed: 7, missed: Some(4), reason: GapReason::Evicted };
        assert_eq!(gap.to_json(), r#"{"requested":3,"resumed":7,"missed":4,"reason":"evicted"}"#);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let gap = Gap { requested: None, resumed: 0, missed: None, reason: GapReason::Unknown };
        let value: serde_json::Value = serde_json::from_str(&gap.to_json()).unwrap();
        assert_eq!(value["requested"], serde_json::Value::Null);
        assert_eq!(value["missed"], serde_json::Value::Null);
        assert_eq!(value["reason"], "unknown");
    }

    #[test]
    fn a_reason_is_shown_as_the_word_of_the_signal() {
        assert_eq!(GapReason::NotStored.to_string(), "not-stored");
        assert_eq!(GapReason::ProducerLost.as_str(), "producer-lost");
        assert_eq!(GapReason::TooSlow.as_str(), "too-slow");
    }

    #[test]
    fn a_reason_is_found_by_its_word() {
        for reason in GapReason::ALL {
            assert_eq!(GapReason::from_word(reason.as_str()), Some(reason));
        }
        assert_eq!(GapReason::from_word("lost"), None);
    }
}
