//! Decides what a reconnect gets: the table of what a client that comes back is answered, without any I/O.

use super::position::Position;

/// What is known about the stream that an event ID names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) state: StreamState,
    /// The running generation.
    pub(crate) generation: u32,
    /// Offset of the last event; 0 if there was none.
    pub(crate) last: u64,
    /// The first event from which on history has all; `last + 1` if it has none.
    pub(crate) first: u64,
    /// The first offset of the position's generation, if that has begun.
    pub(crate) first_of_its: Option<u64>,
    /// The first offset of the generation after the position's, if that has begun.
    pub(crate) first_of_next: Option<u64>,
    /// The position under which the client was told that the rest will not come, whatever still comes.
    pub(crate) lost_at: Option<Position>,
}

/// Whether a stream's inner body is still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    Live,
    /// The inner body ended cleanly.
    Finished {
        /// Whether a client that had all events was already sent the end.
        end_told: bool,
    },
    /// The inner body failed, was released, or its producer is lost.
    Aborted {
        /// Whether the inner service can be called again for it.
        repeatable: bool,
        /// Whether the loss was given a position, which a client can acknowledge.
        loss_told: bool,
    },
    /// An operator, or the stream's own service, ended it and forgot it.
    Purged,
}

/// What to do for a position on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// No event or signal ever had this position.
    Unknown,
    /// Send what comes after it; then go on live, or end as the stream did.
    Replay {
        /// Whether events after the position are gone.
        gap: bool,
    },
    /// All was sent but the end.
    End,
    /// The end was delivered: the client reconnects on purpose.
    Over,
    /// Send what comes after it, and go on with a new inner response.
    TakeOver {
        /// Whether nothing is left to replay.
        at_end: bool,
        /// Whether events after the position are gone.
        gap: bool,
    },
    /// Send what comes after it, then say that the rest is lost.
    Lost {
        /// Whether events after the position are gone.
        gap: bool,
    },
    /// That the rest is lost was delivered.
    LossTold,
}

/// What a client gets that comes back with `position`.
pub(crate) fn plan(view: &View, position: Position) -> Plan {
    let Position { generation, offset } = position;
    if view.lost_at == Some(position) {
        return Plan::LossTold;
    }
    if generation == view.generation.saturating_add(1) {
        return after_the_end(view, offset);
    }
    if !was_given(view, offset) {
        return Plan::Unknown;
    }
    let at_end = offset == view.last;
    let gap = offset + 1 < view.first;
    match view.state {
        StreamState::Purged => Plan::Unknown,
        StreamState::Live => Plan::Replay { gap },
        StreamState::Finished { end_told: true } if at_end => Plan::Over,
        StreamState::Finished { .. } if at_end => Plan::End,
        StreamState::Finished { .. } => Plan::Replay { gap },
        StreamState::Aborted { repeatable: true, .. } => Plan::TakeOver { at_end, gap },
        StreamState::Aborted { repeatable: false, .. } => Plan::Lost { gap },
    }
}

/// The position just after everything names the stream's end: its clean end, or the signal that the rest is lost.
fn after_the_end(view: &View, offset: u64) -> Plan {
    match view.state {
        _ if offset != view.last => Plan::Unknown,
        StreamState::Finished { .. } => Plan::Over,
        StreamState::Aborted { loss_told: true, .. } => Plan::LossTold,
        StreamState::Live | StreamState::Aborted { .. } | StreamState::Purged => Plan::Unknown,
    }
}

