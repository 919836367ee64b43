//! Notices what other connections wrote, in this process or another one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::SqliteOptions;
use super::database::Database;
use super::streams::{self, Seen};
use crate::store::wakeup::Wakeups;
use crate::store::{Error, ErrorKind};

/// A thread that looks for news while somebody waits for some. It ends when this is dropped.
pub(super) struct Watch(Arc<Demand>);

#[derive(Default)]
struct Demand {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiters: usize,
    over: bool,
}

/// As long as this lives, the thread looks.
pub(super) struct Watching<'a>(&'a Demand);

impl Watch {
    pub(super) async fn start(
        options: &SqliteOptions,
        wakeups: Arc<Wakeups>,
    ) -> Result<Self, Error> {
        let demand = Arc::new(Demand::default());
        let (answer, opened) = oneshot::channel();
        let (options, its_demand) = (options.clone(), Arc::clone(&demand));
        let work = move || match Database::open(&options) {
            Ok(database) => {
                let _ = answer.send(Ok(()));
                look_for_news(database, options.look_every, &its_demand, &wakeups);
            }
            Err(error) => drop(answer.send(Err(error))),
        };
        let thread = thread::Builder::new().name("sse-resume-sqlite".into());
        thread.spawn(work).map_err(|error| Error::new(ErrorKind::Failed, error))?;
        let opened = opened.await;
        opened.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Failed, "the store did not open").into())
        })?;
        Ok(Self(demand))
    }

    pub(super) fn watching(&self) -> Watching<'_> {
        self.0.lock().waiters += 1;
        self.0.changed.notify_all();
        Watching(&self.0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.lock().waiters -= 1;
    }
}

impl Demand {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody waits. `false`: it is over.
    fn is_there(&self) -> bool {
        let idle = |state: &mut State| state.waiters == 0 && !state.over;
        let state = self.changed.wait_while(self.lock(), idle);
        !state.unwrap_or_else(PoisonError::into_inner).over
    }
}

fn look_for_news(mut database: Database, every: Duration, demand: &Demand, wakeups: &Wakeups) {
    let (mut version, mut seen) = (None, None);
    while demand.is_there() {
        // Who begins to wait looks first, so nothing is missed before the first look of this thread.
        if look_once(&mut database, &mut version, &mut seen, wakeups).is_err() {
            // What cannot be found out may have happened.
            (version, seen) = (None, None);
            wakeups.wake_all();
        }
        thread::sleep(every);
    }
}

fn look_once(
    database: &mut Database,
    version: &mut Option<i64>,
    seen: &mut Option<Seen>,
    wakeups: &Wakeups,
) -> Result<(), Error> {
    let now = Some(database.data_version()?);
    if now == *version {
        return Ok(());
    }
    let news = streams::news(database, *seen)?;
    match news.changed {
        Some(changed) => changed.iter().for_each(|stream| wakeups.wake(stream)),
        None => wakeups.wake_all(),
    }
    (*version, *seen) = (now, Some(news.seen));
    Ok(())
}
