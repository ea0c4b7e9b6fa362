//! A thread that watches the file.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tower_api_key::store::StoreError;

use super::shared::{Poll, Shared};

/// Watches the file until it is dropped.
pub(super) struct Watcher(Arc<Stop>);

#[derive(Default)]
struct Stop {
    requested: Mutex<bool>,
    told: Condvar,
}

impl Watcher {
    pub(super) fn spawn(shared: &Arc<Shared>, interval: Duration) -> Result<Self, StoreError> {
        let stop = Arc::new(Stop::default());
        let (shared, stopped) = (Arc::clone(shared), Arc::clone(&stop));
        thread::Builder::new()
            .name("api-key-file".to_owned())
            .spawn(move || {
                let mut poll = Poll::default();
                while !stopped.requested_within(interval) {
                    shared.poll(&mut poll);
                }
            })
            .map_err(StoreError::unavailable)?;
        Ok(Self(stop))
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
        // The thread is notified, but not waited for: it may be reading, or be the one that drops.
        *self
            .0
            .requested
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}
