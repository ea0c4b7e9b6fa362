//! A connection with a thread of its own.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use std::thread;

use rusqlite::Connection;

use super::failure::Place;
use crate::caught::caught;
use crate::oneshot;
use crate::store::StoreError;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Runs jobs on a connection, one after the other, in a thread that ends when this is dropped:
/// jobs that wait by then are still done where somebody waits for them.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    place: Arc<Place>,
}

impl Worker {
    pub(super) fn spawn(
        name: &str,
        mut connection: Connection,
        place: &Arc<Place>,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in waiting {
                    // A transaction that a panic leaves open is rolled back as it unwinds.
                    caught(|| job(&mut connection));
                }
            })
            .map_err(|error| place.io("cannot start a thread for", error))?;
        Ok(Self {
            jobs,
            place: Arc::clone(place),
        })
    }

    /// Queues a job at once, and is its answer. A job whose answer nobody waits for when its turn
    /// comes is left out.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !answer.is_abandoned() {
                answer.send(job(connection));
            }
        });
        // Refused only by a thread that is gone, and then the answer is that there is none.
        let _ = self.jobs.send(job);
        let place = Arc::clone(&self.place);
        async move {
            match answered.await {
                Some(answer) => answer,
                None => Err(place.gave_up()),
            }
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
