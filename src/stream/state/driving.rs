//! Who polls the inner body, what it said, and how it ends.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Drive, Ending, Lingering, Phase, Producer, Released, State};
use crate::driver::InnerBody;
use crate::log::{Cursor, Room};
use crate::observer::Observation;
use crate::stream::effects::Effects;
use crate::stream::readers::Reader;
use crate::stream::{Permitted, Step, Stream};

impl State {
    /// Puts the inner body where its readers drive it, unless the stream was purged meanwhile.
    pub(in crate::stream) fn place(&mut self, body: InnerBody, fx: &mut Effects) {
        match self.phase {
            Phase::Live => self.producer = Producer::Inline(body),
            _ => fx.dropped = Some(body),
        }
    }

    /// A task has the inner body from the start.
    pub(in crate::stream) fn drive_by_task(&mut self) {
        self.producer = Producer::Task;
    }

    /// A task drives from now on.
    pub(in crate::stream) fn move_to_task(&mut self, fx: &mut Effects) {
        match std::mem::replace(&mut self.producer, Producer::Task) {
            Producer::Inline(body) => fx.spawned = Some((body, self.bodies)),
            Producer::Lent { to, .. } => self.producer = Producer::Lent { to, to_task: true },
            other => self.producer = other,
        }
    }

    /// The inner body for a reader that has all there is and drives. That is the normal case, and nothing but a poll
    /// follows from it; in all others [`turn`](Self::turn) tells.
    #[inline]
    pub(in crate::stream) fn lend(&mut self, key: usize) -> Option<InnerBody> {
        if self.rest.is_empty() && self.has_all(key) { self.take_inline(key) } else { None }
    }

    /// Takes the inner body back from a reader for which it had nothing, and lets that wait. As normal, and as
    /// little; in all other cases the inner body is returned, for [`give_back`](Self::give_back).
    #[inline]
    pub(in crate::stream) fn take_back(
        &mut self,
        body: InnerBody,
        key: usize,
        waker: &Waker,
    ) -> Option<InnerBody> {
        let stays = matches!(self.producer, Producer::Lent { to_task: false, .. });
        if !stays || !self.has_all(key) || !self.readers.wait_as_before(key, waker) {
            return Some(body);
        }
        self.end_loan(body);
        None
    }

    /// The inner body is where its readers drive it again.
    #[inline]
    pub(in crate::stream) fn end_loan(&mut self, body: InnerBody) {
        let loan = std::mem::replace(&mut self.producer, Producer::Inline(body));
        debug_assert!(matches!(loan, Producer::Lent { .. }));
        // There is nothing in it to drop, and to find that out for each event costs, too.
        std::mem::forget(loan);
    }

    /// Whether a reader follows, and there is nothing to send it or to tell it.
    #[inline]
    pub(in crate::stream) fn has_all(&mut self, key: usize) -> bool {
        let Some(reader) = self.readers.get(key) else { return false };
        let Some(follower) = reader.follower() else { return false };
        self.log.tail().is_at_end(follower)
            && !reader.retry_due
            && reader.skipped_from == 0
            && reader.close.is_none()
            && self.log.untold(reader.told, reader.cursor().next).is_none()
    }

    #[inline]
    pub(in crate::stream) fn take_inline(&mut self, key: usize) -> Option<InnerBody> {
        if !matches!(self.producer, Producer::Inline(_)) {
            return None;
        }
        match std::mem::replace(&mut self.producer, Producer::Lent { to: key, to_task: false }) {
            Producer::Inline(body) => Some(body),
            _ => None,
        }
    }

    /// Whether the only reader gives the inner body back, which it was lent while it had all there is, so that all
    /// that the inner body said now is for this reader alone. Without the inner body nothing is published, so that what
    /// can have come meanwhile is an end of the response.
    #[inline]
    fn is_alone(&mut self, key: usize) -> bool {
        let stays = matches!(self.producer, Producer::Lent { to_task: false, .. });
        let goes_on = |reader: &mut Reader| reader.close.is_none() && reader.follower().is_some();
        stays && self.readers.len() == 1 && self.readers.get(key).is_some_and(goes_on)
    }

    /// Hands [the only reader](Self::is_alone) what the inner body said, if that is one event without anything special:
    /// the normal case. In all others nothing has happened, and [`give_back`](Self::give_back) takes it in.
    #[inline]
    pub(in crate::stream) fn pass(
        &mut self,
        data: &[u8],
        key: usize,
        stream: &Stream,
    ) -> Option<Bytes> {
        if !self.is_alone(key) {
            return None;
        }
        let piece = self.log.pass(data, &stream.config.rules, Instant::now)?;
        let cursor = Cursor::before(self.log.last() + 1, self.log.total());
        self.readers.move_to(key, cursor);
        if let Some(reader) = self.readers.get(key) {
            reader.begun = true;
        }
        Some(piece)
    }

