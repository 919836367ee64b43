//! Decides what a request gets: from the streams of this instance, and from the store.

use std::sync::{Arc, Weak};

use http::request::Parts;
use http::{Method, Request};

use crate::answer::Answer;
use crate::ask::{self, Asked};
use crate::binding::{Binding, Page};
use crate::config::{Config, EventIds, OnFinished, OnMissing};
use crate::elsewhere::{Claimed, Elsewhere, Standing};
use crate::exchange::{self, Replaces};
use crate::handle::StreamId;
use crate::observer::Observation;
use crate::persistence::{OnOutage, is_about_the_stream};
use crate::registry::Shared;
use crate::resume::event_id::{EventId, Inner};
use crate::resume::plan::Plan;
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::resumed::Resumed;
use crate::stream::{Claim, Released, Stream};
use crate::wrap::Wrap;

/// What to do with a request.
pub(crate) enum Course {
    /// Call the inner service, and make its answer resumable.
    Forward(Wrap),
    /// The same, once these inner bodies are dropped.
    Replace(Vec<Released>, Wrap),
    /// Answer without the inner service.
    Resume(Resumed),
    /// Call the inner service to go on with an aborted stream.
    TakeOver(Resumed, Claim),
    /// The same, once the store has this instance as its producer.
    Claim(Arc<Stream>, Resumed, EventId),
    /// Somebody else does; wait for it, and decide again.
    Wait(Arc<Stream>, EventId),
    /// Ask the store.
    LookUp(Binding, EventId),
    /// `410`.
    Reject,
    /// `503`.
    Unavailable,
    /// `204`.
    NoContent,
}

/// Who decides: what all services of a layer have in common.
#[derive(Clone)]
pub(crate) struct Chooser {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<Config>,
}

impl Chooser {
    /// Decides what a request gets.
    pub(crate) fn course(&self, parts: &mut Parts, asked: Asked) -> Course {
        let keys = &self.shared.registry.keys;
        let binding = Binding::shared(parts, &self.config, keys)
            .unwrap_or_else(|| Binding::of(parts, &self.config, keys));
        let id = match asked {
            Asked::NotOurs => return self.not_ours(parts, binding),
            Asked::Malformed => return self.unknown(parts, binding, None, GapReason::Unknown),
            Asked::Id(id) => id,
        };
        match self.shared.registry.get(&id.token).filter(|_| id.authentic) {
            Some(stream) if !self.counts(&stream, id.position) => Course::LookUp(binding, id),
            Some(stream) if self.is_for(parts, &stream, &binding) => {
                self.resume(parts, binding, &stream, &id)
            }
            None if id.authentic && self.shared.registry.storage.is_some() => {
                Course::LookUp(binding, id)
            }
            _ => self.unknown(parts, binding, Some(&id), GapReason::Unknown),
        }
    }

    /// A request that is not resumed, for its method: as it is, less an ID of ours.
    pub(crate) fn less_ours<B>(&self, request: Request<B>) -> Request<B> {
        let (config, keys) = (&*self.config, &self.shared.registry.keys);
        if !ask::has_ours(request.headers(), request.uri(), config, keys) {
            return request;
        }
        let (mut parts, body) = request.into_parts();
        if config.only.as_ref().is_none_or(|only| only(&parts)) {
            ask::leave_out(&mut parts, config, keys);
        }
        Request::from_parts(parts, body)
    }

    /// Whether what is here of a stream decides, without the store being asked.
    fn counts(&self, stream: &Stream, position: Position) -> bool {
        let is_away = || self.shared.registry.storage.as_ref().is_none_or(|store| store.is_away());
        stream.decides(position) || stream.is_final(position) && is_away()
    }

