//! What happens to the proxies while clients read.

use super::CLIENTS;
use super::fleet::Fleet;
use super::reader::Progress;
use super::upstream::{EVENTS, ROUND, Upstream};
use support::random::Random;

/// In each round the upstream says some more, and in the middle of that a proxy ends. It comes back at once, or when
/// the other one goes on alone.
pub(crate) async fn faults(
    mut random: Random,
    fleet: &mut Fleet,
    upstream: &Upstream,
    progress: &Progress,
) {
    for round in 0..EVENTS / ROUND {
        upstream.release((round + 1) * ROUND);
        // A stream without IDs may have lost what it said last: others come this far.
        let share = random.within(0..CLIENTS as u64 * ROUND / 3);
        progress.reach(CLIENTS as u64 * ROUND * round + share).await;
        fleet.restart(0).await;
        fleet.restart(1).await;
        let which = random.within(0..2) as usize;
        match random.within(0..8) {
            0..4 => fleet.kill(which).await,
            4..7 => fleet.terminate(which).await,
            _ => {
                fleet.kill(which).await;
                fleet.kill(1 - which).await;
                fleet.restart(1 - which).await;
            }
        }
        if random.within(0..2) == 0 {
            fleet.restart(which).await;
        }
    }
    upstream.release(EVENTS + 1);
}
