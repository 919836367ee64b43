//! Open files: the most that the system allows, and what lingers makes room before they run short.

use std::io::{self, Write};

use tokio::net::TcpStream;
use tower_sse_resume::{LayerHandle, Limits};

use crate::args::Args;

/// The layer's default.
const LINGERING: usize = 16_384;
/// Of the open files, one in so many may be the connection of a body that lingers.
const SHARE_OF_LINGERING: u64 = 3;
/// Once only one in so many is left, the oldest of those bodies are let go of.
const LAST_PART: u64 = 10;
/// A connection and the one that it needs to the upstream.
const NEEDED: usize = 2;

/// How many files may be open; `None`: the system does not say.
#[derive(Clone, Copy)]
pub(crate) struct Descriptors(Option<u64>);

impl Descriptors {
    /// Raises the limit as far as the system allows.
    pub(crate) fn raised() -> Self {
        Self(rlimit::increase_nofile_limit(u64::MAX).ok())
    }

    /// The limits with the options that were given, and no more bodies that linger than there are files for.
    pub(crate) fn limits(self, args: &Args) -> Limits {
        let wanted = args.lingering.unwrap_or(LINGERING);
        let allowed = self.0.map_or(usize::MAX, |files| (files / SHARE_OF_LINGERING) as usize);
        if wanted > allowed {
            let files = self.0.unwrap_or_default();
            // Nobody may be reading it any more, which is no reason not to start.
            let _ = writeln!(
                io::stderr(),
                "proxy: at most {allowed} responses are read on without a client, not {wanted}: the system allows \
                 {files} open files; raise the hard limit (ulimit -Hn) for more"
            );
        }
        let limits = Limits::new().lingering(wanted.min(allowed));
        match args.lingering_per_owner {
            Some(most) => limits.lingering_per_owner(most),
            None => limits,
        }
    }

    /// Lets go of what has lingered longest if this connection is among the last that there are files for.
    ///
    /// The system gives the lowest number that is free, so all numbers below this one are taken.
    #[cfg(unix)]
    pub(crate) fn make_room(self, connection: &TcpStream, layer: &LayerHandle) {
        use std::os::fd::AsRawFd;

        let Some(files) = self.0 else { return };
        let number = u64::try_from(connection.as_raw_fd()).unwrap_or_default();
        if number >= files - files / LAST_PART {
            layer.release_lingering(NEEDED);
        }
    }

    /// Lets go of what has lingered longest where a connection could not be accepted.
    #[allow(clippy::unused_self, reason = "it is about them")]
    pub(crate) fn run_short(self, layer: &LayerHandle) {
        layer.release_lingering(NEEDED);
    }

    #[cfg(not(unix))]
    pub(crate) fn make_room(self, _: &TcpStream, _: &LayerHandle) {}
}