    /// The store, if there is one.
    pub(crate) fn elsewhere(&self) -> Option<Elsewhere<'_>> {
        let registry = &self.shared.registry;
        let storage = registry.storage.as_ref()?;
        Some(Elsewhere { storage, registry, config: &self.config })
    }

    /// Decides what a request gets whose stream is not live here, or not as the client knows it.
    pub(crate) async fn look_up(
        &self,
        parts: &mut Parts,
        binding: Binding,
        id: &EventId,
    ) -> Course {
        let Some(elsewhere) = self.elsewhere() else {
            return self.unknown(parts, binding, Some(id), GapReason::Unknown);
        };
        loop {
            let authorize = self.config.authorize_resume.as_ref();
            let may_resume = |id: &StreamId| authorize.is_none_or(|authorize| authorize(parts, id));
            let found = match elsewhere.find(id, &binding, self.page(parts), may_resume).await {
                Ok(found) => found,
                Err(error) if is_about_the_stream(error.kind()) => {
                    return match elsewhere.kept(id, error.kind()) {
                        Some(kept) if self.is_for(parts, &kept, &binding) => {
                            self.resume(parts, binding, &kept, id)
                        }
                        _ => self.unknown(parts, binding, Some(id), GapReason::Unknown),
                    };
                }
                Err(_) => return self.outage(parts, binding, id),
            };
            match elsewhere.standing(&found, id).await {
                Ok(Standing::Here(stream)) => return self.resume(parts, binding, &stream, id),
                Ok(Standing::Changed) => continue,
                Ok(Standing::Elsewhere) => {}
                Err(_) => return self.outage(parts, binding, id),
            }
            let may_call = parts.method == Method::GET;
            if let (Plan::TakeOver { gap, .. }, true) = (found.plan, may_call) {
                if gap && self.config.on_missing == OnMissing::Reject {
                    self.config.observer.tell(Observation::Missed);
                    return Course::Reject;
                }
                match elsewhere.inherit(&found, id).await {
                    Ok(Some(claim)) => {
                        let stream = claim.stream();
                        // Its producer may have written since it was looked up.
                        let last = stream.next() - 1;
                        let offset = id.position.offset.min(last);
                        let position = Position { offset, ..found.position };
                        let plan = Plan::TakeOver { at_end: offset == last, gap };
                        let resumed = self.resumed(parts, stream, position, plan);
                        return Course::TakeOver(resumed, claim);
                    }
                    // Whoever was first may be on this instance.
                    Ok(None) => continue,
                    Err(_) => return self.outage(parts, binding, id),
                }
            }
            let mirror = elsewhere.mirror(&found, id);
            if mirror.is_finished() {
                // It knows to whom its end was told here.
                return self.resume(parts, binding, &mirror, id);
            }
            let at = EventId { position: found.position, ..id.clone() };
            let course = self.decide(parts, binding, &mirror, &at, found.plan);
            if matches!(course, Course::Resume(_)) && !elsewhere.show(&mirror) {
                return self.unknown(parts, binding, Some(id), GapReason::Unknown);
            }
            return course;
        }
    }

    /// Goes on with a stream that was aborted here, once the store has this instance as its producer.
    pub(crate) async fn claim(
        &self,
        parts: &mut Parts,
        stream: &Arc<Stream>,
        resumed: Resumed,
        id: EventId,
    ) -> Course {
        let binding = stream.origin.binding;
        let Some(elsewhere) = self.elsewhere() else { return self.outage(parts, binding, &id) };
        match elsewhere.claim(stream).await {
            Claimed::Yes(claim) => Course::TakeOver(resumed, claim),
            Claimed::Outage => self.outage(parts, binding, &id),
            Claimed::Taken if self.shared.registry.has(stream) => {
                self.resume(parts, binding, stream, &id)
            }
            Claimed::Taken => Course::LookUp(binding, id),
        }
    }

    /// The store is away, and only that knows the stream, or who may go on with it.
    fn outage(&self, parts: &mut Parts, binding: Binding, id: &EventId) -> Course {
        let (kept, next) = (self.shared.registry.get(&id.token), id.position.offset + 1);
        let kept = kept.filter(|kept| kept.is_final(id.position) && kept.reaches(next));
        if let Some(kept) = kept.filter(|kept| self.is_for(parts, kept, &binding)) {
            return self.resume(parts, binding, &kept, id);
        }
        let on_outage =
            self.shared.registry.storage.as_ref().map(|storage| storage.options.on_outage);
        let rejects = parts.method != Method::GET || self.config.on_missing != OnMissing::Signal;
        // What may be there is not said to be gone.
        if rejects || on_outage == Some(OnOutage::Refuse) {
            return Course::Unavailable;
        }
        self.unknown(parts, binding, Some(id), GapReason::NotStored)
    }

    fn wrap(&self, parts: &mut Parts, binding: Binding) -> Wrap {
        let mut wrap = Wrap::of(parts, binding, &self.config, &self.shared);
        wrap.is_shared = Binding::shared(parts, &self.config, &self.shared.registry.keys).is_some();
        wrap
    }

    fn not_ours(&self, parts: &mut Parts, binding: Binding) -> Course {
        if let Some((stream, id)) = self.find_by_inner_id(parts, &binding) {
            if !self.counts(&stream, id.position) {
                return Course::LookUp(binding, id);
            }
            return self.resume(parts, binding, &stream, &id);
        }
        let released = self.release_lingering(parts, &binding);
        let wrap = self.wrap(parts, binding);
        if released.is_empty() { Course::Forward(wrap) } else { Course::Replace(released, wrap) }
    }

    /// Lets go of what a client has left behind that begins anew.
    fn release_lingering(&self, parts: &mut Parts, binding: &Binding) -> Vec<Released> {
        let begins = parts.method == Method::GET && !parts.headers.contains_key(ask::LAST_EVENT_ID);
        if !self.config.releases_lingering || !begins {
            return Vec::new();
        }
        let streams = self.shared.registry.going_on(binding).into_iter();
        let is_one = |stream: &Arc<Stream>| stream.origin.repeatable && stream.is_live();
        let (mut released, mut read) = (Vec::new(), Vec::new());
        for stream in streams.filter(is_one) {
            match stream.release_unread() {
                Some(body) => released.push(body),
                None => read.push(Arc::downgrade(&stream)),
            }
        }
        if !released.is_empty() || !read.is_empty() {
            parts.extensions.insert(Replaces::when_noticed(move || {
                for stream in read.iter().filter_map(Weak::upgrade) {
                    let _ = stream.release_unread();
                }
            }));
        }
        released
    }

    /// Whether a stream is this request's to resume.
    fn is_for(&self, parts: &Parts, stream: &Stream, binding: &Binding) -> bool {
        let (origin, page) = (&stream.origin, self.page(parts));
        let keys = &self.shared.registry.keys;
        origin.binding.is_for(binding, origin.is_shared, page, keys)
            && self.may_resume(parts, stream)
    }

    fn page(&self, parts: &Parts) -> Page {
        Page::of(&parts.headers, &self.shared.registry.keys)
    }

    fn may_resume(&self, parts: &Parts, stream: &Stream) -> bool {
        let authorize = self.config.authorize_resume.as_ref();
        authorize.is_none_or(|authorize| authorize(parts, &StreamId::of(stream)))
    }

    /// The one stream that has an event with the inner service's ID that the request comes back with.
    fn find_by_inner_id(&self, parts: &Parts, binding: &Binding) -> Option<(Arc<Stream>, EventId)> {
        if self.config.rules.ids != EventIds::Preserve {
            return None;
        }
        let inner_id = ask::given_inner_id(parts, &self.config)?;
        let streams = self.shared.registry.bound_to(binding).into_iter();
        let streams = streams.filter(|stream| self.may_resume(parts, stream));
        let mut found = streams.filter_map(|stream| Some((stream.find(&inner_id)?, stream)));
        let (position, stream) = found.next()?;
        if found.next().is_some() {
            return None;
        }
        // If the stream turns out to be gone, the ID is the inner service's alone.
        let inner = Some(Inner::of(&inner_id));
        let id = EventId { token: stream.token, authentic: true, position, inner };
        Some((stream, id))
    }

    /// What an ID gets that is unknown, somebody else's, or malformed: the same for all.
    fn unknown(
        &self,
        parts: &mut Parts,
        binding: Binding,
        id: Option<&EventId>,
        reason: GapReason,
    ) -> Course {
        self.config.observer.tell(Observation::Missed);
        if parts.method != Method::GET || self.config.on_missing != OnMissing::Signal {
            return Course::Reject;
        }
        let inner_id = id.and_then(|id| id.inner.as_ref()).map(|inner| inner.as_bytes().to_vec());
        let goes_on =
            ask::set_inner_id(&mut parts.headers, inner_id.as_deref().unwrap_or_default());
        let mut wrap = self.wrap(parts, binding);
        let requested = id.map(|id| id.position.offset);
        let gap = Gap { requested, resumed: 0, missed: None, reason };
        wrap.gap_if_joined = Some(gap);
        if !goes_on {
            wrap.tell(gap);
        }
        Course::Forward(wrap)
    }

    fn resume(
        &self,
        parts: &mut Parts,
        binding: Binding,
        stream: &Arc<Stream>,
        id: &EventId,
    ) -> Course {
        self.decide(parts, binding, stream, id, stream.plan(id.position))
    }

    fn decide(
        &self,
        parts: &mut Parts,
        binding: Binding,
        stream: &Arc<Stream>,
        id: &EventId,
        plan: Plan,
    ) -> Course {
        let position = id.position;
        let repeatable = stream.origin.repeatable;
        let (no_content, at_once) = match self.config.on_finished {
            OnFinished::Forward => (false, false),
            OnFinished::NoContent => (true, false),
            OnFinished::NoContentUnlessGet => (!repeatable, repeatable),
        };
        let reject_gaps = self.config.on_missing == OnMissing::Reject;
        let resumed = |plan| Course::Resume(self.resumed(parts, stream, position, plan));
        match plan {
            Plan::Unknown if stream.waits_for_loss(position) => {
                Course::Wait(Arc::clone(stream), id.clone())
            }
            Plan::Unknown => self.unknown(parts, binding, Some(id), GapReason::Unknown),
            Plan::Replay { gap: true }
            | Plan::Lost { gap: true }
            | Plan::TakeOver { gap: true, .. }
                if reject_gaps =>
            {
                self.config.observer.tell(Observation::Missed);
                Course::Reject
            }
            Plan::Replay { .. }
                if stream.waits_for_takeover(position)
                    || stream.has_overdue_claim() && may_take_over(parts, stream) =>
            {
                Course::Wait(Arc::clone(stream), id.clone())
            }
            Plan::Replay { .. } | Plan::Lost { .. } => resumed(plan),
            Plan::End if no_content => Course::NoContent,
            Plan::End if !at_once => resumed(plan),
            // Only a `GET` may call the inner service, and only for the stream of one.
            Plan::End | Plan::Over if no_content || parts.method != Method::GET || !repeatable => {
                Course::NoContent
            }
            Plan::End | Plan::Over => {
                let inner_id = stream.inner_id();
                let goes_on = ask::set_inner_id(&mut parts.headers, &inner_id);
                let mut wrap = self.wrap(parts, binding);
                wrap.answer = Answer::Forwarded;
                if !goes_on && !inner_id.is_empty() {
                    // Without the layer it would be asked to go on.
                    let reason = GapReason::Unknown;
                    wrap.tell(Gap {
                        requested: Some(position.offset),
                        resumed: 0,
                        missed: None,
                        reason,
                    });
                }
                Course::Forward(wrap)
            }
            Plan::LossTold => Course::NoContent,
            // Only a `GET` may call the inner service again.
            Plan::TakeOver { gap, .. } if parts.method != Method::GET => {
                resumed(Plan::Lost { gap })
            }
            Plan::TakeOver { .. } if stream.is_stored() => {
                let resumed = self.resumed(parts, stream, position, plan);
                Course::Claim(Arc::clone(stream), resumed, id.clone())
            }
            Plan::TakeOver { .. } => match stream.claim() {
                Some(claim) => Course::TakeOver(self.resumed(parts, stream, position, plan), claim),
                None => self.resume(parts, binding, stream, id),
            },
        }
    }

    /// Goes on with a stream whose claim was passed on to this request.
    pub(crate) fn take_over(&self, parts: &Parts, claim: &Claim, position: Position) -> Resumed {
        let stream = claim.stream();
        let at_end =
            !self.config.rules.retention.payload || stream.events_after(position.offset) == 0;
        self.resumed(parts, stream, position, Plan::TakeOver { at_end, gap: false })
    }

    fn resumed(
        &self,
        parts: &Parts,
        stream: &Arc<Stream>,
        position: Position,
        plan: Plan,
    ) -> Resumed {
        let exchange = exchange::of(&parts.extensions);
        let primer = match &exchange {
            Some(exchange) => exchange.primer(),
            None => ask::primer(parts, &self.config),
        };
        Resumed::new(stream, position, plan, primer, self.page(parts))
    }
}

/// Whether a request may call the inner service to go on with a stream.
pub(crate) fn may_take_over(parts: &Parts, stream: &Stream) -> bool {
    parts.method == Method::GET && stream.can_go_on()
}
