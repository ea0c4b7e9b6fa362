//! Time, and the only way to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Timestamp;

/// The only source of time in the crate.
///
/// A ring reads its clock once for each verdict. [`SystemClock`](crate::SystemClock) is the default;
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
