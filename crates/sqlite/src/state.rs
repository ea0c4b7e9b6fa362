//! Whether look-ups may be answered, and in which thread.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tower_api_key::store::{StoreError, StoreErrorKind};

use super::failure::Failure;
use super::files::Files;
use super::stopwatch::Moment;

/// Reads are slow, so look-ups go to a thread that may wait.
const SLOW: u8 = 1;
/// The open files are not the store of keys at the path, so nothing is answered from them.
const FAULT: u8 = 2;

/// A store checks its files at least once a second. This is longer, even on a busy machine.
const DOUBT: Duration = Duration::from_secs(5);

/// This many reads of the thread that waits must be fast, one after the other, before look-ups are
/// answered in place again.
const FAST_AGAIN: u32 = 16;

/// The state that a look-up checks with one load.
#[derive(Debug, Default)]
pub(super) struct State {
    flags: AtomicU8,
    fast: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The files that are open, or were the last to be.
    files: Option<Files>,
    cause: Option<(StoreErrorKind, String)>,
    /// The moment until which another process may take the log for that of a file that this one
    /// replaced.
    log_in_doubt_until: Option<Moment>,
}

impl State {
    /// Whether a look-up may be answered in the calling thread.
    #[inline]
    pub(super) fn in_place(&self) -> bool {
        self.flags.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(super) fn has_fault(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & FAULT != 0
    }

    #[cfg(test)]
    pub(super) fn is_slow(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & SLOW != 0
    }

    /// A read took too long, or is still running.
    #[cold]
    pub(super) fn slow(&self) {
        self.fast.store(0, Ordering::Relaxed);
        self.flags.fetch_or(SLOW, Ordering::Relaxed);
    }

    /// A read of the thread that waits was fast.
    pub(super) fn fast(&self) {
        if self.fast.fetch_add(1, Ordering::Relaxed) + 1 >= FAST_AGAIN {
            self.fast.store(0, Ordering::Relaxed);
            self.flags.fetch_and(!SLOW, Ordering::Relaxed);
        }
    }

    /// From now on every answer is this error, until the files are opened again.
    #[cold]
    pub(super) fn fault(&self, error: &StoreError) {
        let text = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
        let mut inner = self.inner();
        inner.cause = Some((error.kind(), text));
        self.flags.fetch_or(FAULT, Ordering::SeqCst);
    }

    /// These files are open now. Their log may have been there before them.
    pub(super) fn opened(&self, files: Files, log_was_there: bool) {
        let mut inner = self.inner();
        *inner = Inner {
            files: Some(files),
            cause: None,
            log_in_doubt_until: log_was_there.then(|| Moment::now().after(DOUBT)),
        };
        self.flags.fetch_and(!FAULT, Ordering::SeqCst);
    }

    /// Whether another process may still remove the log that is open, because it has not noticed yet
    /// that the file that it has open was replaced.
    pub(super) fn is_log_in_doubt(&self) -> bool {
        let mut inner = self.inner();
        let in_doubt = inner
            .log_in_doubt_until
            .is_some_and(|end| Moment::now() < end);
        if !in_doubt {
            inner.log_in_doubt_until = None;
        }
        in_doubt
    }

    /// Why there is no answer.
    pub(super) fn cause(&self) -> Option<StoreError> {
        let inner = self.inner();
        let (kind, text) = inner.cause.as_ref()?;
        Some(StoreError::new(*kind, Failure::new(text.clone())))
    }

    /// The files that are open, or were the last to be.
    pub(super) fn files(&self) -> Option<Files> {
        self.inner().files.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
