//! How long a read takes: durations alone, never the time of day.

use std::time::Duration;

/// A moment, to be compared with other moments of this process.
///
/// On Linux it is the coarse monotonic clock: two readings cost some nanoseconds each, next to a
/// look-up of microseconds. It is at most a timer tick behind, 4 ms on most kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    #[inline]
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};

        let now = clock_gettime(ClockId::MonotonicCoarse);
        let millis = now.tv_sec.unsigned_abs() * 1_000 + now.tv_nsec.unsigned_abs() / 1_000_000;
        Self(millis.max(1))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(
        clippy::disallowed_methods,
        reason = "this measures how long a read takes, which no clock of a ring's may decide"
    )]
    pub(super) fn now() -> Self {
        use std::sync::OnceLock;
        use std::time::Instant;

        static FIRST: OnceLock<Instant> = OnceLock::new();
        let elapsed = FIRST.get_or_init(Instant::now).elapsed().as_millis();
        Self(u64::try_from(elapsed).unwrap_or(u64::MAX).max(1))
    }

    /// A number that is never 0.
    pub(super) fn as_millis(self) -> u64 {
        self.0
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    pub(super) fn from_millis(millis: u64) -> Self {
        Self(millis)
    }
}
