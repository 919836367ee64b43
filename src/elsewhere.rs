//! Answers a reconnect from the store: for streams whose producer is another instance, or gone.

use std::sync::Arc;

use crate::answer;
use crate::binding::{Binding, Page};
use crate::config::Config;
use crate::handle::StreamId;
use crate::persistence::{
    Storage, StoredStream, follow, forget, is_about_the_stream, key_of, supersede,
};
use crate::registry::Registry;
use crate::resume::event_id::{EventId, can_be_sent};
use crate::resume::plan::{Plan, StreamState, View, plan};
use crate::resume::position::Position;
use crate::store::{Error, ErrorKind, State};
use crate::stream::{Claim, Origin, Stream};

/// What becomes of a claim.
pub(crate) enum Claimed {
    /// The caller calls the inner service.
    Yes(Claim),
    /// Somebody else was first: what the stream is now has to be looked up.
    Taken,
    /// The store did not answer.
    Outage,
}

/// A stream that the store has, and what a client gets that comes back to it.
pub(crate) struct Found {
    stored: StoredStream,
    /// Whether this instance produces it, by the store.
    is_ours: bool,
    pub(crate) position: Position,
    pub(crate) plan: Plan,
}

/// How what this instance has of a stream stands to what the store has.
pub(crate) enum Standing {
    /// It is as new: it decides.
    Here(Arc<Stream>),
    /// There is nothing here that counts.
    Elsewhere,
    /// It was not known what had come of a claim of this instance. Now it is, and has to be looked up.
    Changed,
}

impl Found {
    /// Whether it has a generation that is not known of `here`.
    fn is_newer_than(&self, here: &Stream) -> bool {
        let stored = self.stored.record.extent.generation;
        here.generation_in_store().is_some_and(|known| known < stored)
    }

    /// Whether all is there from the event `next` on.
    fn reaches(&self, next: u64) -> bool {
        let extent = &self.stored.record.extent;
        (extent.first..=extent.next).contains(&next)
    }
}

/// The store of a layer, for one request.
pub(crate) struct Elsewhere<'a> {
    pub(crate) storage: &'a Arc<Storage>,
    pub(crate) registry: &'a Arc<Registry>,
    pub(crate) config: &'a Arc<Config>,
}

