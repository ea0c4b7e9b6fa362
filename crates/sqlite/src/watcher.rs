//! A thread that monitors a store.

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tower_api_key::store::{StoreError, caught};

use super::place::Place;

/// Checks repeatedly until it is dropped.
pub(super) struct Watcher {
    stop: Arc<Stop>,
    ended: Mutex<mpsc::Receiver<()>>,
}

#[derive(Default)]
struct Stop {
    requested: Mutex<bool>,
    told: Condvar,
}

impl Watcher {
    /// Checks at this interval. `last` runs at the end.
    pub(super) fn spawn(
        name: &str,
        place: &Place,
        interval: Duration,
        look: impl Fn() + Send + 'static,
        last: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let (ending, ended) = mpsc::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while !stopped.requested_within(interval) {
                    caught(&look);
                }
                caught(last);
                drop(ending);
            })
            .map_err(|error| place.io("cannot start a thread for", error))?;
        let ended = Mutex::new(ended);
        Ok(Self { stop, ended })
    }

    /// Asks the thread to end.
    pub(super) fn stop(&self) {
        *self
            .stop
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.told.notify_all();
    }

    /// Waits for its end, but no longer than this.
    pub(super) fn wait(&self, longest: Duration) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(longest);
    }
}

impl Stop {
    fn requested_within(&self, interval: Duration) -> bool {
        let requested = self
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .told
            .wait_timeout_while(requested, interval, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}
