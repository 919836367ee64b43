//! What a reader gets next, and where readers come and go.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::{Phase, Producer, Start, State, Turn, fail};
use crate::config::SlowReader;
use crate::error::{ResumeError, ResumeErrorKind};
use crate::log::{Cursor, Found};
use crate::observer::Observation;
use crate::resume::position::Position;
use crate::resume::{Gap, GapReason};
use crate::sse::encode;
use crate::stream::effects::Effects;
use crate::stream::readers::{Close, Closing, Reader};
use crate::stream::{Permitted, Step, Stream};

impl State {
    pub(in crate::stream) fn attach(
        &mut self,
        start: Start,
        stream: &Stream,
        fx: &mut Effects,
    ) -> usize {
        let mut reader = Reader::new(self.log.cursor(start.next), start.told, self.retry_changes);
        reader.retry_due = start.retry_due && self.log.retry().is_some();
        // A second reader must not depend on whether the first one's socket takes anything.
        if stream.runtime.is_some() && !self.readers.is_empty() {
            self.move_to_task(fx);
        }
        if self.lingering.take().is_some() {
            fx.observations.push(Observation::LingerEnded { resumed: true });
            fx.wakers.extend(self.driver.take());
        }
        // It may be ahead of those for whom the inner body is held back.
        fx.wakers.extend(self.unpause());
        let key = self.readers.insert(reader);
        self.follow(key, stream);
        key
    }

    /// Has a reader take what is published from now on if it has all there is, also if it does not ask for it yet: what
    /// is not recorded is there only for those who follow.
    ///
    /// Where no payload is kept, what it lacks will never be there, so it follows, too, unless a takeover is about to go
    /// back to where it is.
    fn follow(&mut self, key: usize, stream: &Stream) {
        let (next, gives_up) = (self.log.last() + 1, !stream.config.rules.retention.payload);
        let (in_frame, is_undecided) = (self.log.is_within_oversize(), self.is_undecided());
        let Some(reader) = self.readers.get(key) else { return };
        if reader.follower().is_some() || in_frame {
            return;
        }
        let first = reader.cursor().next;
        if first < next {
            if !gives_up || is_undecided {
                return;
            }
            reader.skipped_from = first;
            self.readers.move_to(key, self.log.cursor(next));
        }
        let follower = self.log.tail().follow();
        self.readers.set_follower(key, Some(follower));
    }

    /// The same for all.
    pub(in crate::stream) fn follow_all(&mut self, stream: &Stream) {
        for key in self.readers.keys() {
            self.follow(key, stream);
        }
    }

    /// Removes a reader; `permit` is asked whether an inner body may be read on without any.
    pub(in crate::stream) fn detach(
        &mut self,
        key: usize,
        permit: impl FnOnce() -> Permitted,
        fx: &mut Effects,
    ) {
        let Some(reader) = self.readers.remove(key) else { return };
        if let Some(follower) = reader.follower() {
            self.log.tail().leave(follower);
        }
        let cursor = reader.cursor();
        fx.stale.extend(reader.into_waker());
        if matches!(self.producer, Producer::Lent { to, .. } if to == key) {
            // Code of others, such as an observer, panicked while the reader had it: it does not come back.
            self.release(fx);
        }
        if !self.readers.is_empty() {
            // Where readers drive by themselves, the one that left may have been whom the inner body would wake.
            if matches!(self.producer, Producer::Inline(_)) {
                self.readers.wake_all(&mut fx.wakers);
            }
            fx.wakers.extend(self.unpause());
            return;
        }
        self.left = cursor;
        if matches!(self.phase, Phase::Live) {
            self.left_alone(permit, fx);
        }
    }

