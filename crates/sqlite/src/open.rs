//! All the connections of a store, which are opened and closed together.

use std::error::Error as _;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tower_api_key::store::{StoreError, StoreErrorKind};

use super::checkpoint::{forget_pages, last_checkpoint, leave_files_alone, rescue};
use super::connection::{self, Access};
use super::feed::Hints;
use super::files::{Files, Stamp};
use super::options::SqliteOptions;
use super::place::Place;
use super::readers::Readers;
use super::schema::require_intact;
use super::worker::Worker;

/// How long closing a store waits for a job that runs.
const CLOSING: Duration = Duration::from_secs(2);

/// How often files that are replaced while they are opened are opened again, and the pause before that:
/// another process may be removing the log of a replaced file.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// The state that the clones of a store share with its monitoring thread.
pub(super) struct Core {
    pub(super) place: Arc<Place>,
    access: Access,
    synchronous: &'static str,
    pub(super) readers: Readers,
    /// Look-ups that have to wait.
    pub(super) waiting: Worker,
    /// Lists, which may be long, and last uses.
    pub(super) management: Worker,
    /// What replicas ask for.
    pub(super) feed: Worker,
    pub(super) hints: Arc<Hints>,
    /// `None` if the file is only read.
    pub(super) writer: Option<Worker>,
    /// Checks whether the schema has changed.
    checking: Mutex<Option<Connection>>,
    /// The file as it was when pages of it were last dropped from memory.
    stamp: Mutex<Option<Stamp>>,
}

impl Core {
    pub(super) fn open(
        place: Arc<Place>,
        access: Access,
        options: &SqliteOptions,
    ) -> Result<Self, StoreError> {
        if access == Access::Create {
            connection::create(&place)?;
        }
        let writer = match access {
            Access::ReadOnly => None,
            _ => Some(Worker::start_writer("api-key-writer", &place)?),
        };
        let hints = Arc::new(Hints::default());
        let core = Self {
            access,
            synchronous: options.synchronous,
            readers: Readers::new(),
            waiting: Worker::start("api-key-lookup", &place)?,
            management: Worker::start("api-key-reader", &place)?,
            feed: Hints::start("api-key-feed", &place, &hints)?,
            hints,
            writer,
            checking: Mutex::default(),
            stamp: Mutex::default(),
            place,
        };
        core.connect(access)?;
        Ok(core)
    }

    /// Opens every connection, on one file.
    fn connect(&self, access: Access) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            if self.try_connect(access)? {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        Err(self.place.error(
            StoreErrorKind::Unavailable,
            "the file was replaced while it was opened; try again",
        ))
    }

    /// The same. Returns `false` if a file was replaced meanwhile.
    fn try_connect(&self, access: Access) -> Result<bool, StoreError> {
        let place = &*self.place;
        let mut before = Files::look_before_opening(place)?;
        let last = place.state.files();
        if let Some(last) = &last {
            if access == Access::ReadOnly {
                last.refuse_log(place, &before)?;
            } else {
                last.discard_log(place, &before)?;
                before = Files::look(place)?;
            }
        }
        let real = before.real();
        let writer = match access {
            Access::ReadOnly => None,
            _ => Some(connection::writer(place, real, access, self.synchronous)?),
        };
        let reader = || {
            connection::reader(place, real, place.busy_timeout)
                .map_err(|error| without_index(place, access, &before, error))
        };
        let (waiting, management, feed, checking) = (reader()?, reader()?, reader()?, reader()?);
        let log_was_there = before.has_log();
        // From here on the log and its index exist.
        let files = Files::look(place)?;
        let readers = (0..self.readers.count())
            .map(|_| connection::reader(place, real, Duration::ZERO))
            .collect::<Result<_, _>>()?;
        if !files.same_main(&before) || Files::look(place)? != files {
            return Ok(false);
        }
        // Another store of this process may have opened the file with a log that was removed since. SQLite has one index
        // for all of them, which no other process would see.
        if files.refuse_deleted(place).is_err() {
            return Ok(false);
        }
        self.readers.put(readers);
        self.waiting.put(waiting);
        self.management.put(management);
        self.feed.put(feed);
        if let (Some(worker), Some(writer)) = (&self.writer, writer) {
            worker.put(writer);
        }
        *self.checking() = Some(checking);
        place.state.opened(files, log_was_there);
        Ok(true)
    }

