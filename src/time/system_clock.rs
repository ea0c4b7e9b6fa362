//! The clock of the operating system.

use std::time::Duration;

use super::{Clock, Timestamp};

/// The wall clock of the operating system.
///
/// On Linux it is the coarse one (`CLOCK_REALTIME_COARSE`), at most a timer tick behind: a few
/// milliseconds, while expiry counts whole seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// `CLOCK_BOOTTIME` on Linux, and `None` elsewhere, because the monotonic clock of the standard library
    /// may stop while the machine is suspended.
    #[inline]
    fn elapsed(&self) -> Option<Duration> {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{ClockId, clock_gettime};

            let since_boot = clock_gettime(ClockId::Boottime);
            let seconds = u64::try_from(since_boot.tv_sec).ok()?;
            let nanoseconds = u32::try_from(since_boot.tv_nsec).ok()?;
            Some(Duration::new(seconds, nanoseconds))
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    #[inline]
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        use rustix::time::{ClockId, clock_gettime};

        // A clock that stands before 1970 is broken: no key is valid at MAX.
        u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec)
            .map_or(Timestamp::MAX, Timestamp::from_unix)
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one reading of the wall clock"
    )]
    fn now(&self) -> Timestamp {
        // A clock that stands before 1970 is broken: no key is valid at MAX.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Timestamp::MAX, |elapsed| Timestamp(elapsed.as_secs()))
    }
}