    /// What a reader is to do. If that is to wait, `waker` is woken when it is worth asking again.
    #[inline]
    pub(in crate::stream) fn turn(
        &mut self,
        key: usize,
        stream: &Stream,
        waker: &Waker,
        fx: &mut Effects,
    ) -> Turn {
        loop {
            if let Some(step) = self.step(key, stream) {
                if let Some(driver) = self.unpause_if_room(stream) {
                    fx.wakers.push(driver);
                }
                return Turn::Step(step);
            }
            if matches!(self.producer, Producer::Inline(_)) {
                if self.rest.is_empty() {
                    return self.take_inline(key).map_or(Turn::Wait, Turn::Drive);
                }
                let left = self.rest.len();
                self.take_rest(stream, fx);
                if self.rest.len() < left {
                    if self.readers.len() > 1 {
                        self.readers.wake_all(&mut fx.wakers);
                    }
                    continue;
                }
                // There is room once another reader has taken what waits for it, and so it takes the rest.
            }
            self.wait(key, waker, fx);
            return Turn::Wait;
        }
    }

    /// Has a reader woken when it is worth asking again.
    #[inline]
    pub(in crate::stream) fn wait(&mut self, key: usize, waker: &Waker, fx: &mut Effects) {
        fx.stale.extend(self.readers.wait(key, waker));
    }

    /// The next thing that a reader gets, if it is there.
    #[inline]
    pub(in crate::stream) fn step(&mut self, key: usize, stream: &Stream) -> Option<Step> {
        loop {
            let reader = self.readers.get(key)?;
            if let Some(close) = reader.due_close() {
                return Some(Step::Close(close));
            }
            if reader.skipped_from > 0 {
                return self.skip(key, stream);
            }
            // Nothing may come between the pieces of a frame.
            let next = reader.cursor().next;
            let untold = || self.log.untold(reader.told, next);
            if let Some((generation, reason)) = (!reader.within_frame).then(untold).flatten() {
                reader.told = generation;
                return Some(self.generation_gap(key, generation, reason));
            }
            let reads_history = reader.follower().is_none();
            let news = reads_history && reader.retry_told != self.retry_changes;
            if std::mem::take(&mut reader.retry_due) || news {
                reader.retry_told = self.retry_changes;
                if let Some(retry) = self.log.retry() {
                    return Some(Step::Data(encode::retry(retry)));
                }
            }
            let Some(mut follower) = reader.follower() else {
                match self.read_history(key, stream) {
                    Some(step) => return Some(step),
                    None if self.log.is_within_oversize() => return None,
                    // The store has not got the rest yet.
                    None if self.visible <= self.log.last() => return None,
                    None => {
                        let follower = self.log.tail().follow();
                        self.readers.set_follower(key, Some(follower));
                        continue;
                    }
                }
            };
            let next = self.log.tail().next_of(follower);
            if next.is_some_and(|next| next > self.visible) {
                return None;
            }
            if let Some(taken) = self.log.tail().take(&mut follower) {
                reader.within_frame = taken.within_frame;
                reader.begun = true;
                self.readers.advance(key, follower, Cursor::before(taken.next, taken.total));
                return Some(Step::Data(taken.bytes));
            }
            if !self.log.tail().has_lost(follower) {
                return self.at_the_end(key);
            }
            self.log.tail().leave(follower);
            reader.retry_due = true;
            let (cursor, within_frame) = (reader.cursor(), reader.within_frame);
            self.readers.set_follower(key, None);
            if within_frame {
                return Some(fail(ResumeErrorKind::TooSlow));
            }
            self.readers.move_to(key, self.log.cursor(cursor.next));
        }
    }

    /// The next thing for a reader that is behind; `None` if it is not any more.
    pub(in crate::stream) fn read_history(&mut self, key: usize, stream: &Stream) -> Option<Step> {
        let mut cursor = self.readers.get(key)?.cursor();
        let next = cursor.next;
        if next > self.log.last() {
            return None;
        }
        let found = self.log.read(&mut cursor, self.visible, Instant::now);
        self.readers.move_to(key, cursor);
        let step = match found {
            Found::Frames(bytes) => {
                self.readers.get(key)?.begun = true;
                Step::Data(bytes)
            }
            Found::Missing { resumed, reason } => {
                self.missing(key, next, resumed, reason, stream)?
            }
            Found::End => return None,
        };
        self.follow(key, stream);
        Some(step)
    }

    /// What a reader gets that will never have what is before its cursor.
    #[cold]
    fn skip(&mut self, key: usize, stream: &Stream) -> Option<Step> {
        let reader = self.readers.get(key)?;
        let (first, resumed) = (std::mem::take(&mut reader.skipped_from), reader.cursor().next - 1);
        self.missing(key, first, resumed, GapReason::Evicted, stream)
    }