impl Elsewhere<'_> {
    /// Looks up the stream of an ID. `Refused`: it is somebody else's.
    pub(crate) async fn find(
        &self,
        id: &EventId,
        binding: &Binding,
        page: Page,
        may_resume: impl Fn(&StreamId) -> bool,
    ) -> Result<Found, Error> {
        self.storage.ensure_tasks(self.registry, self.config);
        let stored = self.storage.look_up(&key_of(&id.token, self.registry)).await?;
        let (origin, keys) = (&stored.origin, &self.registry.keys);
        let is_its = origin.binding.is_for(binding, origin.is_shared, page, keys)
            && may_resume(&StreamId::named(&id.token, &self.registry.keys));
        if is_its { Ok(self.decide(stored, id)) } else { Err(ErrorKind::Refused.into()) }
    }

    /// What counts of what this instance has of a stream that the store does not have.
    pub(crate) fn kept(&self, id: &EventId, why: ErrorKind) -> Option<Arc<Stream>> {
        let all = || self.registry.copies(&id.token);
        match why {
            ErrorKind::Purged => {
                all().iter().for_each(forget);
                None
            }
            ErrorKind::NotFound => {
                let counts = |kept: &Arc<Stream>| kept.outlasts_store(id.position);
                let kept = all().into_iter().find(counts);
                if kept.is_none() {
                    // It has expired, and nobody can go on with it.
                    all().iter().filter(|kept| kept.is_over_in_store()).for_each(supersede);
                }
                kept
            }
            _ => None,
        }
    }

    /// Whether what this instance has of a stream counts. If another one has gone on with it, it does not any more: it
    /// is let go of.
    pub(crate) async fn standing(&self, found: &Found, id: &EventId) -> Result<Standing, Error> {
        let Some(here) = self.produced(id) else {
            return if found.is_ours {
                self.settle(found, id).await
            } else {
                Ok(Standing::Elsewhere)
            };
        };
        if !found.is_newer_than(&here) {
            let next = id.position.offset + 1;
            if here.is_over_in_store() && !here.reaches(next) && found.reaches(next) {
                // What was given up here, to make room, is there still.
                self.registry.remove(&here);
                return Ok(Standing::Elsewhere);
            }
            return Ok(Standing::Here(here));
        }
        if found.is_ours {
            return self.settle(found, id).await;
        }
        supersede(&here);
        Ok(Standing::Elsewhere)
    }

    /// By the store this instance produces a generation of the stream that nobody here does: once it is certain that
    /// nobody is about to, it is given up.
    async fn settle(&self, found: &Found, id: &EventId) -> Result<Standing, Error> {
        let _claiming = self.storage.claiming(&id.token).await?;
        if let Some(here) = self.produced(id) {
            if !found.is_newer_than(&here) {
                return Ok(Standing::Changed);
            }
            supersede(&here);
        }
        self.storage.give_up(&key_of(&id.token, self.registry), &found.stored.record).await?;
        Ok(Standing::Changed)
    }

    /// What a client gets that comes back with `id`.
    fn decide(&self, stored: StoredStream, id: &EventId) -> Found {
        let mut position = id.position;
        let view = self.view(&stored, position);
        let is_running = position.generation == view.generation && position.offset > view.last;
        let plan = match view.state {
            // What it has had, the store has not yet.
            StreamState::Live if is_running => Plan::Replay { gap: false },
            // What it has had was lost with its producer. The inner service goes on from its own ID, if it gave one.
            StreamState::Aborted { repeatable, .. }
                if is_running && (id.inner.is_none() || !repeatable) =>
            {
                position.offset = view.last;
                plan(&view, position)
            }
            _ => plan(&view, position),
        };
        let is_ours = self.storage.is_produced_here(&stored);
        Found { stored, is_ours, position, plan }
    }

    fn view(&self, stored: &StoredStream, position: Position) -> View {
        let (record, origin) = (&stored.record, &stored.origin);
        let extent = &record.extent;
        let can_go_on = origin.repeatable
            || origin.exchange.is_some()
                && stored.progress.inner_id.as_deref().is_some_and(can_be_sent);
        // Another instance has told its loss already, where the position says so.
        let is_told = !can_go_on && position.generation > extent.generation;
        let is_lost = extent.lapsed && (is_told || self.storage.may_claim_lapsed());
        let state = match extent.state {
            State::Live if !is_lost => StreamState::Live,
            State::Finished => StreamState::Finished { end_told: false },
            // Where nobody can go on, whoever was told so is answered so by any instance.
            State::Live | State::Aborted => {
                StreamState::Aborted { repeatable: can_go_on, loss_told: !can_go_on }
            }
        };
        let first_of = |number| {
            let mut known = record.generations.iter();
            known.find(|known| known.number == number).map(|known| known.first)
        };
        let later = record.generations.iter().filter(|known| known.number > position.generation);
        View {
            state,
            generation: extent.generation,
            last: extent.next - 1,
            first: extent.first,
            first_of_its: first_of(position.generation),
            first_of_next: later.map(|known| known.first).min(),
            lost_at: None,
        }
    }

    fn origin(&self, stored: &StoredStream) -> Origin {
        let origin = &stored.origin;
        let exchange = origin.exchange.as_deref();
        let mut headers = origin.headers.clone();
        answer::forget_client(&mut headers, self.config, origin.is_shared);
        Origin {
            binding: origin.binding,
            is_shared: origin.is_shared,
            inner_id: origin.inner_id.as_deref().map(Box::from),
            repeatable: origin.repeatable,
            headers: self.registry.intern(&headers, self.config),
            page: origin.page,
            exchange: exchange.and_then(|bytes| (self.config.exchange)(bytes)),
        }
    }

    /// The stream as it is read from the store, for a reader at the position. A task reads it once it is
    /// [shown](Self::show).
    pub(crate) fn mirror(&self, found: &Found, id: &EventId) -> Arc<Stream> {
        let next = found.position.offset + 1;
        let known = self.registry.get(&id.token).filter(|stream| {
            stream.is_mirror && stream.reaches(next) && (stream.is_live() || stream.is_finished())
        });
        known.unwrap_or_else(|| {
            let (config, registry) = (Arc::clone(self.config), Arc::clone(self.registry));
            let restored = found.stored.restored(next);
            let origin = self.origin(&found.stored);
            let mirror = Stream::mirror(id.token, origin, config, registry, &restored);
            if next != found.stored.record.extent.next {
                mirror.forget_inner_id();
            }
            Arc::new(mirror)
        })
    }

    /// Lets others find a mirror that has a reader, and begins to read it. `false`: there is no room for it.
    pub(crate) fn show(&self, mirror: &Arc<Stream>) -> bool {
        if !mirror.is_live() || self.registry.has(mirror) {
            return true;
        }
        let Some(runtime) = &mirror.runtime else { return false };
        let is_in = self.registry.insert(mirror).is_ok();
        if is_in {
            runtime.spawn(follow(Arc::clone(mirror), Arc::clone(self.storage)));
        }
        is_in
    }

    /// Makes this instance the producer of an aborted stream, whole as the store has it: the caller calls the inner
    /// service. `None`: it has changed meanwhile, and has to be looked up again.
    pub(crate) async fn inherit(
        &self,
        found: &Found,
        id: &EventId,
    ) -> Result<Option<Claim>, Error> {
        let claiming = self.storage.claiming(&id.token).await?;
        if self.produced(id).is_some() {
            return Ok(None);
        }
        let extent = &found.stored.record.extent;
        let (config, registry) = (Arc::clone(self.config), Arc::clone(self.registry));
        let (origin, restored) = (self.origin(&found.stored), found.stored.restored(extent.first));
        let stream = Stream::inherited(id.token, origin, config, registry, &restored);
        self.storage.load(&stream, extent.next).await?;
        let (storage, key) = (Arc::clone(self.storage), key_of(&id.token, self.registry));
        let after = extent.generation;
        let claim = async move {
            let _claiming = claiming;
            let claimed = storage.claim_surely(&key, after).await?;
            // Its producer may have written until now, if it was only taken for dead: events, and that it had lost some.
            stream.note_generations(&claimed.generations_before());
            let loaded = storage.load(&stream, claimed.record.extent.next).await;
            stream.take_progress(&claimed.progress);
            let generation = claimed.record.extent.generation;
            let claim = stream.inherit(storage.commits_first(), generation);
            storage.produces(&stream);
            loaded?;
            let no_room = |_| ErrorKind::LimitReached.into();
            stream.registry.insert(&stream).map_err(no_room).map(|()| claim)
        };
        match self.storage.in_task(claim).await {
            Ok(claim) => Ok(claim),
            Err(error) if is_about_the_stream(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A stream that this instance produces, or knows as one that it did.
    fn produced(&self, id: &EventId) -> Option<Arc<Stream>> {
        self.registry.produced(&id.token)
    }

    /// Claims the takeover of a stream that was aborted here, by all who know it.
    pub(crate) async fn claim(&self, stream: &Arc<Stream>) -> Claimed {
        if self.storage.end_stored(stream).await.is_err() {
            return Claimed::Outage;
        }
        let Ok(claiming) = self.storage.claiming(&stream.token).await else {
            return Claimed::Outage;
        };
        let Some(after) = stream.generation_in_store() else { return Claimed::Taken };
        let Some(held) = stream.claim() else { return Claimed::Taken };
        let (storage, key) = (Arc::clone(self.storage), key_of(&stream.token, self.registry));
        let claimant = Arc::clone(stream);
        let claim = async move {
            let _claiming = claiming;
            let claimed = storage.claim_surely(&key, after).await?;
            // If nobody waits for it any more, the store is told that this generation is over, too.
            claimant.claimed_in_store(claimed.record.extent.generation);
            Ok(())
        };
        match self.storage.in_task(claim).await {
            Ok(()) => Claimed::Yes(held),
            Err(error) if is_about_the_stream(error.kind()) => {
                self.registry.remove(stream);
                stream.superseded();
                Claimed::Taken
            }
            Err(_) => Claimed::Outage,
        }
    }
}
