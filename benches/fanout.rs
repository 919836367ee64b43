//! 500 readers of one stream, beside an application that gives each client a receiver of a broadcast channel.
//!
//! `cargo bench --bench fanout` prints the CPU time of a whole axum server per delivered event, read from `/proc`,
//! bare and through the layer, interleaved in one run. With the layer, the first client opens the stream and all
//! others come to it by the position before its first event, as it names it in `SSE-Resume-From`. `--quick` takes
//! fewer rounds.

mod support;

use support::client::{self, Crowd};
use support::rounds::{Options, Times, each};
use support::server::{Server, serve_if_asked};

const READERS: usize = 500;
const EVENT: usize = 180;
/// Milliseconds between events: each is a write of its own to each client.
const PACE: u64 = 8;

fn main() {
    serve_if_asked();
    let options = Options::of_args();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(compare(&options));
}

async fn compare(options: &Options) {
    let servers = [false, true].map(Server::start);
    let crowds = [
        Crowd::open(servers[0].address, "/broadcast", READERS).await,
        Crowd::share(servers[1].address, "/events", READERS).await,
    ];
    let events = 40;
    let mut times = [Times::default(), Times::default()];
    for round in 0..=options.rounds(25) {
        for (times, (server, crowd)) in times.iter_mut().zip(servers.iter().zip(&crowds)) {
            let (cpu, read) = (server.cpu(), crowd.read());
            client::run(server.address, events, PACE).await;
            crowd.has_read(read + (events * READERS * EVENT) as u64).await;
            if round > 0 {
                times.push(server.cpu().saturating_sub(cpu));
            }
        }
    }
    let ratio = times[1].median_ratio(&times[0]);
    let [broadcast, shared] = times.map(|times| each(times.best(), events * READERS) / 1_000.0);
    println!("server CPU in microseconds per delivered event (target: ratio < 1)");
    println!("{:<14} {:>9} {:>8} {:>8}", "readers", "broadcast", "layered", "ratio");
    println!("{READERS:<14} {broadcast:>9.3} {shared:>8.3} {ratio:>8.3}");
}
