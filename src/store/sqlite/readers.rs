//! Connections for look-ups that answer at once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::available_parallelism;
use std::time::Duration;

use rusqlite::Connection;

use super::connection;
use super::failure::Place;
use crate::store::StoreError;

/// As many connections as processors: no more threads than that read at once.
pub(super) struct Readers(Box<[Mutex<Connection>]>);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where this thread begins to look, so that each finds its own connection free.
    static FIRST: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

impl Readers {
    pub(super) fn open(place: &Place) -> Result<Self, StoreError> {
        let count = available_parallelism().map_or(1, NonZeroUsize::get);
        (0..count)
            .map(|_| connection::reader(place, Duration::ZERO).map(Mutex::new))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Keeps every connection taken for as long as the answer is held.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> Vec<std::sync::MutexGuard<'_, Connection>> {
        self.0
            .iter()
            .filter_map(|connection| connection.lock().ok())
            .collect()
    }

    /// Reads on a free connection; `None` where all are taken.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> T) -> Option<T> {
        let (before, from) = self.0.split_at(FIRST.with(|first| first % self.0.len()));
        for connection in from.iter().chain(before) {
            let connection = match connection.try_lock() {
                Ok(connection) => connection,
                // A read that panicked has left nothing behind: its statement was reset.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            return Some(read(&connection));
        }
        None
    }
}
