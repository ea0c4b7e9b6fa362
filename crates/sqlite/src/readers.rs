//! Connections for look-ups that answer at once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::available_parallelism;
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::forget_pages;
use super::state::State;
use super::stopwatch::Moment;

/// If a read takes longer, look-ups wait in another thread than that of the request. It is well above
/// the time for which a busy machine keeps a thread from its processor.
pub(super) const SLOW: Duration = Duration::from_millis(20);

/// As many connections as processors: no more threads than that read at once.
pub(super) struct Readers {
    slots: Box<[Slot]>,
    /// Simulates a disk that stalls.
    #[cfg(test)]
    pub(super) gate: Mutex<Option<std::sync::Arc<dyn Fn() + Send + Sync>>>,
}

/// On separate cache lines: one thread uses it nearly alone.
#[repr(align(128))]
#[derive(Default)]
struct Slot {
    /// `None` while the file is not open.
    connection: Mutex<Option<Connection>>,
    /// When the current read began, in milliseconds. 0 if there is none.
    began: AtomicU64,
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where this thread begins to look, so that each finds its own connection free.
    static FIRST: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

impl Readers {
    /// Without connections yet.
    pub(super) fn new() -> Self {
        let count = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            slots: (0..count).map(|_| Slot::default()).collect(),
            #[cfg(test)]
            gate: Mutex::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Takes connections into use, as many as there are places.
    pub(super) fn put(&self, connections: Vec<Connection>) {
        for (slot, connection) in self.slots.iter().zip(connections) {
            *slot.lock() = Some(connection);
        }
    }

    /// Closes the connections that are not in use. Returns whether that is all.
    pub(super) fn close(&self) -> bool {
        let mut all = true;
        for slot in &self.slots {
            match slot.try_lock() {
                Some(mut connection) => drop(connection.take()),
                None => all = false,
            }
        }
        all
    }

    /// Drops the pages in memory of the connections that are not in use. Returns whether that is all.
    pub(super) fn forget_pages(&self) -> bool {
        let mut all = true;
        for slot in &self.slots {
            match slot.try_lock().as_deref() {
                Some(Some(connection)) => forget_pages(connection),
                Some(None) => {}
                None => all = false,
            }
        }
        all
    }

    /// Whether a read takes too long.
    pub(super) fn any_stands_still(&self) -> bool {
        let now = Moment::now();
        self.slots.iter().any(|slot| {
            let began = slot.began.load(Ordering::Relaxed);
            began != 0 && now.since(Moment::from_millis(began)) >= SLOW
        })
    }

    /// Keeps every connection taken for as long as the answer is held.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> Vec<MutexGuard<'_, Option<Connection>>> {
        self.slots.iter().map(Slot::lock).collect()
    }

    /// Reads on a free connection. `None` if all are taken, or the file is not open.
    pub(super) fn with<T>(&self, state: &State, read: impl FnOnce(&Connection) -> T) -> Option<T> {
        let (before, from) = self
            .slots
            .split_at(FIRST.with(|first| first % self.slots.len()));
        for slot in from.iter().chain(before) {
            if let Some(connection) = slot.try_lock()
                && let Some(connection) = &*connection
            {
                let _reading = Reading::begin(&slot.began, state);
                #[cfg(test)]
                self.pass_gate();
                return Some(read(connection));
            }
        }
        None
    }

    #[cfg(test)]
    fn pass_gate(&self) {
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate();
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // A read that panicked has left nothing behind: its statement was reset.
        self.connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        match self.connection.try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A read that is running, for the thread that checks its duration.
struct Reading<'a> {
    began: &'a AtomicU64,
    at: Moment,
    state: &'a State,
}

impl<'a> Reading<'a> {
    #[inline]
    fn begin(began: &'a AtomicU64, state: &'a State) -> Self {
        let at = Moment::now();
        began.store(at.as_millis(), Ordering::Relaxed);
        Self { began, at, state }
    }
}

impl Drop for Reading<'_> {
    #[inline]
    fn drop(&mut self) {
        self.began.store(0, Ordering::Relaxed);
        if Moment::now().since(self.at) >= SLOW {
            self.state.slow();
        }
    }
}