/// A position is exact if it lies before the first offset of the generation after its own. The lowest that a generation
/// gives is the one just before its first event.
fn was_given(view: &View, offset: u64) -> bool {
    let below = view.first_of_next.unwrap_or(u64::MAX);
    offset <= view.last
        && offset < below
        && view.first_of_its.is_some_and(|first| first <= offset + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten events, of which 4 to 10 are retained.
    fn view(state: StreamState) -> View {
        View {
            state,
            generation: 1,
            last: 10,
            first: 4,
            first_of_its: Some(1),
            first_of_next: None,
            lost_at: None,
        }
    }

    fn at(offset: u64) -> Position {
        Position { generation: 1, offset }
    }

    const ABORTED_GET: StreamState = StreamState::Aborted { repeatable: true, loss_told: false };
    const ABORTED_POST: StreamState = StreamState::Aborted { repeatable: false, loss_told: false };

    #[test]
    fn a_live_stream_is_replayed_and_followed() {
        let view = view(StreamState::Live);
        assert_eq!(plan(&view, at(10)), Plan::Replay { gap: false });
        assert_eq!(plan(&view, at(3)), Plan::Replay { gap: false });
    }

    #[test]
    fn what_was_evicted_is_a_gap() {
        let view = view(StreamState::Live);
        assert_eq!(plan(&view, at(2)), Plan::Replay { gap: true });
        assert_eq!(plan(&view, at(0)), Plan::Replay { gap: true });
    }

    #[test]
    fn a_position_that_was_never_given_is_unknown() {
        let view = view(StreamState::Live);
        assert_eq!(plan(&view, at(11)), Plan::Unknown);
        assert_eq!(plan(&view, at(u64::MAX)), Plan::Unknown);
        assert_eq!(plan(&view, Position { generation: 2, offset: 10 }), Plan::Unknown);
        let missing = View { first_of_its: None, ..view };
        assert_eq!(plan(&missing, Position { generation: 9, offset: 10 }), Plan::Unknown);
        assert_eq!(plan(&missing, Position { generation: 9, offset: u64::MAX }), Plan::Unknown);
    }

    #[test]
    fn the_end_of_a_finished_stream_is_sent_once() {
        let told = |end_told| view(StreamState::Finished { end_told });
        assert_eq!(plan(&told(false), at(9)), Plan::Replay { gap: false });
        assert_eq!(plan(&told(false), at(10)), Plan::End);
        assert_eq!(plan(&told(true), at(10)), Plan::Over);
        assert_eq!(plan(&told(true), at(9)), Plan::Replay { gap: false });
    }

    #[test]
    fn the_position_of_the_end_says_that_it_was_delivered() {
        let end = Position { generation: 2, offset: 10 };
        assert_eq!(plan(&view(StreamState::Finished { end_told: false }), end), Plan::Over);
        let before = Position { generation: 2, offset: 9 };
        assert_eq!(plan(&view(StreamState::Finished { end_told: false }), before), Plan::Unknown);
    }

    #[test]
    fn an_aborted_stream_of_a_get_is_taken_over() {
        let view = view(ABORTED_GET);
        assert_eq!(plan(&view, at(10)), Plan::TakeOver { at_end: true, gap: false });
        assert_eq!(plan(&view, at(5)), Plan::TakeOver { at_end: false, gap: false });
        assert_eq!(plan(&view, at(1)), Plan::TakeOver { at_end: false, gap: true });
    }

    #[test]
    fn an_aborted_stream_of_another_method_is_replayed_and_its_loss_told_once() {
        assert_eq!(plan(&view(ABORTED_POST), at(10)), Plan::Lost { gap: false });
        let told = view(StreamState::Aborted { repeatable: false, loss_told: true });
        assert_eq!(plan(&told, at(10)), Plan::Lost { gap: false });
        assert_eq!(plan(&told, Position { generation: 2, offset: 10 }), Plan::LossTold);
    }

    #[test]
    fn a_loss_that_was_told_stays_told_whatever_still_comes() {
        let told = Position { generation: 2, offset: 7 };
        let view = View { lost_at: Some(told), ..view(StreamState::Live) };
        assert_eq!(plan(&view, told), Plan::LossTold);
        assert_eq!(plan(&view, at(7)), Plan::Replay { gap: false });
    }

    #[test]
    fn a_position_of_an_earlier_generation_is_exact_up_to_where_the_next_one_begins() {
        let view = View { generation: 2, first_of_next: Some(8), ..view(StreamState::Live) };
        assert_eq!(plan(&view, at(7)), Plan::Replay { gap: false });
        assert_eq!(plan(&view, at(8)), Plan::Unknown);
    }

    #[test]
    fn a_generation_gives_no_position_before_its_own_start() {
        let view = View { generation: 2, first_of_its: Some(8), ..view(StreamState::Live) };
        assert_eq!(plan(&view, Position { generation: 2, offset: 7 }), Plan::Replay { gap: false });
        assert_eq!(plan(&view, Position { generation: 2, offset: 6 }), Plan::Unknown);
    }
}
