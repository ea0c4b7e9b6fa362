//! Until when records in memory may be believed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::asked::Asked;
use super::proof::Proof;
use crate::support::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};
use crate::time::{Clock, SystemClock, WallOffset};

/// Whether an [`Index`](super::Index) may answer.
///
/// The records of a store that is their only home are always fresh. Those of a replica are a copy, and are
/// fresh for as long as the replica can prove that they are no older than a bound: it
/// [renews](Self::renew) the proof with each answer of the database. The time is [`Clock::elapsed`], which runs
/// on while the machine is suspended. A proof that is not renewed ends by itself.
///
/// A ring with the clock of the system takes the time of a verdict from the same reading. Someone who sets the wall
/// clock is therefore noticed at the next question, and at the end of the proof at the latest.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{ManualClock, Timestamp, store::Freshness};
///
/// let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
/// let freshness = Freshness::leased_by(clock.clone());
/// assert!(!freshness.is_fresh());
///
/// let asked = freshness.ask().expect("the clock counts elapsed time");
/// // Here the database answers, and the index takes what it brought.
/// freshness.renew(asked, Duration::from_secs(2));
/// clock.advance(Duration::from_secs(1));
/// assert!(freshness.is_fresh());
/// clock.advance(Duration::from_secs(1));
/// assert!(!freshness.is_fresh());
/// ```
#[derive(Clone)]
pub struct Freshness(Kind);

#[derive(Clone)]
enum Kind {
    Always,
    Lease(Arc<Lease>),
}

struct Lease {
    /// The elapsed time, in nanoseconds, at which the proof ends. 0: there is none.
    end: AtomicU64,
    /// How far the wall clock of the system was ahead of the elapsed time at the last question.
    wall: AtomicU64,
    /// How often the proof was ended. Holding the lock is the right to write `end`. No reader takes it.
    history: Mutex<u64>,
    clock: LeaseClock,
}

/// Of its own: a ring may judge records by another clock, and two clocks are never compared. The system's
/// is read without a virtual call.
enum LeaseClock {
    System,
    Other(Box<dyn Clock>),
}

impl Freshness {
    /// Always fresh: no copy is older.
    pub const fn always() -> Self {
        Self(Kind::Always)
    }

    /// Stale until it is [renewed](Self::renew), by the clock of the system.
    pub fn leased() -> Self {
        Self::by(LeaseClock::System)
    }

    /// As [`leased`](Self::leased), by this clock.
    pub fn leased_by(clock: impl Clock) -> Self {
        Self::by(LeaseClock::Other(Box::new(clock)))
    }

    fn by(clock: LeaseClock) -> Self {
        Self(Kind::Lease(Arc::new(Lease {
            end: AtomicU64::new(0),
            wall: AtomicU64::new(WallOffset::UNKNOWN.as_nanos()),
            history: Mutex::new(0),
            clock,
        })))
    }

    /// Whether the proof holds now. A clock that does not count elapsed time proves nothing.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.proof().is_some()
    }

    /// The same for a verdict, which may take the time from the reading that proves it.
    #[inline]
    pub(super) fn proof(&self) -> Option<Proof> {
        match &self.0 {
            Kind::Always => Some(Proof::without_time()),
            Kind::Lease(lease) => lease.proof(),
        }
    }

    /// The moment now. Take it *before* the statement is sent whose answer renews the proof. `None` for one
    /// that is always fresh, and for a clock that does not count elapsed time.
    pub fn ask(&self) -> Option<Asked> {
        match &self.0 {
            Kind::Always => None,
            Kind::Lease(lease) => {
                let history = *lease.history();
                let at = lease.elapsed()?;
                if let LeaseClock::System = lease.clock {
                    let wall = WallOffset::now().as_nanos();
                    lease.wall.store(wall, Ordering::Relaxed);
                }
                Some(Asked { at, history })
            }
        }
    }

    /// Lets the proof hold until this long after the statement was sent, if it would end sooner. Apply what
    /// the answer brought before. It does nothing if the proof was [ended](Self::end) since the statement was
    /// sent, and to one that is always fresh.
    pub fn renew(&self, asked: Asked, bound: Duration) {
        if let Kind::Lease(lease) = &self.0 {
            let history = lease.history();
            if *history == asked.history {
                let until = asked.at.saturating_add(bound).as_nanos();
                let until = u64::try_from(until).unwrap_or(u64::MAX);
                lease.end.fetch_max(until, Ordering::Release);
            }
        }
    }

    /// Ends the proof: the records may be those of another history. Answers to statements that were sent
    /// before renew it no more. It does nothing to one that is always fresh.
    pub fn end(&self) {
        if let Kind::Lease(lease) = &self.0 {
            let mut history = lease.history();
            *history = history.wrapping_add(1);
            lease.end.store(0, Ordering::Release);
        }
    }
}

impl Lease {
    fn history(&self) -> MutexGuard<'_, u64> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn proof(&self) -> Option<Proof> {
        // The end first: a renewal in between counts from the next request on.
        let end = self.end.load(Ordering::Acquire);
        match &self.clock {
            LeaseClock::System => {
                let now = SystemClock::elapsed_nanos()?;
                let wall = WallOffset::from_nanos(self.wall.load(Ordering::Relaxed));
                (now < end).then(|| Proof::at(wall.at(now)))
            }
            LeaseClock::Other(clock) => {
                let now = u64::try_from(clock.elapsed()?.as_nanos()).ok()?;
                (now < end).then(Proof::without_time)
            }
        }
    }

    #[inline]
    fn elapsed(&self) -> Option<Duration> {
        match &self.clock {
            LeaseClock::System => SystemClock.elapsed(),
            LeaseClock::Other(clock) => clock.elapsed(),
        }
    }
}

impl fmt::Debug for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Always => f.write_str("always fresh"),
            Kind::Lease(lease) if lease.proof().is_some() => f.write_str("fresh"),
            Kind::Lease(_) => f.write_str("stale"),
        }
    }
}
