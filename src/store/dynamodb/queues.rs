//! Removes the queues of instances that died: the table says of each queue until when it is not one of those.

use super::inbox::Queue;
use super::item::{Change, Place, SORT, number, text};
use super::server::Range;
use super::streams::Streams;
use crate::store::Error;
use crate::store::hex::hex;

/// How long after its instance was seen a queue stays, in milliseconds: a day. Who lives without its queue makes another
/// one.
const KEPT: u64 = 86_400_000;

impl Streams {
    fn queues(&self) -> String {
        self.server.partition("queues")
    }

    /// Notes that this instance has its queue.
    pub(super) async fn note_queue(&self) -> Result<(), Error> {
        let Some(Queue { url: Some(url), subscription: Some(subscription) }) = self.queue() else {
            return Ok(());
        };
        let place = Place::new(self.queues(), hex(&url));
        let until = self.server.clock.latest() + KEPT;
        let attributes =
            [("url", text(url)), ("subscription", text(subscription)), ("until", number(until))];
        Ok(self.server.write(vec![Change::put(place, attributes)]).await?)
    }

    /// Removes the queues of those who were not seen for long.
    pub(super) async fn remove_queues(&self) -> Result<(), Error> {
        for item in self.server.all(&Range::all(self.queues())).await? {
            if item.number::<u64>("until")? > self.server.clock.earliest() {
                continue;
            }
            let (url, subscription) = (item.text("url")?, item.text("subscription")?);
            let queue = Queue { url: Some(url.into()), subscription: Some(subscription.into()) };
            // While that is not possible, another sweep does it.
            if self.remove_queue(&queue).await.is_err() {
                continue;
            }
            let place = Place::new(self.queues(), item.text(SORT)?);
            self.server.write(vec![Change::delete(place)]).await?;
        }
        Ok(())
    }
}
