//! Which revision of the protocol a client speaks, as far as it matters to resuming.

use http::{HeaderMap, HeaderName};

const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Revisions with the same rules on resuming. They are named by dates, so that they compare as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Era {
    /// 2025-03-26 to 2025-06-18: event IDs and `Last-Event-ID`.
    Resumable,
    /// 2025-11-25: and responses begin with an event that is empty but for its ID.
    Primed,
    /// From 2026-07-28 on: nobody resumes, and to close a response cancels its call.
    Gone,
}

const PRIMED: &[u8] = b"2025-11-25";
const GONE: &[u8] = b"2026-07-28";

impl Era {
    /// That of a request; one that does not say counts as 2025-03-26, as the transport has it ("Protocol Version
    /// Header").
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(MCP_PROTOCOL_VERSION).map(|version| version.as_bytes().trim_ascii()) {
            Some(version) if version >= GONE => Self::Gone,
            Some(version) if version >= PRIMED => Self::Primed,
            _ => Self::Resumable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn era(version: &'static str) -> Era {
        let mut headers = HeaderMap::new();
        headers.insert(MCP_PROTOCOL_VERSION, version.parse().unwrap());
        Era::of(&headers)
    }

    #[test]
    fn a_request_without_a_version_counts_as_the_first_revision() {
        assert_eq!(Era::of(&HeaderMap::new()), Era::Resumable);
        assert_eq!(era("2025-03-26"), Era::Resumable);
    }

    #[test]
    fn priming_came_with_2025_11_25_and_resuming_went_with_2026_07_28() {
        assert_eq!(era("2025-06-18"), Era::Resumable);
        assert_eq!(era("2025-11-25"), Era::Primed);
        assert_eq!(era("2026-07-27"), Era::Primed);
        assert_eq!(era("2026-07-28"), Era::Gone);
        assert_eq!(era("2027-01-01"), Era::Gone);
    }
}
