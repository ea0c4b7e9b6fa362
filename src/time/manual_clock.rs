//! A clock for tests.

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
