//! The places of look-ups that wait for the store: a bounded number at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "metrics")]
use metrics::Gauge;

use crate::store::{StoreError, StoreErrorKind};

/// How many look-ups wait for the store.
pub(super) struct Waiting {
    now: Arc<AtomicUsize>,
    most: usize,
    #[cfg(feature = "metrics")]
    gauge: Gauge,
}

/// The place of a look-up, which is taken until the look-up has ended, with or without its client.
pub(super) struct Place {
    now: Arc<AtomicUsize>,
    #[cfg(feature = "metrics")]
    gauge: Gauge,
}

impl Waiting {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            now: Arc::default(),
            most,
            #[cfg(feature = "metrics")]
            gauge: Gauge::noop(),
        }
    }

    /// Shows how many there are.
    #[cfg(feature = "metrics")]
    pub(super) fn shown_by(self, gauge: Gauge) -> Self {
        Self { gauge, ..self }
    }

    /// As many, and none of them.
    pub(super) fn anew(&self) -> Self {
        Self {
            now: Arc::default(),
            most: self.most,
            #[cfg(feature = "metrics")]
            gauge: self.gauge.clone(),
        }
    }

    pub(super) fn enter(&self) -> Result<Place, StoreError> {
        let (now, most) = (&self.now, &self.most);
        let entered = now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now < *most).then_some(now + 1)
        });
        match entered {
            Ok(_) => {
                #[cfg(feature = "metrics")]
                self.gauge.increment(1.0);
                Ok(Place {
                    now: Arc::clone(now),
                    #[cfg(feature = "metrics")]
                    gauge: self.gauge.clone(),
                })
            }
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
        self.now.fetch_sub(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.gauge.decrement(1.0);
    }
}
