//! Reads an inner body into its stream's log: inline, as part of a reader's own poll, or as a task.
//!
//! Inline is the normal case: one client, no task, no channel, no wake-up between them. A task takes over when the
//! client leaves, or when a second one comes.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::BoxError;
use crate::stream::{Drive, Effects, Ending, Step, Stream, Turn};

/// What one poll reads before it lets others run, in bytes.
const MOST_AT_ONCE: usize = 64 * 1024;
/// What a poll of an inner body counts as at the least: one that says little costs time, too.
const LEAST_AT_ONCE: usize = 64;

/// The body of an inner response, with its types erased.
pub(crate) type InnerBody = Pin<Box<dyn Inner>>;

/// See [`InnerBody`].
pub(crate) trait Inner: Send {
    /// What the body says next; not called again after its end.
    fn poll_said(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Said>;
}

/// What an inner body says.
pub(crate) enum Said {
    Data(Bytes),
    Over(Ending),
}

pin_project! {
    struct Erased<B> {
        #[pin]
        body: B,
        trailers: Option<Box<HeaderMap>>,
    }
}

impl<B> Inner for Erased<B>
where
    B: Body<Data: 'static> + Send,
    B::Error: Into<BoxError>,
{
    fn poll_said(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Said> {
        let mut this = self.project();
        loop {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Said::Over(Ending::Finished(this.trailers.take()))),
                Some(Err(error)) => {
                    return Poll::Ready(Said::Over(Ending::Aborted(Some(error.into()))));
                }
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => return Poll::Ready(Said::Data(into_bytes(data))),
                Err(other) => *this.trailers = other.into_trailers().ok().map(Box::new),
            }
        }
    }
}

/// Without a copy where the data is `Bytes` already.
#[inline]
fn into_bytes<D: Buf + 'static>(mut data: D) -> Bytes {
    match (&mut data as &mut dyn Any).downcast_mut::<Bytes>() {
        Some(bytes) => std::mem::take(bytes),
        None => data.copy_to_bytes(data.remaining()),
    }
}

/// Erases the types of an inner body.
pub(crate) fn erase<B>(body: B) -> InnerBody
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::pin(Erased { body, trailers: None })
}

/// The next step of a reader, which drives the inner body itself if nobody else does.
///
/// What says nothing to the reader, such as comments that become the head of the next block, is read on, but only so
/// much at once.
pub(crate) fn poll_read(stream: &Arc<Stream>, reader: usize, cx: &mut Context<'_>) -> Poll<Step> {
    let mut read = 0;
    loop {
        if read >= MOST_AT_ONCE {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let body = match stream.turn(reader, cx.waker()) {
            Turn::Step(step) => return Poll::Ready(step),
            Turn::Wait => return Poll::Pending,
            Turn::Drive(body) => body,
        };
        if let Some(step) = poll_lent(stream, reader, body, &mut read, cx) {
            return step;
        }
    }
}

/// The same for a reader that has all there is and drives, with nothing looked at that this does not need. `None`:
/// [`poll_read`] tells.
#[inline]
pub(crate) fn poll_inline(
    stream: &Arc<Stream>,
    reader: usize,
    cx: &mut Context<'_>,
) -> Option<Poll<Step>> {
    poll_lent(stream, reader, stream.lend(reader)?, &mut 0, cx)
}

/// Polls an inner body that was lent to a reader, and gives it back. `None`: the reader is to ask again. What was read
/// is added to `read`.
#[inline]
fn poll_lent(
    stream: &Arc<Stream>,
    reader: usize,
    mut body: InnerBody,
    read: &mut usize,
    cx: &mut Context<'_>,
) -> Option<Poll<Step>> {
    let loan = Loan { stream };
    let said = body.as_mut().poll_said(cx);
    std::mem::forget(loan);
    match said {
        Poll::Ready(Said::Data(data)) => {
            *read += data.len().max(LEAST_AT_ONCE);
            stream.pass(body, data, reader).map(|piece| Poll::Ready(Step::Data(piece)))
        }
        Poll::Ready(Said::Over(ending)) => {
            stream.end(ending);
            None
        }
        Poll::Pending => match stream.take_back(body, reader, cx.waker()) {
            Some(step) => Some(Poll::Ready(step)),
            None => Some(Poll::Pending),
        },
    }
}

/// A reader's loan of the inner body, forgotten when that has said something: if polling it panics, the stream is
/// aborted.
struct Loan<'a> {
    stream: &'a Arc<Stream>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.stream.end(Ending::Aborted(None));
    }
}

/// Starts the task that drives `body` from now on. It polls at once, so no wake-up is lost.
pub(crate) fn spawn(stream: &Arc<Stream>, body: InnerBody, number: u32) {
    if let Some(runtime) = &stream.runtime {
        runtime.spawn(drive(Task::new(stream, body, number)));
    }
}

/// Drives an inner body until it is over, or the stream has no more use for it.
///
/// If polling it panics, or the runtime is shut down, perhaps before the first poll, the stream is aborted.
async fn drive(mut task: Task) {
    let mut timer = None;
    let mut fx = Effects::default();
    poll_fn(|cx| poll_drive(&mut task, &mut timer, &mut fx, cx)).await;
    drop(task.body.take());
    task.stream.has_let_go(task.number);
}

/// A task's right to drive, for one inner body: who is let go of has nothing to say of the next one.
pub(crate) struct Task {
    stream: Arc<Stream>,
    number: u32,
    body: Option<InnerBody>,
}

impl Task {
    pub(crate) fn new(stream: &Arc<Stream>, body: InnerBody, number: u32) -> Self {
        Self { stream: Arc::clone(stream), number, body: Some(body) }
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// See [`drive`].
    pub(crate) fn drive(self) -> impl Future<Output = ()> + Send {
        drive(self)
    }

    /// Leaves it to the readers to drive.
    pub(crate) fn place(mut self) {
        if let Some(body) = self.body.take() {
            self.stream.place(body);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.stream.end_by_task(self.number, Ending::Aborted(None));
        }
    }
}

/// Reads until there is nothing, no room, or no use; then wakes the readers, once for all that was read.
fn poll_drive(
    task: &mut Task,
    timer: &mut Option<Pin<Box<Sleep>>>,
    fx: &mut Effects,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Task { stream, number, body: Some(body) } = task else { return Poll::Ready(()) };
    let mut read = 0;
    loop {
        let until = match stream.drive(*number, cx.waker(), fx) {
            Drive::Stop => return Poll::Ready(()),
            Drive::Pause(until) => until,
            Drive::Yield => {
                stream.news(fx);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Drive::Poll(_) if read >= MOST_AT_ONCE => {
                stream.news(fx);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Drive::Poll(until) => match body.as_mut().poll_said(cx) {
                Poll::Ready(Said::Data(data)) => {
                    read += data.len().max(LEAST_AT_ONCE);
                    stream.take_in(*number, data);
                    continue;
                }
                Poll::Ready(Said::Over(ending)) => {
                    stream.end_by_task(*number, ending);
                    return Poll::Ready(());
                }
                Poll::Pending => until,
            },
        };
        if read > 0 {
            stream.news(fx);
        }
        if !poll_timer(timer, until, cx) {
            return Poll::Pending;
        }
    }
}

/// Whether the time has come; else `cx` is woken then.
fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    until: Option<Instant>,
    cx: &mut Context<'_>,
) -> bool {
    let Some(until) = until else {
        *timer = None;
        return false;
    };
    let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if sleep.deadline() != until {
        sleep.as_mut().reset(until);
    }
    sleep.as_mut().poll(cx).is_ready()
}
