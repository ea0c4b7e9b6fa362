//! When a pull may be worth it: a look at the end of the log each millisecond, while a caller waits for it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tower_api_key::store::{StoreError, caught};

use crate::place::Place;
use crate::worker::{Job, Worker};

/// How often the end of the log is looked at. A look takes some microseconds.
const EACH: Duration = Duration::from_millis(1);

/// Who waits for a hint, and what was answered last.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// The end of the log at the last answer.
    told: AtomicI64,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Hints {
    /// A thread that has no connection yet, which reads and gives these hints.
    pub(crate) fn start(
        name: &str,
        place: &Arc<Place>,
        hints: &Arc<Self>,
    ) -> Result<Worker, StoreError> {
        let hints = Arc::clone(hints);
        Worker::serving(name, place, move |jobs, _| hints.serve(jobs))
    }

    /// The end of the log that an answer had.
    pub(super) fn told(&self, seq: i64) {
        self.told.store(seq, Ordering::Relaxed);
    }

    /// Sends a hint when there is a change that no answer had.
    pub(super) fn want(&self, hint: oneshot::Sender<()>, feed: &Worker) {
        self.waiting().push(hint);
        // It looks from now on.
        feed.wake();
    }

    /// Runs jobs until no sender is left, and looks in between.
    fn serve(&self, jobs: &mpsc::Receiver<Job>) {
        let mut connection = None;
        loop {
            let job = if self.any_waits() {
                jobs.recv_timeout(EACH)
            } else {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match job {
                Ok(job) => {
                    // A transaction that a panic leaves open is rolled back as it unwinds.
                    caught(|| job(&mut connection));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if connection.as_ref().is_some_and(|it| self.has_changed(it)) {
                        self.give();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn any_waits(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.retain(|hint| !hint.is_closed());
        !waiting.is_empty()
    }

    /// An error is for the next call to find.
    fn has_changed(&self, connection: &Connection) -> bool {
        let last = connection
            .prepare_cached("SELECT max(seq) FROM api_key_changes")
            .and_then(|mut last| last.query_row([], |row| row.get::<_, Option<i64>>(0)));
        last.is_ok_and(|seq| seq != Some(self.told.load(Ordering::Relaxed)))
    }

    fn give(&self) {
        for hint in self.waiting().drain(..) {
            // If the receiver has gone, nobody waits.
            let _ = hint.send(());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
