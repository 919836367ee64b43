//! Two proxies with one store, which are ended and started again.

use std::net::SocketAddr;

use tokio::sync::watch;

use support::process::{Server, example};

/// Where the proxies are, for those that are to be gone to.
pub(crate) type Addresses = [Option<SocketAddr>; 2];

pub(crate) struct Fleet {
    upstream: SocketAddr,
    options: Vec<String>,
    proxies: [Option<Server>; 2],
    addresses: watch::Sender<Addresses>,
}

impl Fleet {
    pub(crate) async fn start(upstream: SocketAddr, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let proxies = [const { None }; 2];
        let mut fleet = Self { upstream, options, proxies, addresses: watch::Sender::default() };
        fleet.restart(0).await;
        fleet.restart(1).await;
        fleet
    }

    pub(crate) fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }

    /// Starts it, if it does not run.
    pub(crate) async fn restart(&mut self, which: usize) {
        if self.proxies[which].is_none() {
            let upstream = format!("http://{}", self.upstream);
            let mut command = example("proxy");
            // What the substitute for DynamoDB wants, which knows no keys.
            command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
            command.args(["--listen", "127.0.0.1:0", "--upstream", &upstream]);
            let proxy = Server::start(command.args(&self.options)).await;
            self.go_to(which, Some(proxy.address));
            self.proxies[which] = Some(proxy);
        }
    }

    /// Ends it without a warning.
    pub(crate) async fn kill(&mut self, which: usize) {
        self.go_to(which, None);
        if let Some(mut proxy) = self.proxies[which].take() {
            proxy.process.signal("KILL").await;
            proxy.process.exit().await;
        }
    }

    /// Has it end by itself.
    pub(crate) async fn terminate(&mut self, which: usize) {
        self.go_to(which, None);
        if let Some(mut proxy) = self.proxies[which].take() {
            proxy.process.signal("TERM").await;
            assert!(proxy.process.exit().await.success(), "it drains and exits with 0");
        }
    }

    /// Stops it, with all its connections open.
    pub(crate) async fn pause(&self, which: usize) {
        self.go_to(which, None);
        self.signal(which, "STOP").await;
    }

    /// Lets it go on.
    pub(crate) async fn unpause(&self, which: usize) {
        self.signal(which, "CONT").await;
        self.go_to(which, self.proxies[which].as_ref().map(|proxy| proxy.address));
    }

    async fn signal(&self, which: usize, signal: &str) {
        let proxy = self.proxies[which].as_ref().expect("it runs");
        proxy.process.signal(signal).await;
    }

    fn go_to(&self, which: usize, address: Option<SocketAddr>) {
        self.addresses.send_modify(|addresses| addresses[which] = address);
    }
}
