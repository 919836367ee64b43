//! What a stream's lock protects.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::Instant;

use super::effects::Effects;
use super::readers::{Close, Closing, Reader, Readers};
use super::{Step, Stream};
use crate::config::{SlowReader, StartAt};
use crate::driver::InnerBody;
use crate::error::{BoxError, ResumeError, ResumeErrorKind};
use crate::log::{Cursor, Found, Log, Room};
use crate::observer::Observation;
use crate::registry::LingerPermit;
use crate::resume::event_id::IdLine;
use crate::resume::plan::{StreamState, View};
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::sse::encode;

pub(super) struct State {
    pub(super) log: Log,
    pub(super) readers: Readers,
    producer: Producer,
    phase: Phase,
    /// What the inner body said and the log has had no room for.
    rest: Bytes,
    /// The waker of the task that drives the inner body.
    driver: Option<Waker>,
    /// Whether that task holds the inner body back.
    paused: bool,
    lingering: Option<Lingering>,
    /// Where the last reader stood when it left.
    left: Cursor,
    end_told: bool,
    loss_told: bool,
    ended_at: Option<Instant>,
    /// What the registry was told of this stream's memory.
    accounted: usize,
}

/// Who polls the inner body.
enum Producer {
    /// Nobody: there is none.
    None,
    /// The readers do.
    Inline(InnerBody),
    /// A reader has taken it out to poll it. A task is to have it afterwards if a second reader came in between.
    Lent { to_task: bool },
    /// A task does.
    Task,
    /// The inner service is being called for the next one; these wait to hear how that ends.
    Claimed(Vec<Waker>),
}

/// Whether the inner body goes on.
enum Phase {
    Live,
    Finished(Option<Box<HeaderMap>>),
    Aborted(Option<Arc<BoxError>>),
    Purged,
}

/// An inner body that is read on without a reader.
struct Lingering {
    until: Instant,
    _permit: LingerPermit,
}

/// How an inner body ended.
pub(crate) enum Ending {
    /// Cleanly, perhaps with trailers.
    Finished(Option<Box<HeaderMap>>),
    /// With an error of its own, or because it was dropped.
    Aborted(Option<BoxError>),
}

/// In which order streams are evicted: the first of these first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EvictionClass {
    Finished,
    Aborted,
    /// Live, without a reader.
    Unread,
    /// With a reader: it keeps its place, but gives up its oldest events.
    Read,
}

/// What a reader is to do.
pub(crate) enum Turn {
    Step(Step),
    Wait,
    /// Poll the inner body, and give it back.
    Drive(InnerBody),
}

/// What the task that drives the inner body is to do.
pub(crate) enum Drive {
    /// Poll it; if it has nothing, wait until then at the latest.
    Poll(Option<Instant>),
    /// Let the readers have what there is, and ask again.
    Yield,
    /// Wait until it is woken, or until then at the latest.
    Pause(Option<Instant>),
    /// Drop it.
    Stop,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) next: u64,
    /// The generation up to which the client knows of gaps.
    pub(crate) told: u32,
    pub(crate) retry_due: bool,
}

impl State {
    pub(super) fn new(id_line: IdLine, inner_id: &[u8]) -> Self {
        Self {
            log: Log::new(id_line, inner_id),
            readers: Readers::default(),
            producer: Producer::None,
            phase: Phase::Live,
            rest: Bytes::new(),
            driver: None,
            paused: false,
            lingering: None,
            left: Cursor::before(1, 0),
            end_told: false,
            loss_told: false,
            ended_at: None,
            accounted: 0,
        }
    }

    pub(super) fn view(&self, position: Position, repeatable: bool) -> View {
        let state = match &self.phase {
            Phase::Live => StreamState::Live,
            Phase::Finished(_) => StreamState::Finished { end_told: self.end_told },
            Phase::Aborted(_) => StreamState::Aborted { repeatable, loss_told: self.loss_told },
            Phase::Purged => StreamState::Purged,
        };
        View {
            state,
            generation: self.log.generation(),
            last: self.log.last(),
            first: self.log.first_retained(),
            first_of_its: self.log.first_of(position.generation),
            first_of_next: self.log.first_after(position.generation),
        }
    }