    /// Checks whether the open files are the store of keys at the path. If not, opens that one.
    pub(super) fn look(&self) {
        let place = &*self.place;
        if place.require_current().is_ok() {
            self.notice_writes();
            match self.checking().as_ref() {
                Some(connection) => {
                    if let Err(error) = require_intact(connection, place)
                        && error.kind() != StoreErrorKind::Busy
                    {
                        place.state.fault(&error);
                    }
                }
                None => return,
            }
        }
        if place.state.has_fault() && self.close_for_another() {
            // A running server neither creates nor migrates a store that was replaced.
            let access = match self.access {
                Access::ReadOnly => Access::ReadOnly,
                Access::Create | Access::Existing => Access::Existing,
            };
            if let Err(error) = self.connect(access) {
                place.state.fault(&error);
            }
        }
    }

    /// Drops pages from memory if the file has been written to: by a checkpoint, or by a copy over it,
    /// of which SQLite knows nothing.
    fn notice_writes(&self) {
        let now = self.place.state.files().and_then(|files| files.stamp());
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamp == now {
            return;
        }
        if let Some(connection) = self.checking().as_ref() {
            forget_pages(connection);
        }
        self.waiting.forget_pages();
        self.management.forget_pages();
        if self.readers.forget_pages() {
            *stamp = now;
        }
    }

    /// Closes the open files and leaves the files at the path alone. Returns whether all is closed.
    fn close_for_another(&self) -> bool {
        drop(self.checking().take());
        let readers = self.readers.close();
        let mut closing = Vec::new();
        for worker in self.reading() {
            if worker.is_open() {
                worker.interrupt();
                closing.push(worker.close(|_| {}));
            }
        }
        all(closing);
        if !readers || self.reading().iter().any(|worker| worker.is_open()) {
            return false;
        }
        let Some(writer) = &self.writer else {
            return true;
        };
        if writer.is_open() {
            writer.interrupt();
            let place = Arc::clone(&self.place);
            let closing = writer.close(move |connection| {
                let files = place.state.files();
                if files.is_some_and(|files| files.may_rescue(&place)) {
                    rescue(connection);
                }
                leave_files_alone(connection);
            });
            all(vec![closing]);
        }
        !writer.is_open()
    }

    /// Closes everything for good, the writer last: it writes the log to the file, which SQLite does not
    /// do while other connections have it open for reading.
    pub(super) fn close(&self) {
        drop(self.checking().take());
        self.readers.close();
        let mut closing = Vec::new();
        for worker in self.reading() {
            closing.push(worker.close(|_| {}));
        }
        all(closing);
        if let Some(writer) = &self.writer {
            let place = Arc::clone(&self.place);
            let closing = writer.close(move |connection| {
                if place.require_current().is_ok() {
                    last_checkpoint(connection, &place);
                } else {
                    leave_files_alone(connection);
                }
            });
            all(vec![closing]);
        }
    }

    fn reading(&self) -> [&Worker; 3] {
        [&self.waiting, &self.management, &self.feed]
    }

    fn checking(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.checking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports the missing index if a store that no process has open is on a read-only medium: SQLite needs
/// the index of the log to read, and cannot create it there.
///
/// `immutable`, the mode of SQLite that needs no index, does not help: it takes no lock and reads no
/// log, so a revocation by a later writer would not be seen.
fn without_index(place: &Place, access: Access, before: &Files, error: StoreError) -> StoreError {
    let is_refused = matches!(
        error.kind(),
        StoreErrorKind::ReadOnly | StoreErrorKind::Unavailable
    );
    // An error that is not from SQLite has its own advice.
    let is_of_sqlite = error.source().is_some_and(|it| it.source().is_some());
    if access != Access::ReadOnly || before.has_index() || !is_refused || !is_of_sqlite {
        return error;
    }
    place.error(
        error.kind(),
        "the index of its log (-shm) is not there and cannot be made, because the file or its folder \
         is write-protected; let a process that may write have the store open, or copy the file and \
         its log (-wal) into a folder of your own and open the copy",
    )
}

/// Waits until everything is closed, but not for ever.
fn all(closing: Vec<mpsc::Receiver<()>>) {
    for closed in closing {
        let _ = closed.recv_timeout(CLOSING);
    }
}
