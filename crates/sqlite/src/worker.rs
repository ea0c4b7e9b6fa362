//! A connection with a separate thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};
use tower_api_key::store::{StoreError, StoreErrorKind, caught};

use super::checkpoint::{checkpoint, forget_pages};
use super::place::Place;
use tokio::sync::oneshot;

pub(super) type Job = Box<dyn FnOnce(&mut Option<Connection>) + Send>;

/// How long a writer is idle before its log is written to the file.
const IDLE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to do so.
const LONGEST_IDLE: Duration = Duration::from_secs(5);

/// This many jobs, one after the other without a pause, are followed by such an attempt too.
const WITHOUT_PAUSE: u32 = 256;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is that of a connection, and so must not wait for one.
pub(super) fn is_worker_thread() -> bool {
    IS_WORKER.get()
}

/// Runs jobs on a connection, one after the other, in a thread that ends when this is dropped. Jobs that
/// wait by then still run if their answer is wanted.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    place: Arc<Place>,
    /// Whether the thread has a connection, or will have had one until it has closed it.
    open: Arc<AtomicBool>,
    interrupt: Mutex<Option<InterruptHandle>>,
    /// How many look-ups wait for their turn. If the client of one has gone, it keeps its place until
    /// then.
    waiting: Arc<AtomicUsize>,
}

/// How many look-ups may wait for a thread that stalls. As many as a ring lets wait by default.
pub(super) const MOST_WAITING: usize = 1_000;

pub(super) const CROWDED: &str = "too many look-ups are waiting; the disk may not be responding";

/// A place among the look-ups that wait.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let turn = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// A thread that has no connection yet, to read.
    pub(super) fn start(name: &str, place: &Arc<Place>) -> Result<Self, StoreError> {
        Self::serving(name, place, |waiting, _| read(waiting))
    }

    /// A thread that has no connection yet, to write.
    pub(super) fn start_writer(name: &str, place: &Arc<Place>) -> Result<Self, StoreError> {
        Self::serving(name, place, write)
    }

    /// A thread that has no connection yet, and runs jobs as `serve` does.
    pub(super) fn serving(
        name: &str,
        place: &Arc<Place>,
        serve: impl FnOnce(&mpsc::Receiver<Job>, &Place) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let served = Arc::clone(place);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                IS_WORKER.set(true);
                serve(&waiting, &served);
            })
            .map_err(|error| place.io("cannot start a thread for", error))?;
        Ok(Self {
            jobs,
            place: Arc::clone(place),
            open: Arc::new(AtomicBool::new(false)),
            interrupt: Mutex::default(),
            waiting: Arc::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn spawn(
        name: &str,
        connection: Connection,
        place: &Arc<Place>,
    ) -> Result<Self, StoreError> {
        let worker = Self::start(name, place)?;
        worker.put(connection);
        Ok(worker)
    }

    /// Takes a connection into use.
    pub(super) fn put(&self, connection: Connection) {
        self.open.store(true, Ordering::SeqCst);
        *self.handle() = Some(connection.get_interrupt_handle());
        let _ = self
            .jobs
            .send(Box::new(move |held| *held = Some(connection)));
    }

    /// Drops the pages that are in memory, when its turn comes.
    pub(super) fn forget_pages(&self) {
        let _ = self.jobs.send(Box::new(|connection| {
            if let Some(connection) = connection {
                forget_pages(connection);
            }
        }));
    }

    /// Closes the connection, after `prepare` has run on it. A job that is running is interrupted. The
    /// answer has no value, and ends when the connection is closed.
    pub(super) fn close(
        &self,
        prepare: impl FnOnce(&Connection) + Send + 'static,
    ) -> mpsc::Receiver<()> {
        let (closing, closed) = mpsc::channel();
        let open = Arc::clone(&self.open);
        let _ = self.jobs.send(Box::new(move |connection| {
            if let Some(connection) = connection.take() {
                prepare(&connection);
                drop(connection);
            }
            open.store(false, Ordering::SeqCst);
            drop(closing);
        }));
        closed
    }

    /// Ends a wait of the thread for jobs.
    pub(super) fn wake(&self) {
        let _ = self.jobs.send(Box::new(|_| {}));
    }

    /// Ends the running statement, if there is one.
    pub(super) fn interrupt(&self) {
        if let Some(handle) = &*self.handle() {
            handle.interrupt();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Queues a job at once, and returns its answer. If the answer is no longer wanted when its turn
    /// comes, the job is left out.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        let place = Arc::clone(&self.place);
        let job: Job = Box::new(move |connection| {
            if answer.is_closed() {
                return;
            }
            // If the receiver goes meanwhile, the answer goes with it.
            let _ = answer.send(match connection {
                Some(connection) => job(connection),
                None => Err(place.fault()),
            });
        });
        // Refused only if the thread is gone, and then the answer is that there is none.
        let _ = self.jobs.send(job);
        let place = Arc::clone(&self.place);
        async move {
            match answered.await {
                Ok(answer) => answer,
                Err(_) => Err(place.gave_up()),
            }
        }
    }

    /// As [`run`](Self::run), for jobs that strangers can request any number of times: one more than
    /// [`MOST_WAITING`] is refused at once.
    pub(super) fn run_in_turn<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let turn = Turn::take(&self.waiting);
        let answer = turn.map(|turn| {
            // If the job is left out, it is dropped, and its turn with it.
            self.run(move |connection| {
                drop(turn);
                job(connection)
            })
        });
        async move {
            match answer {
                Some(answer) => answer.await,
                None => Err(StoreError::new(StoreErrorKind::Overloaded, CROWDED)),
            }
        }
    }

    fn handle(&self) -> std::sync::MutexGuard<'_, Option<InterruptHandle>> {
        self.interrupt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs jobs until no sender is left.
fn read(waiting: &mpsc::Receiver<Job>) {
    let mut connection = None;
    for job in waiting {
        // A transaction that a panic leaves open is rolled back as it unwinds.
        caught(|| job(&mut connection));
    }
}

/// Runs jobs until no sender is left, and writes their log to the file: when there has been nothing to
/// do for a while, and when there has been much to do.
fn write(waiting: &mpsc::Receiver<Job>, place: &Place) {
    let mut connection: Option<Connection> = None;
    let written =
        |connection: &Option<Connection>| connection.as_ref().map_or(0, Connection::total_changes);
    // How much had been written when the log was last written to the file. `None` for a log that another
    // process has left.
    let mut settled = Some(0);
    let (mut pause, mut jobs) = (IDLE, 0);
    loop {
        let now = written(&connection);
        let job = if settled == Some(now) {
            waiting.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else if jobs >= WITHOUT_PAUSE {
            Err(RecvTimeoutError::Timeout)
        } else {
            waiting.recv_timeout(pause)
        };
        match job {
            Ok(job) => {
                let was_open = connection.is_some();
                caught(|| job(&mut connection));
                jobs += 1;
                match (was_open, connection.is_some()) {
                    (_, false) => settled = Some(0),
                    (false, true) => settled = None,
                    (true, true) => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                jobs = 0;
                let done = place.require_current().is_ok()
                    && connection.as_ref().is_some_and(|it| checkpoint(it, place));
                pause = if done {
                    settled = Some(now);
                    IDLE
                } else {
                    (pause * 2).min(LONGEST_IDLE)
                };
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
