//! The clock of the operating system.

use std::time::Duration;

use super::{Clock, Timestamp};

/// The wall clock of the operating system.
///
/// On Linux it is the coarse one (`CLOCK_REALTIME_COARSE`), at most a timer tick behind: a few
/// milliseconds, while expiry counts whole seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

const SECOND: u64 = 1_000_000_000;

/// Between two readings that belong together, no more time passes than this. A thread may lose the processor there.
const APART: u64 = 1_000_000;

/// How far the wall clock is ahead of the elapsed time, in nanoseconds. It changes only if someone sets the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WallOffset(u64);

impl WallOffset {
    /// It is not known: whoever wants the time reads the wall clock.
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);

    /// Now, of the system.
    pub(crate) fn now() -> Self {
        let before = SystemClock::elapsed_nanos();
        let wall = SystemClock::wall();
        Self::between(before, wall, SystemClock::elapsed_nanos())
    }

    /// Of a wall clock that was read between two readings of the elapsed time.
    fn between(before: Option<u64>, wall: Option<Duration>, after: Option<u64>) -> Self {
        let (Some(before), Some(wall), Some(after)) = (before, wall, after) else {
            return Self::UNKNOWN;
        };
        let ahead = u64::try_from(wall.as_nanos())
            .ok()
            .and_then(|wall| wall.checked_sub(before));
        match ahead {
            Some(ahead) if after.saturating_sub(before) <= APART => Self(ahead),
            _ => Self::UNKNOWN,
        }
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// The wall clock at this much elapsed time, in nanoseconds.
    #[inline]
    pub(crate) fn at(self, elapsed: u64) -> Option<Timestamp> {
        // At 0 the unknown one would not overflow.
        let wall = self.0.checked_add(elapsed.max(1))?;
        Some(Timestamp::from_unix(wall / SECOND))
    }
}

impl SystemClock {
    /// [`elapsed`](Clock::elapsed) in nanoseconds, which last for 584 years. Every verdict of a replica reads it.
    #[inline]
    pub(crate) fn elapsed_nanos() -> Option<u64> {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{ClockId, clock_gettime};

            let time = clock_gettime(ClockId::Boottime);
            let seconds = u64::try_from(time.tv_sec).ok()?;
            let nanoseconds = u64::try_from(time.tv_nsec).ok()?;
            seconds.checked_mul(SECOND)?.checked_add(nanoseconds)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The wall clock, as fine as it is. `None` before 1970: it is broken.
    fn wall() -> Option<Duration> {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{ClockId, clock_gettime};

            let time = clock_gettime(ClockId::Realtime);
            let seconds = u64::try_from(time.tv_sec).ok()?;
            Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
        }
        #[cfg(not(target_os = "linux"))]
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the one reading of the wall clock"
        )]
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
    }
}

impl Clock for SystemClock {
    /// `CLOCK_BOOTTIME` on Linux, and `None` elsewhere, because the monotonic clock of the standard library
    /// may stop while the machine is suspended.
    #[inline]
    fn elapsed(&self) -> Option<Duration> {
        Self::elapsed_nanos().map(Duration::from_nanos)
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
    fn now(&self) -> Timestamp {
        // A clock that stands before 1970 is broken: no key is valid at MAX.
        Self::wall().map_or(Timestamp::MAX, |wall| Timestamp::from_unix(wall.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_follows_from_the_elapsed_time() {
        let offset = WallOffset::from_nanos(1_800_000_000_999_999_999);
        let later = Some(Timestamp::from_unix(1_800_000_001));
        assert_eq!(offset.at(1), later);
        assert_eq!(offset.at(0), later);
        assert_eq!(WallOffset::UNKNOWN.at(0), None);
        assert_eq!(WallOffset::UNKNOWN.at(1), None);
    }

    #[test]
    fn readings_that_are_apart_say_nothing() {
        let wall = Some(Duration::from_secs(1_800_000_000));
        let between = |after| WallOffset::between(Some(SECOND), wall, after);
        let known = WallOffset(1_799_999_999 * SECOND);
        assert_eq!(between(Some(SECOND + APART)), known);
        assert_eq!(between(Some(SECOND + APART + 1)), WallOffset::UNKNOWN);
        assert_eq!(between(None), WallOffset::UNKNOWN);
        // The wall clock stands before the start of the machine.
        let early = WallOffset::between(Some(SECOND), Some(Duration::ZERO), Some(SECOND));
        assert_eq!(early, WallOffset::UNKNOWN);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_derived_time_is_that_of_the_wall_clock() {
        let nanos = SystemClock::elapsed_nanos().unwrap();
        let known = (0..1_000)
            .map(|_| WallOffset::now())
            .find(|it| *it != WallOffset::UNKNOWN);
        let derived = known.unwrap().at(nanos).unwrap();
        let read = SystemClock.now();
        assert!(derived.as_unix().abs_diff(read.as_unix()) <= 1);
    }
}