    /// Whether a request without a position can become a reader, or go on with the stream.
    pub(super) fn can_be_joined(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Aborted(_))
    }

    /// The position that a client begins after that comes without one.
    pub(super) fn start_of(&self, start_at: StartAt) -> Position {
        let (first, last) = (self.log.first_retained(), self.log.last());
        let offset = match start_at {
            StartAt::Live => last,
            StartAt::Earliest => first - 1,
            StartAt::Last(events) => last.saturating_sub(events).max(first - 1),
        };
        Position { generation: self.log.generation_of(offset.max(1)), offset }
    }

    // Readers

    pub(super) fn attach(&mut self, start: Start, by_task: bool, fx: &mut Effects) -> usize {
        let reader = Reader {
            waker: None,
            follower: None,
            cursor: self.log.cursor(start.next),
            told: start.told,
            within_frame: false,
            begun: false,
            retry_due: start.retry_due,
            close: None,
        };
        // A second reader must not depend on whether the first one's socket takes anything.
        if by_task && !self.readers.is_empty() {
            self.move_to_task(fx);
        }
        if self.lingering.take().is_some() {
            fx.observations.push(Observation::LingerEnded { resumed: true });
            fx.wakers.extend(self.driver.take());
        }
        self.readers.insert(reader)
    }

    /// Removes a reader; `permit` is asked whether an inner body may be read on without any.
    pub(super) fn detach(
        &mut self,
        key: usize,
        permit: impl FnOnce() -> Option<(LingerPermit, Instant)>,
        fx: &mut Effects,
    ) {
        let Some(reader) = self.readers.remove(key) else { return };
        if let Some(follower) = reader.follower {
            self.log.tail().leave(follower);
        }
        if !self.readers.is_empty() {
            // Where readers drive by themselves, the one that left may have been whom the inner body would wake.
            if matches!(self.producer, Producer::Inline(_)) {
                self.readers.wake_all(&mut fx.wakers);
            }
            fx.wakers.extend(self.unpause());
            return;
        }
        self.left = reader.cursor;
        if matches!(self.phase, Phase::Live) {
            self.left_alone(permit, fx);
        }
    }

    /// The last reader of a live stream has left.
    fn left_alone(
        &mut self,
        permit: impl FnOnce() -> Option<(LingerPermit, Instant)>,
        fx: &mut Effects,
    ) {
        if matches!(self.producer, Producer::Claimed(_)) {
            return;
        }
        match permit() {
            Some((permit, until)) => {
                self.lingering = Some(Lingering { until, _permit: permit });
                fx.observations.push(Observation::LingerBegan);
                self.move_to_task(fx);
            }
            None => self.release(fx),
        }
        fx.wakers.extend(self.driver.take());
    }

    /// Drops the inner body before it has ended.
    fn release(&mut self, fx: &mut Effects) {
        if let Producer::Inline(body) = std::mem::replace(&mut self.producer, Producer::None) {
            fx.dropped = Some(body);
        }
        self.end(Ending::Aborted(None), fx);
    }

    /// A task drives from now on.
    fn move_to_task(&mut self, fx: &mut Effects) {
        match std::mem::replace(&mut self.producer, Producer::Task) {
            Producer::Inline(body) => fx.spawned = Some(body),
            Producer::Lent { .. } => self.producer = Producer::Lent { to_task: true },
            other => self.producer = other,
        }
    }

    /// What a reader is to do. If that is to wait, `waker` is woken when it is worth asking again.
    #[inline]
    pub(super) fn turn(
        &mut self,
        key: usize,
        stream: &Stream,
        waker: &Waker,
        fx: &mut Effects,
    ) -> Turn {
        loop {
            if let Some(step) = self.step(key, stream) {
                fx.wakers.extend(self.unpause_if_room(stream));
                return Turn::Step(step);
            }
            match std::mem::replace(&mut self.producer, Producer::Lent { to_task: false }) {
                Producer::Inline(body) if self.rest.is_empty() => return Turn::Drive(body),
                Producer::Inline(body) => {
                    self.producer = Producer::Inline(body);
                    self.take_rest(stream, fx);
                }
                other => {
                    self.producer = other;
                    self.wait(key, waker);
                    return Turn::Wait;
                }
            }
        }
    }

    #[inline]
    fn wait(&mut self, key: usize, waker: &Waker) {
        let Some(reader) = self.readers.get(key) else { return };
        match &mut reader.waker {
            Some(old) if old.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
    }

    /// The next thing that a reader gets, if it is there.
    #[inline]
    fn step(&mut self, key: usize, stream: &Stream) -> Option<Step> {
        loop {
            let reader = self.readers.get(key)?;
            if reader.close.is_some_and(|close| close.after <= reader.cursor.next)
                && !reader.within_frame
            {
                return reader.close.map(|close| Step::Close(close.how));
            }
            if reader.within_frame {
                // Nothing may come between the pieces of a frame.
                if self.log.is_cut_off_before(reader.cursor.next) {
                    return Some(fail(ResumeErrorKind::ProducerLost));
                }
            } else if let Some((generation, reason)) =
                self.log.untold(reader.told, reader.cursor.next)
            {
                reader.told = generation;
                return Some(self.generation_gap(key, generation, reason));
            }
            let Some(mut follower) = reader.follower else {
                if std::mem::take(&mut reader.retry_due) {
                    if let Some(retry) = self.log.retry() {
                        return Some(Step::Data(encode::retry(retry)));
                    }
                }
                match self.read_history(key, stream) {
                    Some(step) => return Some(step),
                    None if self.log.is_within_oversize() => return None,
                    None => {
                        let follower = self.log.tail().follow();
                        self.readers.get(key)?.follower = Some(follower);
                        continue;
                    }
                }
            };
            if let Some(taken) = self.log.tail().take(&mut follower) {
                reader.follower = Some(follower);
                reader.cursor = Cursor::before(taken.next, taken.total);
                reader.within_frame = taken.within_frame;
                reader.begun = true;
                return Some(Step::Data(taken.bytes));
            }
            if !self.log.tail().has_lost(follower) {
                return self.at_the_end(key);
            }
            self.log.tail().leave(follower);
            reader.follower = None;
            reader.retry_due = true;
            if reader.within_frame {
                return Some(fail(ResumeErrorKind::TooSlow));
            }
            reader.cursor = self.log.cursor(reader.cursor.next);
        }
    }

    /// The next thing for a reader that is behind; `None` if it is not any more.
    fn read_history(&mut self, key: usize, stream: &Stream) -> Option<Step> {
        let reader = self.readers.get(key)?;
        let next = reader.cursor.next;
        if next > self.log.last() {
            return None;
        }
        match self.log.read(&mut reader.cursor, Instant::now) {
            Found::Frames(bytes) => {
                reader.begun = true;
                Some(Step::Data(bytes))
            }
            Found::Missing { resumed, reason } => {
                let slow =
                    reader.begun && matches!(reason, GapReason::Evicted | GapReason::Expired);
                if slow && stream.config.slow_reader == SlowReader::Disconnect {
                    return Some(fail(ResumeErrorKind::TooSlow));
                }
                let reason = if slow { GapReason::TooSlow } else { reason };
                let generation = self.log.generation_of(resumed);
                reader.told = reader.told.max(generation);
                let gap = Gap {
                    requested: Some(next - 1),
                    resumed,
                    missed: Some(resumed + 1 - next),
                    reason,
                };
                Some(Step::Gap(gap, Position { generation, offset: resumed }))
            }
            Found::End => None,
        }
    }

    /// What a reader is told that passes into a generation which does not go on exactly.
    #[cold]
    fn generation_gap(&mut self, key: usize, generation: u32, reason: GapReason) -> Step {
        let next = self.readers.get(key).map_or(1, |reader| reader.cursor.next);
        let gap = Gap { requested: Some(next - 1), resumed: next - 1, missed: None, reason };
        Step::Gap(gap, Position { generation, offset: next - 1 })
    }

    /// What a reader gets that has all there is.
    #[inline]
    fn at_the_end(&mut self, key: usize) -> Option<Step> {
        if matches!(self.phase, Phase::Live) { None } else { Some(self.last_step(key)) }
    }

    #[cold]
    fn last_step(&mut self, key: usize) -> Step {
        let within_frame = self.readers.get(key).is_some_and(|reader| reader.within_frame);
        match &self.phase {
            Phase::Finished(_) if within_frame => fail(ResumeErrorKind::ProducerLost),
            Phase::Finished(trailers) => Step::End(trailers.clone()),
            Phase::Aborted(Some(error)) => Step::Fail(ResumeError::inner(Arc::clone(error))),
            Phase::Purged => fail(ResumeErrorKind::Purged),
            Phase::Live | Phase::Aborted(None) => fail(ResumeErrorKind::ProducerLost),
        }
    }

    // The inner body

    /// Puts the inner body where its readers drive it.
    pub(super) fn place(&mut self, body: InnerBody) {
        self.producer = Producer::Inline(body);
    }

    /// A task has the inner body from the start.
    pub(super) fn drive_by_task(&mut self) {
        self.producer = Producer::Task;
    }

    /// A reader gives the inner body back that it was lent, with what it said, and asks what to do next.
    #[inline]
    pub(super) fn give_back(
        &mut self,
        body: InnerBody,
        data: Option<Bytes>,
        key: usize,
        stream: &Stream,
        waker: &Waker,
        fx: &mut Effects,
    ) -> Turn {
        let had_nothing = data.is_none();
        if let Some(data) = data {
            self.take_in(data, stream, fx);
        }
        self.put_back(body, fx);
        if !had_nothing {
            return self.turn(key, stream, waker, fx);
        }
        // The inner body will wake this reader; it is not to be polled once more before that.
        if let Some(step) = self.step(key, stream) {
            return Turn::Step(step);
        }
        self.wait(key, waker);
        Turn::Wait
    }

    #[inline]
    fn put_back(&mut self, body: InnerBody, fx: &mut Effects) {
        match self.producer {
            Producer::Lent { to_task: false } => self.producer = Producer::Inline(body),
            Producer::Lent { to_task: true } => {
                self.producer = Producer::Task;
                fx.spawned = Some(body);
            }
            _ => fx.dropped = Some(body),
        }
    }

    /// What the inner body said. Called only when nothing of what it said before is left.
    #[inline]
    pub(super) fn take_in(&mut self, data: Bytes, stream: &Stream, fx: &mut Effects) {
        if matches!(self.phase, Phase::Live) {
            self.rest = data;
            self.take_rest(stream, fx);
        }
    }

    fn take_rest(&mut self, stream: &Stream, fx: &mut Effects) {
        let room = self.room(stream);
        self.log.append(
            &mut self.rest,
            &stream.config.rules,
            &stream.registry.keys,
            &room,
            Instant::now,
        );
        if self.log.take_retry_news() {
            // It may stand alone, and then history does not have it.
            let behind = self.readers.iter_mut().filter(|reader| reader.follower.is_none());
            behind.for_each(|reader| reader.retry_due = true);
        }
        if self.log.has_news() {
            fx.observations.extend(self.log.take_news());
        }
    }

    #[inline]
    fn room(&mut self, stream: &Stream) -> Room {
        let foremost = self.readers.foremost().unwrap_or(self.left);
        let rules = &stream.config.rules;
        let counts_tail = !rules.retention.payload || self.log.is_within_oversize();
        Room {
            protected: foremost.next,
            total: foremost.total,
            tail_is_behind: counts_tail && self.tail_is_behind(),
            read_on: stream.config.read_on,
            at_cap: stream.registry.is_at_cap(&stream.config.limits),
        }
    }

    fn tail_is_behind(&mut self) -> bool {
        // Who came too late for the frame that is being passed on waits for its end, and must not wait for others.
        let (in_frame, last) = (self.log.is_within_oversize(), self.log.last());
        let waits =
            |reader: &Reader| in_frame && reader.follower.is_none() && reader.cursor.next > last;
        if self.readers.iter().any(waits) {
            return false;
        }
        let tail = self.log.tail();
        let mut followers = self.readers.iter().filter_map(|reader| reader.follower).peekable();
        followers.peek().is_some() && !followers.any(|follower| tail.is_at_end(follower))
    }

    /// What the task that drives is to do now.
    pub(super) fn drive(
        &mut self,
        stream: &Stream,
        waker: &Waker,
        now: Instant,
        fx: &mut Effects,
    ) -> Drive {
        if !matches!((&self.phase, &self.producer), (Phase::Live, Producer::Task)) {
            return Drive::Stop;
        }
        if self.lingering.as_ref().is_some_and(|lingering| lingering.until <= now) {
            self.lingering = None;
            fx.observations.push(Observation::LingerEnded { resumed: false });
            self.release(fx);
            return Drive::Stop;
        }
        self.driver = Some(waker.clone());
        if !self.rest.is_empty() {
            self.take_rest(stream, fx);
            // The task wakes them only for what it reads itself.
            self.readers.wake_all(&mut fx.wakers);
        }
        let room = self.room(stream);
        self.paused = self.log.is_full(&stream.config.rules, &room);
        if self.paused {
            self.readers.wake_all(&mut fx.wakers);
            return Drive::Pause(self.linger_until());
        }
        if !self.rest.is_empty() {
            return Drive::Yield;
        }
        Drive::Poll(self.linger_until())
    }

    fn linger_until(&self) -> Option<Instant> {
        self.lingering.as_ref().map(|lingering| lingering.until)
    }

    fn unpause(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.paused) { self.driver.take() } else { None }
    }

    #[inline]
    fn unpause_if_room(&mut self, stream: &Stream) -> Option<Waker> {
        if !self.paused {
            return None;
        }
        let room = self.room(stream);
        if self.log.is_full(&stream.config.rules, &room) { None } else { self.unpause() }
    }

    /// The inner body is over. Called only when all that it said is in the log.
    pub(super) fn end(&mut self, ending: Ending, fx: &mut Effects) {
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        self.log.end_producer();
        self.rest = Bytes::new();
        self.producer = Producer::None;
        self.ended_at = Some(Instant::now());
        self.phase = match ending {
            Ending::Finished(trailers) => Phase::Finished(trailers),
            Ending::Aborted(error) => Phase::Aborted(error.map(Arc::new)),
        };
        if self.lingering.take().is_some() {
            fx.observations.push(Observation::LingerEnded { resumed: false });
        }
        self.readers.wake_all(&mut fx.wakers);
    }

    // Takeover

    /// Claims the takeover of an aborted stream.
    pub(super) fn claim(&mut self) -> bool {
        let free = matches!(self.phase, Phase::Aborted(_));
        if free {
            self.phase = Phase::Live;
            self.ended_at = None;
            self.producer = Producer::Claimed(Vec::new());
        }
        free
    }

    /// Whether a takeover is claimed.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.producer, Producer::Claimed(_))
    }

    /// Whether a takeover is claimed; if so, `waker` is woken when that is decided.
    pub(super) fn is_claimed(&mut self, waker: &Waker) -> bool {
        match &mut self.producer {
            Producer::Claimed(waiting) => {
                waiting.retain(|other| !other.will_wake(waker));
                waiting.push(waker.clone());
                true
            }
            _ => false,
        }
    }

    /// The claim led to nothing. Does nothing if it was decided before.
    pub(super) fn release_claim(&mut self, fx: &mut Effects) {
        if let Producer::Claimed(waiting) = &mut self.producer {
            fx.wakers.append(waiting);
            self.end(Ending::Aborted(None), fx);
        }
    }

    /// The claim led to a new inner body, which the caller places or drives in a task.
    pub(super) fn adopted(&mut self, fx: &mut Effects) -> bool {
        let Producer::Claimed(waiting) = std::mem::replace(&mut self.producer, Producer::Task)
        else {
            self.producer = Producer::None;
            return false;
        };
        fx.wakers.extend(waiting);
        self.readers.wake_all(&mut fx.wakers);
        true
    }

    /// The claimant and all others left before the new inner body came.
    pub(super) fn adopted_by_nobody(
        &mut self,
        permit: impl FnOnce() -> Option<(LingerPermit, Instant)>,
        fx: &mut Effects,
    ) {
        if self.readers.is_empty() {
            self.left_alone(permit, fx);
        }
    }

    // Operators and handlers

    /// Ends one response, once what is published now was sent.
    pub(super) fn close(&mut self, key: usize, how: Close) {
        let after = self.log.last() + 1;
        if let Some(reader) = self.readers.get(key) {
            reader.close = Some(Closing { how, after });
        }
    }

    /// Ends all responses of the stream, once what is published now was sent. The inner body is not touched.
    pub(super) fn close_all(&mut self, how: impl Fn() -> Close, fx: &mut Effects) {
        let after = self.log.last() + 1;
        self.readers
            .iter_mut()
            .for_each(|reader| reader.close = Some(Closing { how: how(), after }));
        self.readers.wake_all(&mut fx.wakers);
    }

    /// Notes that the end is being sent to a client that has all events.
    pub(super) fn tell_end(&mut self) {
        self.end_told = true;
    }

    /// Notes that the loss of the rest is being told.
    pub(super) fn tell_loss(&mut self) -> Position {
        self.loss_told = true;
        Position { generation: self.log.generation() + 1, offset: self.log.last() }
    }

    // Memory and time

    /// Heap that the stream takes.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        self.log.heap_bytes() + self.readers.heap_bytes() + self.rest.len()
    }

    /// Takes how many bytes more or less than when it was last asked.
    #[inline]
    pub(super) fn take_growth(&mut self) -> isize {
        let bytes = self.heap_bytes();
        let growth = bytes.wrapping_sub(self.accounted) as isize;
        self.accounted = bytes;
        growth
    }

    /// The first event that somebody has still to read, as far as that protects it.
    fn protected(&self, stream: &Stream) -> u64 {
        if stream.config.read_on || !matches!(self.phase, Phase::Live) && self.readers.is_empty() {
            return u64::MAX;
        }
        self.readers.foremost().unwrap_or(self.left).next
    }

    /// Does what time brings. Returns whether the stream is over and forgotten.
    pub(super) fn sweep(&mut self, stream: &Stream, now: Instant, fx: &mut Effects) -> bool {
        self.log.sweep(&stream.config.rules, &stream.registry.keys, self.protected(stream), now);
        fx.wakers.extend(self.unpause_if_room(stream));
        let age = stream.config.rules.retention.age;
        let over = self.ended_at.is_some_and(|ended| now.saturating_duration_since(ended) >= age);
        over && self.readers.is_empty()
    }

    /// Gives up the oldest events that nobody has still to read. Returns whether there were any.
    pub(super) fn give_up_oldest(&mut self, stream: &Stream) -> bool {
        let protected = self.protected(stream);
        self.log.drop_oldest(protected, Instant::now())
    }

    /// In which order streams are evicted.
    pub(super) fn eviction_class(&self) -> EvictionClass {
        match self.phase {
            _ if !self.readers.is_empty() => EvictionClass::Read,
            Phase::Finished(_) | Phase::Purged => EvictionClass::Finished,
            Phase::Aborted(_) => EvictionClass::Aborted,
            Phase::Live => EvictionClass::Unread,
        }
    }

    pub(super) fn accounted(&self) -> usize {
        self.accounted
    }

    /// Ends the stream and forgets all of it.
    pub(super) fn purge(&mut self, fx: &mut Effects) {
        self.end(Ending::Aborted(None), fx);
        if let Producer::Inline(body) = std::mem::replace(&mut self.producer, Producer::None) {
            fx.dropped = Some(body);
        }
        self.phase = Phase::Purged;
        self.log.clear(Instant::now());
        self.readers.wake_all(&mut fx.wakers);
        fx.wakers.extend(self.driver.take());
    }
}

fn fail(kind: ResumeErrorKind) -> Step {
    Step::Fail(ResumeError::new(kind))
}
