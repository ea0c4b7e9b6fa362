//! The clock of a ring.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{Clock, SystemClock, Timestamp};

/// The clock of a ring. That of the system is read without a virtual call.
#[derive(Debug, Clone)]
pub(super) enum RingClock {
    System,
    Other(Arc<dyn Clock>),
}

impl RingClock {
    #[inline]
    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemClock.now(),
            Self::Other(clock) => clock.now(),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn elapsed(&self) -> Option<Duration> {
        match self {
            Self::System => SystemClock.elapsed(),
            Self::Other(clock) => clock.elapsed(),
        }
    }

    pub(super) fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self {
            Self::System => SystemClock.sleep(duration),
            Self::Other(clock) => clock.sleep(duration),
        }
    }
}
