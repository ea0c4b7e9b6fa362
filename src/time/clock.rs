//! Time, and the only way to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Timestamp;

/// The only source of time in the crate.
///
/// A ring reads its clock once for each verdict. [`SystemClock`] is the default;
/// `ManualClock`, behind the feature `testing`, is moved by hand.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    ///
    /// It may jump back: a ring judges the end of no key by an earlier time than the latest end for
    /// which it denied one. A clock that fails returns [`Timestamp::MAX`]: no key is valid then, and nothing is
    /// purged.
    fn now(&self) -> Timestamp;

    /// The time since a fixed moment, which no one sets back, and which goes on while the machine is
    /// suspended. Proofs of [freshness](crate::store::Freshness) end by it. `None` from a clock that does
    /// not count it, which then proves nothing. That is the default.
    fn elapsed(&self) -> Option<Duration> {
        None
    }

    /// Completes after `duration`. It bounds the wait for a store, and paces watches and upkeep.
    ///
    /// The default needs no runtime: one timer thread for the whole process, started at first
    /// use.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(futures_timer::Delay::new(duration))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn elapsed(&self) -> Option<Duration> {
        (**self).elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        (**self).sleep(duration)
    }
}

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

#[cfg(feature = "testing")]
mod manual {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::{Clock, Timestamp};

    /// A clock that stands still until a test moves it. Needs the feature `testing`.
    ///
    /// Clones share one time. Sleepers wake when the time they wait for has been passed by
    /// [`advance`](Self::advance). [`set`](Self::set) moves the wall clock alone, as an administrator
    /// would, and wakes no sleeper.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{Clock, ManualClock, Timestamp};
    ///
    /// let clock = ManualClock::new(Timestamp::from_unix(100));
    /// clock.advance(Duration::from_secs(7));
    /// assert_eq!(clock.now(), Timestamp::from_unix(107));
    /// ```
    #[derive(Debug, Clone)]
    pub struct ManualClock(Arc<Mutex<State>>);

    #[derive(Debug)]
    struct State {
        now: Timestamp,
        elapsed: Duration,
        sleepers: Vec<Waker>,
    }

    impl ManualClock {
        /// A clock that stands at `now`.
        pub fn new(now: Timestamp) -> Self {
            Self(Arc::new(Mutex::new(State {
                now,
                elapsed: Duration::ZERO,
                sleepers: Vec::new(),
            })))
        }

        /// Moves time forward and wakes the sleepers. The wall clock stops at [`Timestamp::MAX`].
        pub fn advance(&self, duration: Duration) {
            let mut state = self.state();
            state.now = state.now.checked_add(duration).unwrap_or(Timestamp::MAX);
            state.elapsed = state.elapsed.saturating_add(duration);
            let sleepers = std::mem::take(&mut state.sleepers);
            drop(state);
            sleepers.into_iter().for_each(Waker::wake);
        }

        /// Sets the wall clock, forward or back.
        pub fn set(&self, now: Timestamp) {
            self.state().now = now;
        }

        /// How many sleeps are waiting.
        pub fn sleepers(&self) -> usize {
            self.state().sleepers.len()
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            self.state().now
        }

        fn elapsed(&self) -> Option<Duration> {
            Some(self.state().elapsed)
        }

        fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let wake_at = self.state().elapsed.saturating_add(duration);
            Box::pin(Sleep {
                clock: self.clone(),
                wake_at,
            })
        }
    }

    struct Sleep {
        clock: ManualClock,
        wake_at: Duration,
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            let mut state = self.clock.state();
            if state.elapsed >= self.wake_at {
                return Poll::Ready(());
            }
            if !state
                .sleepers
                .iter()
                .any(|waker| waker.will_wake(context.waker()))
            {
                state.sleepers.push(context.waker().clone());
            }
            Poll::Pending
        }
    }
}

#[cfg(feature = "testing")]
pub use manual::ManualClock;