    /// A reader gives the inner body back that it was lent, with what it said.
    pub(in crate::stream) fn give_back(
        &mut self,
        body: InnerBody,
        data: Bytes,
        stream: &Stream,
        fx: &mut Effects,
    ) {
        self.take_in(data, stream, fx);
        // Where no task drives, or one will only from now on, nobody else tells the others.
        if self.readers.len() > 1 {
            self.readers.wake_all(&mut fx.wakers);
        }
        self.put_back(body, fx);
    }

    /// A reader gives the inner body back that it was lent and that had nothing. That will wake this reader, and is
    /// not to be polled once more before.
    pub(in crate::stream) fn step_or_wait(
        &mut self,
        body: InnerBody,
        key: usize,
        stream: &Stream,
        waker: &Waker,
        fx: &mut Effects,
    ) -> Option<Step> {
        self.put_back(body, fx);
        let step = self.step(key, stream);
        if step.is_none() {
            self.wait(key, waker, fx);
        }
        step
    }

    #[inline]
    pub(in crate::stream) fn put_back(&mut self, body: InnerBody, fx: &mut Effects) {
        match self.producer {
            Producer::Lent { to_task: false, .. } => self.producer = Producer::Inline(body),
            Producer::Lent { to_task: true, .. } => {
                self.producer = Producer::Task;
                fx.spawned = Some((body, self.bodies));
            }
            _ => fx.dropped = Some(body),
        }
    }

    /// What the inner body said. Called only when nothing of what it said before is left.
    #[inline]
    pub(in crate::stream) fn take_in(&mut self, data: Bytes, stream: &Stream, fx: &mut Effects) {
        if matches!(self.phase, Phase::Live) {
            self.append(data, stream, fx);
        }
    }

    pub(in crate::stream) fn take_rest(&mut self, stream: &Stream, fx: &mut Effects) {
        let rest = std::mem::take(&mut self.rest);
        self.append(rest, stream, fx);
    }

    /// What there is no room for becomes the rest; what was taken is let go of.
    #[inline]
    pub(in crate::stream) fn append(&mut self, mut data: Bytes, stream: &Stream, fx: &mut Effects) {
        let room = self.room(stream);
        let is_within_frame = self.log.is_within_oversize();
        self.log.append(
            &mut data,
            &stream.config.rules,
            &stream.registry.keys,
            &room,
            Instant::now,
        );
        if !data.is_empty() {
            self.rest = data;
        }
        if is_within_frame && !self.log.is_within_oversize() {
            self.follow_all(stream);
        }
        if self.log.take_retry_news() {
            // It may stand alone, and then history does not have it: those who read that are told.
            self.retry_changes = self.retry_changes.wrapping_add(1);
        }
        if self.log.has_news() {
            fx.observations.extend(self.log.take_news());
        }
    }

    #[inline]
    pub(in crate::stream) fn room(&mut self, stream: &Stream) -> Room {
        let foremost = self.readers.foremost().map_or(self.left, Reader::cursor);
        let rules = &stream.config.rules;
        Room {
            protected: foremost.next,
            bounded_before: self.bounded_before(stream),
            total: foremost.total,
            frame_is_awaited: self.log.is_within_oversize() && self.frame_is_awaited(),
            read_on: stream.config.read_on,
            at_cap: stream.registry.is_at_cap(&stream.config.limits),
            keeps_last: rules.keeps_last,
        }
    }

    /// Whether somebody came too late for the frame that is being passed on: they wait for its end, and must not wait
    /// for others.
    #[cold]
    fn frame_is_awaited(&self) -> bool {
        let last = self.log.last();
        let waits = |reader: &Reader| reader.follower().is_none() && reader.cursor().next > last;
        self.readers.foremost().is_some_and(waits)
    }

    /// The number of the inner body that there is, or was last.
    pub(in crate::stream) fn body(&self) -> u32 {
        self.bodies
    }

    /// Whether a task drives this inner body, by its number. If not, that was let go of.
    pub(in crate::stream) fn is_driven_by(&self, body: u32) -> bool {
        matches!((&self.phase, &self.producer), (Phase::Live, Producer::Task))
            && self.bodies == body
    }

