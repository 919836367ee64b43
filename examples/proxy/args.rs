//! The command line.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use http::{HeaderName, Method};

use crate::{
    choices::{self, Durability, Ids, OnFinished, OnMissing, OnOutage, Preset, Share},
    secret::{self, Secret},
    store::Place,
    target::Target,
    units,
};

/// A reverse proxy that makes the Server-Sent Events of any HTTP server resumable.
///
/// Event streams get event IDs and a bounded history; a client that was cut off and comes back with `Last-Event-ID`
/// gets what it missed, each event once. Everything else passes through as it is.
///
/// Durations are a number with `ms`, `s`, `m` or `h` (a bare number is seconds), sizes a number of bytes or one with
/// `KB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB` or `GiB` (powers of 1024).
#[derive(Parser)]
#[command(name = "proxy", version)]
pub(crate) struct Args {
    /// Address to listen on, for HTTP/1.1 and HTTP/2 without TLS (prior knowledge)
    ///
    /// With port 0 the system chooses one; the line that is printed when the proxy is ready names it.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Server to forward to: `http://HOST[:PORT]` or `https://HOST[:PORT]`
    ///
    /// An http upstream sees the `Host` that the client sent, an https upstream its own name. Certificates are checked
    /// against the system's roots, or those in the file that the environment variable `SSL_CERT_FILE` names.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Target,

    /// How long running responses may go on after SIGTERM or SIGINT
    ///
    /// Then they are cut off. A second signal ends the proxy at once.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) drain: Duration,

    /// Settings for one kind of service, under the options that are given
    ///
    /// `mcp` is for servers of the Model Context Protocol, streamable HTTP. It needs the crate's feature `mcp`.
    #[arg(long, value_name = "NAME", default_value = "default", help_heading = STREAMS)]
    pub(crate) preset: Preset,

    /// How event IDs are made [default: assign]
    #[arg(long, value_name = "HOW", help_heading = STREAMS)]
    pub(crate) ids: Option<Ids>,

    /// Methods whose event streams are made resumable, separated by commas [default: GET; with --preset mcp: GET,POST]
    #[arg(
        long,
        value_name = "METHODS",
        value_delimiter = ',',
        value_parser = choices::method,
        help_heading = STREAMS
    )]
    pub(crate) methods: Option<Vec<Method>>,

    /// Which requests join one upstream response instead of making one each
    ///
    /// Without this option none do.
    #[arg(long, value_name = "BY", help_heading = STREAMS)]
    pub(crate) share: Option<Share>,

    /// Call the upstream again when it breaks off an event stream, without ending the client's response
    #[arg(long, help_heading = STREAMS)]
    pub(crate) reconnect_upstream: bool,

    /// How long the upstream's response is read on after its last client left; 0 ends it at once [default: 30s; with
    /// --preset mcp: 5m]
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = STREAMS)]
    pub(crate) linger: Option<Duration>,

    /// How many of the upstream's responses are read on without a client at once [default: 16384]
    ///
    /// Each is an open file, and no more than a third of those that the system allows are used for it.
    #[arg(long, value_name = "COUNT", help_heading = STREAMS)]
    pub(crate) lingering: Option<usize>,

    /// How many of these one owner may have [default: 1024]
    #[arg(long, value_name = "COUNT", help_heading = STREAMS)]
    pub(crate) lingering_per_owner: Option<usize>,

    /// End event streams after about this time, so that clients come back and resume
    ///
    /// Without this option they last as long as the upstream's.
    #[arg(long, value_name = "DURATION", value_parser = units::duration, help_heading = STREAMS)]
    pub(crate) max_connection_age: Option<Duration>,

    /// Events that are kept for each stream
    #[arg(long, value_name = "COUNT", default_value = "1000", help_heading = HISTORY)]
    pub(crate) events: usize,

    /// Bytes that are kept for each stream
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = units::size,
        help_heading = HISTORY
    )]
    pub(crate) bytes: usize,

    /// How long an event is kept
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "300s",
        value_parser = units::duration,
        help_heading = HISTORY
    )]
    pub(crate) age: Duration,

    /// Where histories are kept
    ///
    /// `memory` keeps them in this process. Those that outlive it or are shared by several: `sqlite:FILE`,
    /// `postgres://…`, `redis://…`, `nats://…`, `dynamodb://TABLE?endpoint=…&region=…`. Each needs the crate's feature
    /// of its name. All proxies with one store answer the clients of all of them. For DynamoDB, the environment has the
    /// credentials; the endpoint is the region's own, if none is given, and `topic=…`, the ARN of one of SNS, makes it
    /// quicker to notice news.
    ///
    /// A server that is away when the proxy starts is waited for for 10 seconds. While it is away later, event streams
    /// go on, and are stored once it is back.
    #[arg(long, value_name = "STORE", default_value = "memory", help_heading = HISTORY)]
    pub(crate) store: Place,

    /// What a client may see before the store has it
    #[arg(long, value_name = "HOW", default_value = "write-behind", help_heading = HISTORY)]
    pub(crate) durability: Durability,

    /// How long after the store last heard of a proxy others go on with its streams
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "15s",
        value_parser = units::duration,
        help_heading = HISTORY
    )]
    pub(crate) lease: Duration,

    /// What a client gets whose missed events are no longer there [default: signal; --preset mcp has its own]
    #[arg(long, value_name = "WHAT", help_heading = RETURNS)]
    pub(crate) on_missing: Option<OnMissing>,

    /// What a client gets whose stream has to be looked up in the store, while that is away
    #[arg(long, value_name = "WHAT", default_value = "serve", help_heading = RETURNS)]
    pub(crate) on_outage: OnOutage,

    /// What a client gets that comes back after the end of its stream [default: forward; --preset mcp has its own]
    #[arg(long, value_name = "WHAT", help_heading = RETURNS)]
    pub(crate) on_finished: Option<OnFinished>,

    /// Query parameter that can take the place of the header `Last-Event-ID`
    ///
    /// The header wins where both are sent. Without this option only the header counts.
    #[arg(long, value_name = "NAME", help_heading = RETURNS)]
    pub(crate) last_event_id_query: Option<String>,

    /// Header that names the session which a stream belongs to
    #[arg(long, value_name = "NAME", help_heading = OWNERS)]
    pub(crate) session_header: Option<HeaderName>,

    /// Header that says whose stream it is
    ///
    /// Only for a header that clients cannot choose, because an authenticating proxy in front sets it. Without this
    /// option and `--owner-cookie`, `Authorization` is what counts.
    #[arg(long, value_name = "NAME", help_heading = OWNERS)]
    pub(crate) owner_header: Option<HeaderName>,

    /// Cookie that says whose stream it is
    #[arg(long, value_name = "NAME", conflicts_with = "owner_header", help_heading = OWNERS)]
    pub(crate) owner_cookie: Option<String>,

    /// File with the key that event IDs are signed with: 32 bytes, or 64 hexadecimal digits
    ///
    /// One line break at the end is allowed. Who can read the file can forge event IDs; its permissions are not
    /// checked, because mounted secrets often have wide ones. Without this option it is the one that the store has, and
    /// with --store memory a random one at each start.
    #[arg(long, value_name = "FILE", value_parser = secret::read, help_heading = OWNERS)]
    pub(crate) secret_file: Option<Secret>,
}

const STREAMS: &str = "Streams";
const HISTORY: &str = "History";
const RETURNS: &str = "Clients that come back";
const OWNERS: &str = "Who may resume a stream";
