//! When a statement was sent.

use std::time::Duration;

/// The moment at which a statement was sent whose answer renews a [`Freshness`](super::Freshness).
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub(super) at: Duration,
    /// How often the proof had been ended.
    pub(super) history: u64,
}

#[cfg(feature = "replica")]
impl Asked {
    /// The elapsed time at that moment.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }
}
