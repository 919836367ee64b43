//! The instances of the layer, which come and go.

use std::sync::{Arc, Mutex};

use tower::Layer;
use tower_sse_resume::OnOutage;
use tower_sse_resume::{LayerHandle, Linger, Persistence, Retention, SseResume, SseResumeLayer};

use super::inner::Inner;
use super::world::World;
use support::faulty_store::{Faults, FaultyStore};
use support::random::Random;

const SECRET: [u8; 32] = [7; 32];

/// One process.
pub(crate) struct Instance {
    pub(crate) number: usize,
    pub(crate) way: FaultyStore,
    app: Mutex<Option<(SseResume<Inner>, LayerHandle)>>,
}

/// All that there are now.
pub(crate) struct Instances {
    pub(crate) world: Arc<World>,
    places: Mutex<Vec<Arc<Instance>>>,
    began: Mutex<usize>,
    faults: Mutex<Faults>,
}

impl Instance {
    fn start(world: &Arc<World>, number: usize, faults: Faults) -> Arc<Self> {
        let plan = &world.plan;
        let witness = Arc::clone(world);
        let way = FaultyStore::with_faults(&world.store, faults, plan.seed ^ (number as u64) << 32)
            .witnessed(Arc::new(move |taken| witness.took(number, taken)));
        let on_outage = if plan.refuses_in_outages { OnOutage::Refuse } else { OnOutage::Serve };
        let persistence = Persistence::with_secret(way.clone(), SECRET)
            .durability(plan.durability())
            .on_outage(on_outage)
            .outage_timeout(plan.outage_timeout)
            .batch_bytes(plan.batch_bytes)
            .lease(plan.lease);
        let retention = Retention::new().events(plan.events).bytes(plan.bytes).age(plan.age);
        let layer = SseResumeLayer::new()
            .store(persistence)
            .retention(retention)
            .linger(plan.linger.map_or(Linger::none(), Linger::from));
        let handle = layer.handle();
        let service = layer.layer(Inner { world: Arc::clone(world), instance: number });
        Arc::new(Self { number, way, app: Mutex::new(Some((service, handle))) })
    }

    pub(crate) fn service(&self) -> Option<SseResume<Inner>> {
        self.app.lock().unwrap().as_ref().map(|(service, _)| service.clone())
    }

    pub(crate) fn handle(&self) -> Option<LayerHandle> {
        self.app.lock().unwrap().as_ref().map(|(_, handle)| handle.clone())
    }
}

impl Instances {
    pub(crate) fn start(world: &Arc<World>, faults: Faults) -> Arc<Self> {
        let instances = Arc::new(Self {
            world: Arc::clone(world),
            places: Mutex::default(),
            began: Mutex::default(),
            faults: Mutex::new(faults),
        });
        for _ in 0..world.plan.instances {
            let instance = instances.next();
            instances.places.lock().unwrap().push(instance);
        }
        instances
    }

    fn next(self: &Arc<Self>) -> Arc<Instance> {
        let number = {
            let mut began = self.began.lock().unwrap();
            *began += 1;
            *began
        };
        let instance = Instance::start(&self.world, number, *self.faults.lock().unwrap());
        self.world.tell(|| format!("instance {number} starts"));
        // Whenever it dies, all of it goes, and another one comes.
        let (all, one) = (Arc::clone(self), Arc::clone(&instance));
        tokio::spawn(async move {
            one.way.died().await;
            all.world.tell(|| format!("instance {number} is dead"));
            let app = one.app.lock().unwrap().take();
            drop(app);
            let next = all.next();
            let mut places = all.places.lock().unwrap();
            places.iter_mut().filter(|place| place.number == number).for_each(|place| {
                *place = Arc::clone(&next);
            });
        });
        instance
    }

    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        self.places.lock().unwrap().clone()
    }

    pub(crate) fn pick(&self, random: &mut Random) -> Option<Arc<Instance>> {
        let all = self.all();
        let one = &all[random.within(0..all.len() as u64) as usize];
        (!one.way.is_dead()).then(|| Arc::clone(one))
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) {
        *self.faults.lock().unwrap() = Faults::default();
        for instance in self.all() {
            instance.way.calm();
            instance.way.mend();
        }
    }
}
