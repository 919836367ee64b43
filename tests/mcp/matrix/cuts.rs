//! The ways to be cut off.
//!
//! Where an event has passed that no line of the client acknowledges, cuts are by FIN: a RST could take it away again.

use super::cell::Cell;
use super::client::{self, Task, Tool};
use super::place::Stop;
use super::request::Kind;
use super::wire::{How, Wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    BeforeTheFirstEvent,
    BetweenNotifications,
    BeforeTheResult,
    InsideTheResult,
    AwayWhileTheToolFinishes,
    /// For more events than rmcp's server keeps.
    AwayForLong,
    ThreeInARow,
    RightAfterAResume,
    BeforeAResumeIsAnswered,
    /// The server ends its response, and expects the client back.
    EndedByTheServer,
    /// The call's stream and the standalone one.
    AllStreams,
    /// Before it has a position.
    StandaloneBeforeItsPriming,
    StandaloneBeforeTheFirstEvent,
    StandaloneBetweenEvents,
    StandaloneThreeInARow,
}

impl Cut {
    pub(crate) const OF_CALLS: [Self; 9] = [
        Self::BeforeTheFirstEvent,
        Self::BetweenNotifications,
        Self::BeforeTheResult,
        Self::InsideTheResult,
        Self::AwayWhileTheToolFinishes,
        Self::AwayForLong,
        Self::ThreeInARow,
        Self::RightAfterAResume,
        Self::BeforeAResumeIsAnswered,
    ];

    /// Servers without sessions have no standalone stream.
    pub(crate) const WITH_SESSIONS: [Self; 5] = [
        Self::AllStreams,
        Self::StandaloneBeforeItsPriming,
        Self::StandaloneBeforeTheFirstEvent,
        Self::StandaloneBetweenEvents,
        Self::StandaloneThreeInARow,
    ];

    pub(crate) fn listens(self) -> bool {
        Self::WITH_SESSIONS.contains(&self) && self != Self::AllStreams
    }

    /// What a client does behind this wire, which cuts it where that is known before.
    pub(crate) fn task(self, client: client::Kind, wire: &Wire) -> Task {
        self.prepare(wire);
        Task {
            url: format!("http://{}/mcp", wire.address()),
            tool: if self.listens() { Tool::Subscribe } else { Tool::Count },
            run: format!("{client:?}-{self:?}"),
            to: if self == Self::AwayForLong { 60 } else { 3 },
        }
    }

    /// How often the client is cut off.
    pub(crate) fn times(self) -> usize {
        match self {
            Self::EndedByTheServer => 0,
            Self::RightAfterAResume | Self::BeforeAResumeIsAnswered | Self::AllStreams => 2,
            Self::ThreeInARow | Self::StandaloneThreeInARow => 3,
            _ => 1,
        }
    }

    /// Behind the head and the priming of a response.
    const PRIMED: Stop = Stop::Blocks(2);

    fn prepare(self, wire: &Wire) {
        match self {
            Self::BeforeTheFirstEvent => wire.cut_next(Kind::Call, Self::PRIMED, How::Fin),
            Self::InsideTheResult => wire.cut_next(Kind::Call, Stop::Text("counted"), How::Fin),
            Self::RightAfterAResume => wire.cut_next(Kind::Resume, Self::PRIMED, How::Fin),
            Self::BeforeAResumeIsAnswered => {
                wire.cut_next(Kind::Resume, Stop::Blocks(0), How::Fin);
            }
            Self::StandaloneBeforeItsPriming => {
                wire.cut_next(Kind::Standalone, Stop::Blocks(1), How::Fin);
            }
            Self::StandaloneBeforeTheFirstEvent => {
                wire.cut_next(Kind::Standalone, Self::PRIMED, How::Fin);
            }
            _ => {}
        }
    }

    /// Plays a cell up to where nothing more is to be done. Nothing where the client ends before that.
    pub(crate) async fn play(self, cell: &mut Cell<'_>) -> Option<()> {
        if self.listens() { self.play_standalone(cell).await } else { self.play_call(cell).await }
    }

    async fn play_call(self, cell: &mut Cell<'_>) -> Option<()> {
        match self {
            Self::BeforeTheFirstEvent => cell.resumed(1).await?,
            Self::InsideTheResult => {}
            Self::BeforeTheResult => {
                cell.steps(cell.to).await;
                cell.progress(cell.to).await?;
                cell.cut(Kind::Call, How::Rst).await;
                cell.resumed(1).await?;
            }
            Self::EndedByTheServer => {
                cell.step().await;
                cell.progress(1).await?;
                if cell.wire.cuts() {
                    cell.server.end(&cell.run).await;
                }
                cell.resumed(1).await?;
            }
            Self::AllStreams => {
                cell.wire.standing(1).await;
                cell.step().await;
                cell.progress(1).await?;
                cell.cut(Kind::Standalone, How::Rst).await;
                cell.cut(Kind::Call, How::Rst).await;
                cell.resumed(2).await?;
            }
            Self::ThreeInARow => {
                for (i, (kind, how)) in (1..).zip(three_cuts(Kind::Call, cell.kind)) {
                    cell.step().await;
                    cell.progress(i).await?;
                    cell.cut(kind, how).await;
                    cell.resumed(i).await?;
                }
            }
            _ => {
                cell.step().await;
                cell.progress(1).await?;
                let away = matches!(self, Self::AwayWhileTheToolFinishes | Self::AwayForLong);
                cell.wire.hold(away);
                cell.cut(Kind::Call, How::Rst).await;
                if away {
                    cell.steps(cell.to).await;
                    cell.server.finished(&cell.run).await;
                    cell.wire.hold(false);
                }
                cell.resumed(self.times()).await?;
            }
        }
        cell.steps(cell.to + 1).await; // more than it takes
        Some(())
    }

    async fn play_standalone(self, cell: &mut Cell<'_>) -> Option<()> {
        cell.client.until(&serde_json::json!({"result": "subscribed"})).await?;
        cell.wire.standing(1).await;
        match self {
            Self::StandaloneBeforeItsPriming => {
                cell.wire.standing(2).await;
                cell.announce_all().await;
            }
            Self::StandaloneBeforeTheFirstEvent => {
                cell.resumed(1).await?;
                cell.announce_all().await;
            }
            Self::StandaloneThreeInARow => {
                for (i, (kind, how)) in (1..).zip(three_cuts(Kind::Standalone, cell.kind)) {
                    cell.announce(&i.to_string()).await;
                    cell.updated(&i.to_string()).await?;
                    cell.cut(kind, how).await;
                    cell.resumed(i).await?;
                }
            }
            _ => {
                cell.announce("1").await;
                cell.updated("1").await?;
                cell.wire.hold(true);
                cell.cut(Kind::Standalone, How::Rst).await;
                cell.announce("2").await;
                cell.wire.hold(false);
                cell.resumed(1).await?;
                cell.announce("3").await;
            }
        }
        cell.announce("end").await;
        Some(())
    }
}

/// Each after another event. Python's SDK forgets its position when a resumed response breaks off, and gives up at the
/// second break without a clean end between.
fn three_cuts(first: Kind, client: client::Kind) -> [(Kind, How); 3] {
    let again = if client == client::Kind::Python { How::Clean } else { How::Rst };
    [(first, How::Rst), (Kind::Resume, again), (Kind::Resume, again)]
}
