//! The settings of a replica.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::follow::Follow;
use super::follower::{Follower, Pace};
use super::memory::Memory;
use super::replica::Replica;
use super::shared::Shared;
use super::{Feed, Realms};
use crate::access::realm::Realm;
use crate::error::{Error, ErrorKind};
use crate::observe::{observed::Observed, observer::Observer};
use crate::store::{Freshness, Index};
use crate::time::{Clock, SystemClock};

/// The lengths that a staleness can have: from 100 ms to ten minutes. A store that can be followed takes no other.
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::replica::STALENESS;
///
/// assert!(STALENESS.contains(&Duration::from_secs(5)));
/// assert!(!STALENESS.contains(&Duration::from_millis(99)));
/// ```
pub const STALENESS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(10 * 60);

impl Replica {
    /// The settings of a replica: a staleness of 5 s, a pull each 50 ms, and all realms.
    pub fn options() -> ReplicaOptions {
        ReplicaOptions {
            staleness: Duration::from_secs(5),
            interval: None,
            realms: Realms::all(),
            observer: Observed::default(),
            clock: None,
        }
    }
}

/// The settings of a [`Replica`], from [`Replica::options`].
///
/// ```
/// use std::time::Duration;
/// use tower_api_key::{observer_fn, replica::Replica};
///
/// let options = Replica::options()
///     .staleness(Duration::from_secs(2))
///     .interval(Duration::from_millis(20))
///     .observer(observer_fn(|event| eprintln!("{event:?}")));
/// ```
#[derive(Debug, Clone)]
#[must_use = "a replica begins with `follow`"]
pub struct ReplicaOptions {
    staleness: Duration,
    interval: Option<Duration>,
    realms: Realms,
    observer: Observed,
    clock: Option<Arc<dyn Clock>>,
}

impl ReplicaOptions {
    /// How old the records may be that a request is answered by: no request is accepted that began later than this
    /// after the revocation of its key was acknowledged. From 100 ms to ten minutes; 5 s by default.
    ///
    /// If the database cannot be reached for longer than nine tenths of it, every request asks the database, and is
    /// refused (503) if that fails. So a longer staleness survives a longer outage, and honours a revoked key for
    /// longer on a node that is cut off. If the database states a shorter staleness, that one counts.
    pub fn staleness(mut self, staleness: Duration) -> Self {
        self.staleness = staleness;
        self
    }

    /// The time from one pull to the next, which is how late a change arrives as long as nothing fails. From 1 ms to
    /// a fifth of the staleness; 50 ms by default, or a fifth of the staleness if that is shorter. An eighth more or
    /// less is by chance.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Holds the keys of these realms alone. A ring of another realm over the replica asks the database for each
    /// request. All realms by default.
    pub fn realms(mut self, realms: impl IntoIterator<Item = Realm>) -> Self {
        self.realms = Realms::only(realms);
        self
    }

    /// Who receives the events of the replica: [`ReplicaFresh`](crate::EventKind::ReplicaFresh),
    /// [`ReplicaStale`](crate::EventKind::ReplicaStale), [`ReplicaReset`](crate::EventKind::ReplicaReset),
    /// [`ReplicaDiverged`](crate::EventKind::ReplicaDiverged), and
    /// [`UpkeepFailed`](crate::EventKind::UpkeepFailed) if the daily comparison of checksums or the removal of old
    /// changes failed.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Observed::by(observer);
        self
    }

    /// The clock that the proof of freshness ends by. It must count
    /// [elapsed time](Clock::elapsed). [`SystemClock`] by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The replica of a source, and the future that keeps it up to date, which the service runs.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`](ErrorKind::InvalidPolicy) if the staleness or the interval is out of its bounds, and if the
    /// clock does not count the time while the machine is suspended.
    pub fn follow(self, source: impl Feed) -> Result<(Replica, Follow), Error> {
        let least_interval = Duration::from_millis(1);
        let interval = self
            .interval
            .unwrap_or(Duration::from_millis(50).min(self.staleness / 5));
        let counts = match &self.clock {
            Some(clock) => clock.elapsed(),
            None => SystemClock.elapsed(),
        };
        let problems = [
            (
                self.staleness < *STALENESS.start(),
                "staleness is under 100 ms",
            ),
            (
                self.staleness > *STALENESS.end(),
                "staleness is over ten minutes",
            ),
            (interval < least_interval, "interval is under 1 ms"),
            (
                interval > self.staleness / 5,
                "interval is over a fifth of staleness",
            ),
            (
                counts.is_none(),
                "the clock of the replica does not count the time while the machine is suspended: use SystemClock on Linux, or a clock with Clock::elapsed",
            ),
        ];
        if let Some((_, problem)) = problems.into_iter().find(|(is_so, _)| *is_so) {
            return Err(Error::with_limit(ErrorKind::InvalidPolicy, problem));
        }
        let (freshness, clock): (_, Arc<dyn Clock>) = match self.clock {
            Some(clock) => (Freshness::leased_by(Arc::clone(&clock)), clock),
            None => (Freshness::leased(), Arc::new(SystemClock)),
        };
        let pace = Pace::new(self.staleness, interval);
        let shared = Shared::new(
            Arc::new(source),
            self.realms,
            clock,
            Memory::new(Index::new(freshness)),
            pace.patience(),
            self.observer,
        );
        #[cfg(feature = "metrics")]
        let shared = shared.bounded_by(self.staleness);
        let shared = Arc::new(shared);
        let follow = Follow::new(Arc::clone(&shared), Follower::new(pace));
        Ok((Replica(shared), follow))
    }
}
