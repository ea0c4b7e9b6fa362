//! The places of look-ups that wait for the store: a bounded number at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::{StoreError, StoreErrorKind};

/// How many look-ups wait for the store.
pub(super) struct Waiting {
    now: Arc<AtomicUsize>,
    most: usize,
}

/// The place of a look-up, which is taken until the look-up has ended, with or without its client.
pub(super) struct Place(Arc<AtomicUsize>);

impl Waiting {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            now: Arc::default(),
            most,
        }
    }

    /// As many, and none of them.
    pub(super) fn anew(&self) -> Self {
        Self::at_most(self.most)
    }

    pub(super) fn enter(&self) -> Result<Place, StoreError> {
        let Self { now, most } = self;
        let entered = now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < *most).then_some(now + 1)
        });
        match entered {
            Ok(_) => Ok(Place(Arc::clone(now))),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Overloaded,
                format!(
                    "{most} look-ups are waiting already, which is the limit max_pending_lookups"
                ),
            )),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