    /// What a reader gets in place of the events from `first` to `resumed`.
    fn missing(
        &mut self,
        key: usize,
        first: u64,
        resumed: u64,
        reason: GapReason,
        stream: &Stream,
    ) -> Option<Step> {
        let reader = self.readers.get(key)?;
        let slow = reader.begun && matches!(reason, GapReason::Evicted | GapReason::Expired);
        if slow && stream.config.slow_reader == SlowReader::Disconnect {
            return Some(fail(ResumeErrorKind::TooSlow));
        }
        let reason = if slow { GapReason::TooSlow } else { reason };
        let generation = self.log.generation_of(resumed);
        reader.told = reader.told.max(generation);
        let missed = Some(resumed + 1 - first);
        let gap = Gap { requested: Some(first - 1), resumed, missed, reason };
        Some(Step::Gap(Box::new((gap, Position { generation, offset: resumed }))))
    }

    /// What a reader is told that passes into a generation which does not go on exactly.
    #[cold]
    pub(in crate::stream) fn generation_gap(
        &mut self,
        key: usize,
        generation: u32,
        reason: GapReason,
    ) -> Step {
        let next = self.readers.get(key).map_or(1, |reader| reader.cursor().next);
        let gap = Gap { requested: Some(next - 1), resumed: next - 1, missed: None, reason };
        Step::Gap(Box::new((gap, Position { generation, offset: next - 1 })))
    }

    /// What a reader gets that has all there is.
    #[inline]
    pub(in crate::stream) fn at_the_end(&mut self, key: usize) -> Option<Step> {
        let goes_on = matches!(self.phase, Phase::Live) || !self.is_end_visible();
        if goes_on { None } else { Some(self.last_step(key)) }
    }

    #[cold]
    pub(in crate::stream) fn last_step(&mut self, key: usize) -> Step {
        let within_frame = self.readers.get(key).is_some_and(|reader| reader.within_frame);
        match &self.phase {
            Phase::Finished(_) if within_frame => fail(ResumeErrorKind::ProducerLost),
            Phase::Finished(trailers) => Step::End(trailers.clone()),
            Phase::Suspended => fail(ResumeErrorKind::ProducerLost),
            Phase::Aborted(Some(error)) => Step::Fail(ResumeError::inner(Arc::clone(error))),
            Phase::Purged => fail(ResumeErrorKind::Purged),
            Phase::Live | Phase::Aborted(None) => fail(ResumeErrorKind::ProducerLost),
        }
    }

    /// Ends one response, once what is published now was sent.
    pub(in crate::stream) fn close(&mut self, key: usize, how: Close) {
        let after = self.log.last() + 1;
        if let Some(reader) = self.readers.get(key) {
            reader.close = Some(Box::new(Closing { how, after }));
        }
    }

    /// Ends all responses of the stream, once what is published now was sent. The inner body is not touched.
    pub(in crate::stream) fn close_all(&mut self, how: impl Fn() -> Close, fx: &mut Effects) {
        let after = self.log.last() + 1;
        self.readers
            .iter_mut()
            .for_each(|reader| reader.close = Some(Box::new(Closing { how: how(), after })));
        self.readers.wake_all(&mut fx.wakers);
    }

    /// Ends all other responses than that of `key`, once what is published now was sent. Those that others superseded
    /// before are ending already.
    pub(in crate::stream) fn supersede(&mut self, key: usize, how: Close, fx: &mut Effects) {
        if let Some(superseded) = self.readers.supersede(key) {
            self.close(superseded, how);
            fx.wakers.extend(self.readers.take_waker(superseded));
        }
    }

    /// Notes that the end is being sent to a client that has all events.
    pub(in crate::stream) fn tell_end(&mut self) {
        self.end_told = true;
    }

    /// Notes that the loss of the rest is being told.
    pub(in crate::stream) fn tell_loss(&mut self) -> Position {
        self.loss_told = true;
        Position { generation: self.log.generation() + 1, offset: self.log.last() }
    }
}