    /// What the task that drives this inner body is to do now.
    pub(in crate::stream) fn drive(
        &mut self,
        body: u32,
        stream: &Stream,
        waker: &Waker,
        now: Instant,
        fx: &mut Effects,
    ) -> Drive {
        if !self.is_driven_by(body) {
            return Drive::Stop;
        }
        if self.lingering.as_ref().is_some_and(|lingering| lingering.until <= now) {
            self.lingering = None;
            fx.observations.push(Observation::LingerEnded { resumed: false });
            self.release(fx);
            return Drive::Stop;
        }
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            fx.stale.extend(self.driver.replace(waker.clone()));
        }
        if !self.rest.is_empty() {
            self.take_rest(stream, fx);
            // The task wakes them only for what it reads itself.
            self.readers.wake_all(&mut fx.wakers);
        }
        let room = self.room(stream);
        self.paused = self.log.is_full(&stream.config.rules, &room);
        if self.paused {
            self.note_held_back(fx);
            self.readers.wake_all(&mut fx.wakers);
            return Drive::Pause(self.linger_until());
        }
        if !self.rest.is_empty() {
            return Drive::Yield;
        }
        Drive::Poll(self.linger_until())
    }

    /// The inner body is held back: if nobody reads, that is told once each time.
    #[cold]
    fn note_held_back(&mut self, fx: &mut Effects) {
        let Some(lingering) = &mut self.lingering else { return };
        if !std::mem::replace(&mut lingering.was_held_back, true) {
            fx.observations.push(Observation::HeldBack);
        }
    }

    pub(in crate::stream) fn linger_until(&self) -> Option<Instant> {
        self.lingering.as_ref().map(|lingering| lingering.until)
    }

    pub(in crate::stream) fn unpause(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.paused) { self.driver.take() } else { None }
    }

    #[inline]
    pub(in crate::stream) fn unpause_if_room(&mut self, stream: &Stream) -> Option<Waker> {
        if !self.paused {
            return None;
        }
        let room = self.room(stream);
        if self.log.is_full(&stream.config.rules, &room) { None } else { self.unpause() }
    }

    /// The last reader of a live stream has left.
    pub(in crate::stream) fn left_alone(
        &mut self,
        permit: impl FnOnce() -> Permitted,
        fx: &mut Effects,
    ) {
        // Before its call, a claim is held by a request that is there.
        if self.is_undecided() && !self.is_being_called() {
            return;
        }
        match permit() {
            Ok((permit, until)) => {
                self.lingering =
                    Some(Box::new(Lingering { until, _permit: permit, was_held_back: false }));
                fx.observations.push(Observation::LingerBegan);
                self.move_to_task(fx);
            }
            Err(full) => {
                fx.observations.extend(full.map(|limit| Observation::LimitReached { limit }));
                self.release(fx);
            }
        }
        fx.wakers.extend(self.driver.take());
    }

    /// Drops the inner body of a live stream that nobody reads; `None`: there was none.
    pub(in crate::stream) fn release_unread(&mut self, fx: &mut Effects) -> Option<Released> {
        let has_body = matches!(self.phase, Phase::Live) && !self.is_undecided();
        if !has_body || !self.readers.is_empty() {
            return None;
        }
        let by_task = matches!(self.producer, Producer::Task);
        let released = by_task.then(|| self.await_release()).flatten();
        self.release(fx);
        Some(Released(released))
    }

    /// Drops the inner body before it has ended.
    pub(in crate::stream) fn release(&mut self, fx: &mut Effects) {
        self.end(Ending::Aborted(None), fx);
    }

    /// The inner body is over. Called only when all that it said is in the log.
    pub(in crate::stream) fn end(&mut self, ending: Ending, fx: &mut Effects) {
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        self.log.end_producer();
        let ending = self.judge(ending);
        self.end_exchange();
        self.rest = Bytes::new();
        match std::mem::replace(&mut self.producer, Producer::None) {
            Producer::Inline(body) => fx.dropped = Some(body),
            other => fx.decided = other.into_decided(),
        }
        self.ended_at = Some(Instant::now());
        fx.wakers.extend(self.driver.take());
        self.phase = match ending {
            Ending::Finished(trailers) => Phase::Finished(trailers),
            Ending::Suspended => Phase::Suspended,
            Ending::Aborted(error) => Phase::Aborted(error.map(Arc::new)),
        };
        if self.lingering.take().is_some() {
            fx.observations.push(Observation::LingerEnded { resumed: false });
        }
        self.readers.wake_all(&mut fx.wakers);
    }
}
