//! Runs one simulation.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tower_sse_resume::store::{ErrorKind, Key, Purge, Store};

use super::client::Client;
use super::instance::Instances;
use super::model::Model;
use super::plan::{Plan, ms};
use super::world::World;
use support::faulty_store::Faults;
use support::random::Random;

/// How long after the last disturbance each client has to have everything: no wait of the layer is longer.
const RECOVERY: Duration = Duration::from_secs(120);

/// What came of a simulation.
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) trace: String,
}

pub(crate) fn run(seed: u64, tells: bool) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    tower_sse_resume::repeat_random(seed);
    runtime.block_on(async {
        let world = World::new(Plan::of(seed), tells);
        world.tell(|| format!("{:#?}", world.plan));
        simulate(&world).await;
        Outcome { violation: world.violation(), trace: world.trace() }
    })
}

type Clients = Arc<Mutex<Vec<Option<Client>>>>;

async fn simulate(world: &Arc<World>) {
    let plan = &world.plan;
    let mut random = Random::new(plan.seed ^ 0xC4A0);
    let faults = faults(plan);
    let instances = Instances::start(world, faults);
    let clients: Clients = Arc::default();
    let mut tasks = Vec::new();
    for topic in 0..plan.topics.len() {
        let who = tasks.len();
        let client = Client::new(Model::new(world, who, topic), &instances, random.number());
        tasks.push(begin(client, &clients, None));
    }
    let calm_at = world.began + plan.calm_at;
    loop {
        let pause = random.within(0..plan.chaos.pause.as_micros() as u64 + 1);
        sleep_until(calm_at.min(Instant::now() + Duration::from_micros(pause))).await;
        if world.is_calm() || world.violation().is_some() {
            break;
        }
        disturb(world, &instances, &mut random).await;
        if plan.chaos.forks && tasks.len() < 8 && random.one_in(4) {
            let (from, who) = (random.within(0..tasks.len() as u64) as usize, tasks.len());
            tasks.push(begin_fork(&clients, from, who, random.number()));
        }
    }
    sleep_until(calm_at).await;
    instances.calm();
    world.tell(|| "calm".to_owned());
    let deadline = calm_at + RECOVERY;
    for (who, task) in tasks.into_iter().enumerate() {
        tokio::select! {
            biased;
            done = task => if done.is_err() {
                world.violated(format!("client {who} panicked"));
            },
            () = sleep_until(deadline) => {
                world.violated(format!("client {who} hangs"));
                return;
            }
        }
        if world.violation().is_some() {
            return;
        }
    }
    forget(world, &instances).await;
}

/// Nothing is left of what nobody reads.
async fn forget(world: &Arc<World>, instances: &Instances) {
    let linger = world.plan.linger.unwrap_or_default();
    sleep(linger + world.plan.age * 2 + world.plan.lease + ms(10_000)).await;
    for instance in instances.all() {
        let Some(handle) = instance.handle() else { continue };
        let stats = handle.stats();
        if (stats.streams, stats.clients, stats.lingering, stats.bytes) != (0, 0, 0, 0) {
            world.violated(format!("{} keeps {stats:?}", instance.number));
        }
    }
    let _ = world.store.sweep().await;
    for key in world.keys() {
        let stream = Key::new(key.clone()).unwrap();
        let record = world.store.record(&stream).await;
        match record {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Purged) => {}
            other => world.violated(format!("the store keeps {key}: {other:?}")),
        }
    }
}

fn faults(plan: &Plan) -> Faults {
    let chaos = &plan.chaos;
    let often = |is: bool, often| if is { often } else { 0 };
    Faults {
        lost_calls: often(chaos.lost, 60),
        lost_answers: often(chaos.lost, 100),
        repeated: often(chaos.lost, 60),
        late: often(chaos.late, 80),
        // No call is on its way for longer than its stream is kept: what is forgotten could begin anew.
        latest: (plan.lease * 2).min(plan.age / 2).as_millis() as u64,
        delay: chaos.delay,
    }
}

/// Has a client come back until it has everything. Nobody else has a hand on it meanwhile, but for copies of it between
/// two visits.
fn begin(
    client: Client,
    clients: &Clients,
    after: Option<Duration>,
) -> tokio::task::JoinHandle<()> {
    let who = client.model.who;
    let mut all = clients.lock().unwrap();
    if all.len() <= who {
        all.resize_with(who + 1, || None);
    }
    all[who] = Some(client.fork(who, 0));
    drop(all);
    let (clients, mut client) = (Arc::clone(clients), client);
    tokio::spawn(async move {
        sleep(after.unwrap_or_default()).await;
        let world = Arc::clone(&client.model.world);
        while world.violation().is_none() && !(world.is_calm() && client.is_done()) {
            client.visit().await;
            let copy = client.fork(who, 0);
            clients.lock().unwrap()[who] = Some(copy);
        }
    })
}

fn begin_fork(
    clients: &Clients,
    from: usize,
    who: usize,
    seed: u64,
) -> tokio::task::JoinHandle<()> {
    let client = clients.lock().unwrap()[from].as_ref().unwrap().fork(who, seed);
    client
        .model
        .world
        .tell(|| format!("client {who} goes on from {from} at {}", client.last_event_id));
    begin(client, clients, None)
}

async fn disturb(world: &Arc<World>, instances: &Arc<Instances>, random: &mut Random) {
    let chaos = &world.plan.chaos;
    let Some(instance) = instances.pick(random) else { return };
    let number = instance.number;
    let lease = world.plan.lease.as_millis() as u64;
    let long = ms(random.within(1..lease * 3));
    match random.within(0..8) {
        0 if chaos.crashes => instance.way.die(),
        1 if chaos.crashes => instance.way.die_in(random.within(0..12)),
        2 if chaos.pauses => {
            world.tell(|| format!("{number} is frozen for {long:?}"));
            instance.way.freeze();
            mend_after(&instance.way, long);
        }
        3 if chaos.partitions => {
            world.tell(|| format!("{number} is cut off for {long:?}"));
            instance.way.cut();
            mend_after(&instance.way, long);
        }
        4 if chaos.outages => {
            world.tell(|| format!("the store is away for {long:?}"));
            for instance in instances.all() {
                instance.way.cut();
                mend_after(&instance.way, long);
            }
        }
        5 if chaos.drains => {
            let Some(handle) = instance.handle() else { return };
            world.tell(|| format!("{number} is drained"));
            tokio::spawn(async move {
                handle.drain(ms(500)).await;
                drop(handle);
                instance.way.die();
            });
        }
        6 if chaos.purges && random.one_in(3) => {
            let Some(handle) = instance.handle() else { return };
            world.tell(|| format!("{number} purges all"));
            handle.purge_all();
        }
        7 if chaos.purges => {
            let keys = world.keys();
            if keys.is_empty() {
                return;
            }
            let key = keys[random.within(0..keys.len() as u64) as usize].clone();
            world.tell(|| format!("{key} is purged"));
            let _ = world.store.purge(&Purge::Stream(Key::new(key).unwrap())).await;
        }
        _ => {}
    }
}

fn mend_after(way: &support::faulty_store::FaultyStore, time: Duration) {
    let way = way.clone();
    tokio::spawn(async move {
        sleep(time).await;
        way.mend();
    });
}
