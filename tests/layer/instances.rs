//! Several instances of a layer with one store: any of them answers any reconnect, and any of them may die.

mod durability;
mod handover;
mod hops;
mod outages;
mod refused_appends;
mod resumes;
mod runtimes;
mod there_and_back;

use std::time::Duration;

use tower_sse_resume::store::MemoryStore;
use tower_sse_resume::{Durability, Persistence, SseResumeLayer};

use support::app::{App, TestClient};
use support::faulty_store::FaultyStore;

const SECRET: [u8; 32] = [7; 32];

/// The store, and what all instances have in common.
struct Instances {
    store: MemoryStore,
    durability: Durability,
    layer: fn(SseResumeLayer) -> SseResumeLayer,
}

/// An instance with its own way to the store.
struct Instance {
    app: App,
    way: FaultyStore,
}

impl std::ops::Deref for Instance {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl std::ops::DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut App {
        &mut self.app
    }
}

impl Instances {
    fn new(durability: Durability) -> Self {
        Self { store: MemoryStore::new(), durability, layer: |layer| layer }
    }

    fn start(&self) -> Instance {
        self.start_with(|persistence| persistence)
    }

    fn start_with(&self, configure: impl FnOnce(Persistence) -> Persistence) -> Instance {
        let way = FaultyStore::new(&self.store);
        let persistence = Persistence::with_secret(way.clone(), SECRET).durability(self.durability);
        let layer = SseResumeLayer::new().store(configure(persistence));
        Instance { app: App::with((self.layer)(layer)), way }
    }
}

impl Instance {
    /// A client of a new stream, which has its first event.
    async fn begin(&mut self, event: &'static str) -> TestClient {
        let mut client = self.get("").await;
        self.body().send(event);
        client.read_events(1).await;
        client
    }

    /// Ends it as SIGKILL does: it says nothing more to anybody.
    fn kill(&self) {
        self.way.cut();
    }
}

/// Long enough for everything that needs no lease to lapse.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Long enough for the lease of a dead instance to lapse, and for others to know that.
async fn a_lease() {
    tokio::time::sleep(Duration::from_secs(40)).await;
}
